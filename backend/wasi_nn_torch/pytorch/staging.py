"""The memory of one session on the host: copies of the bytes that its guest hands over, in storages that are reused.

Memory that comes fresh from the system costs several times the copy, since each of its pages is cleared and mapped
first; so the storage of a dropped tensor serves the next one of its size. For an accelerator that copies from pinned
memory while the host goes on, PyTorch keeps the freed memory: it knows when such a copy has ended.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

import torch

from wasi_nn_torch.contract.errors import ErrorCode, NnError
from wasi_nn_torch.contract.ledger import Ledger
from wasi_nn_torch.pytorch.ownership import is_sole_owner

logger = logging.getLogger(__name__)

#: From this size on C libraries ask the system for memory, rather than using again what was freed.
_SMALLEST = 128 << 10
#: The most that is kept to be reused, in bytes.
_LARGEST = 128 << 20


def can_pin(device: torch.device) -> bool:
    """Whether a device copies from pinned memory of the host while the host goes on."""
    if device.type in ("cpu", "mps"):  # Apple's shares its memory with the host
        return False
    try:
        return torch.empty(1, dtype=torch.uint8, pin_memory=True).is_pinned()
    except (RuntimeError, NotImplementedError) as error:
        logger.info("no pinned memory for %s: %s", device, error)
        return False


class Staging:
    """The staging memory of one session: at most `limit` bytes of it are kept to be reused, by default 128 MiB.

    None is kept if it is `pinned`: PyTorch's own allocator keeps it, for the whole process.

    A tensor can die, and so leave its memory, at any time, even during any method on the same thread. Each step takes
    out the storages that it works with, so that none is ever given out twice; at worst some memory is not reused.
    """

    def __init__(self, limit: int | None = None, pinned: bool = False) -> None:
        self.pinned = pinned
        self._limit = _LARGEST if limit is None else min(limit, _LARGEST)
        self._smallest = _SMALLEST
        self._allocate: Callable[[int], torch.UntypedStorage] | None = None
        self._idle: dict[int, list[torch.UntypedStorage]] = {}
        self._lock = threading.RLock()

    def share(self, allocate: Callable[[int], torch.UntypedStorage], smallest: int) -> None:
        """From now on, take storages of at least `smallest` bytes from `allocate`, which shares them with a worker."""
        with self._lock:
            self._idle.clear()
            self._allocate, self._smallest, self.pinned = allocate, smallest, False

    @property
    def is_shared(self) -> bool:
        """Whether a worker can read storages that are taken from now on."""
        return self._allocate is not None

    @property
    def nbytes(self) -> int:
        """The bytes that are kept to be reused."""
        with self._lock:
            return sum(size * len(storages) for size, storages in list(self._idle.items()))

    def storage(self, size: int) -> torch.UntypedStorage:
        """A storage of its own for `size` bytes, whose content is undefined."""
        storage = self._take(size) if size >= self._smallest else None
        return self._fresh(size) if storage is None else storage

    def tensor(self, shape: tuple[int, ...], dtype: torch.dtype, size: int) -> torch.Tensor:
        """A tensor on memory of its own for `size` bytes, which are those of `shape`; their content is undefined."""
        if size < self._smallest and not self.pinned:
            return torch.empty(shape, dtype=dtype)
        # Not by `view`, which would keep the tensor that it was made from, as another owner of the memory.
        return torch.empty(0, dtype=dtype).set_(self.storage(size), 0, shape, ())

    def reuse(self, tensor: torch.Tensor) -> bool:
        """Keep the memory of a tensor, made by `tensor`, for the next one, unless something else refers to it.

        Return whether it is kept.

        The caller holds the only reference to the tensor object itself, and does not use it any more.
        """
        if tensor.nbytes < self._smallest or self.pinned:  # the usual case, decided without the storage
            return False
        size = tensor.untyped_storage().nbytes()
        if not self._smallest <= size <= self._limit or not is_sole_owner(tensor):
            return False
        with self._lock:
            storages = self._idle.pop(size, [])
            storages.append(tensor.untyped_storage())
            self._idle[size] = storages  # after all others: the least recently used goes first
            if self.nbytes > self._limit:
                self._make_room()
        return True

    def clear(self) -> None:
        """Free the memory that is kept."""
        with self._lock:
            self._idle.clear()

    def _fresh(self, size: int) -> torch.UntypedStorage:
        if self._allocate is not None and size >= self._smallest:
            return self._allocate(size)
        if self.pinned and size:
            return torch.empty(size, dtype=torch.uint8, pin_memory=True).untyped_storage()
        return torch.UntypedStorage(size)  # type: ignore[no-untyped-call]

    def _take(self, size: int) -> torch.UntypedStorage | None:
        with self._lock:
            storages = self._idle.get(size)
            if not storages:
                return None
            storage = storages.pop()
            if not storages:
                self._idle.pop(size, None)
            return storage

    def _make_room(self) -> None:
        for size in list(self._idle):
            while self.nbytes > self._limit:
                storages = self._idle.get(size)
                if not storages:
                    self._idle.pop(size, None)
                    break
                storages.pop()


@dataclass(frozen=True, eq=False)
class SessionMemory:
    """The memory of one session: every tensor is counted in `ledger`, and `staging` holds the copies on the host."""

    ledger: Ledger
    staging: Staging

    @classmethod
    def of(cls, ledger: Ledger, pinned: bool = False) -> SessionMemory:
        """The memory for a session's ledger, whose limit for the host it keeps."""
        return cls(ledger, Staging(ledger.host_limit, pinned))

    def staged(self, shape: tuple[int, ...], dtype: torch.dtype, size: int) -> torch.Tensor:
        """A tensor in staging memory, see `Staging.tensor`; raises NnError `too-large` if the host has none left."""
        try:
            return self.staging.tensor(shape, dtype, size)
        except (MemoryError, OSError, RuntimeError) as error:  # PyTorch raises the last
            logger.warning("no staging memory for %d bytes: %s", size, error)
        raise NnError(ErrorCode.TOO_LARGE, f"a new tensor of {size} bytes does not fit into the host's memory")
