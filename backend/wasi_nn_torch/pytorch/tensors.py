"""Tensors whose residency is always known: they move by explicit, counted steps, and go free when they are dropped."""

import ctypes
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from wasi_nn_torch.contract import Tensor
from wasi_nn_torch.errors import ErrorCode, NnError, quote
from wasi_nn_torch.ledger import STAGING, Ledger, Transfer
from wasi_nn_torch.pytorch.devices import place_of
from wasi_nn_torch.pytorch.dtypes import DTYPES, ELEMENT_TYPES, widen
from wasi_nn_torch.pytorch.fitting import require_values
from wasi_nn_torch.pytorch.sharing import is_sole_owner
from wasi_nn_torch.pytorch.staging import staging_of
from wasi_nn_torch.shares import Share
from wasi_nn_torch.vocabulary import ElementType
from wit_host import write_bytes

logger = logging.getLogger(__name__)

_MOST_DIMENSIONS = 64  # PyTorch's operators go no further
_MOST_ELEMENTS = 2**63 - 1  # sizes and strides are signed 64-bit numbers


class DeviceTensor:
    """One tensor of a session: in the host's staging memory or on one device.

    Made by `from_guest` and `from_output`. Whoever owns it calls `drop`, which frees the memory at that moment; nothing
    else in the host keeps a reference to the memory. Not for use by several threads at a time.
    """

    __slots__ = ("__weakref__", "_dimensions", "_dtype", "_is_staged", "_ledger", "_misfit", "_place", "_tensor")

    def __init__(
        self,
        tensor: torch.Tensor,
        dimensions: tuple[int, ...],
        dtype: ElementType,
        place: str,
        ledger: Ledger,
        misfit: str | None = None,
        is_staged: bool = False,
    ) -> None:
        self._tensor: torch.Tensor | None = tensor
        self._dimensions = dimensions
        self._dtype = dtype
        self._place = place
        self._ledger = ledger
        self._misfit = misfit
        self._is_staged = is_staged  # whether the memory came from `staging_of(ledger)`
        ledger.enter(self, place, tensor.nbytes)

    @classmethod
    def from_guest(
        cls, dimensions: Sequence[int], dtype: ElementType, data: memoryview, ledger: Ledger, pinned: bool = False
    ) -> "DeviceTensor":
        """Copy a guest's bytes, once, into staging memory (`tensor.constructor` of wasi-nn), `pinned` or not.

        `data` holds the elements little-endian, row-major and without gaps. Dimensions that do not fit it are
        remembered, and refused by the first operation that needs the content, since the constructor of wasi-nn cannot
        fail. Raises NnError `too-large` only where a limit of the session, for staging memory or tensors, is passed.
        """
        shape = tuple(dimensions)
        misfit = _misfit(shape, dtype, data.nbytes)
        ledger.grant_one_more("a new tensor")
        ledger.grant(STAGING, data.nbytes, "a new tensor")
        storage = _staged(data, ledger, pinned)
        ledger.record_transfer(Transfer.GUEST_TO_HOST, data.nbytes)
        # Not by `view`, which would keep the tensor that it was made from, as another owner of the memory.
        if misfit is not None:
            tensor = torch.empty(0, dtype=torch.uint8).set_(storage)
        else:
            tensor = torch.empty(0, dtype=DTYPES[dtype]).set_(storage, 0, shape, ())
        return cls(tensor, shape, dtype, STAGING, ledger, misfit, is_staged=True)

    @classmethod
    def from_output(cls, name: str, output: torch.Tensor, ledger: Ledger) -> "DeviceTensor":
        """Take over an output of a graph, on the device where it is.

        `output` is a tensor object that nobody but the caller refers to, such as a fresh `detach()`: then another
        reference to its storage is another owner, and the memory is copied so that neither sees the other's changes.
        Memory beyond the elements themselves is not kept. Rank 0 becomes `[1]`, as wasi-nn writes a scalar.

        Raises NnError `unsupported-operation` for a dtype that wasi-nn cannot name, and `too-large` where a limit of
        the session is passed.
        """
        ledger.grant_one_more("output", name)
        tensor = _independent(widen(output, name))
        if tensor.dim() == 0:
            tensor = tensor.view(1)
        place = place_of(tensor.device)
        ledger.grant(place, tensor.nbytes, "output", name)
        return cls(tensor, tuple(tensor.shape), ELEMENT_TYPES[tensor.dtype], place, ledger)

    @property
    def dimensions(self) -> tuple[int, ...]:
        """The size of each dimension, outermost first, as the guest gave them or as the graph made them."""
        return self._dimensions

    @property
    def dtype(self) -> ElementType:
        """The type of the elements."""
        return self._dtype

    @property
    def place(self) -> str:
        """Where the memory is, as the ledger names it: a device, or `STAGING`."""
        return self._place

    def require_fit(self, name: str) -> None:
        """Raise NnError `invalid-argument` if the bytes given for the tensor `name` do not fill its dimensions."""
        if self._misfit is not None:
            raise NnError(ErrorCode.INVALID_ARGUMENT, f"tensor {quote(name)} {self._misfit}")

    def on(self, device: torch.device, name: str, dtype: torch.dtype | None = None) -> torch.Tensor:
        """Move to `device`, unless already there, and return the memory; the copy left behind goes at once.

        `device` has an index if it is an accelerator. Where `dtype` is another one than that of the elements, a copy in
        it is returned, and this tensor keeps its own. The caller keeps no reference beyond the operation. Raises
        NnError `invalid-argument` if the content does not fit its dimensions, or the `dtype` (see `require_values`),
        and `too-large` where the session's limit is passed.
        """
        if dtype is not None and self._content().dtype is not dtype:
            self.require_fit(name)
            require_values(self._content(), dtype, name)  # before the move, so that nothing waits for a device
            return self.on(device, name).to(dtype)
        self.require_fit(name)
        tensor = self._content()
        if self._place == place_of(device):
            return tensor.detach()
        self._ledger.grant(place_of(device), tensor.nbytes, "tensor", name)
        left = None
        if tensor.device != device:
            way, left = _way(tensor.device, device), tensor
            # From pinned memory the host need not wait: PyTorch keeps it until the copy has ended, even if it is freed.
            tensor = tensor.to(device, non_blocking=self._is_staged and staging_of(self._ledger).pinned)
            self._ledger.record_transfer(way, tensor.nbytes)
        self._ledger.move(self._place, place_of(device), tensor.nbytes)
        self._tensor, self._place = tensor, place_of(device)
        if left is not None:
            self._release(left)
        # A tensor object of its own, so that whoever keeps it shows as another owner of the memory.
        return tensor.detach()

    def scalar(self, name: str) -> int | float:
        """Return the value of the only element; raises NnError `invalid-argument` if there is not exactly one."""
        self.require_fit(name)
        tensor = self._content()
        if tensor.numel() != 1:
            shape = spell_dimensions(self._dimensions)
            raise NnError(ErrorCode.INVALID_ARGUMENT, f"tensor {quote(name)} is {shape}; one element is wanted, as [1]")
        self._count_download(tensor)
        return tensor.item()

    def data(self) -> "TensorBytes":
        """Return the elements, ready to be written to the guest (`tensor.data` of wasi-nn); copies nothing yet."""
        return TensorBytes(self, self._content().nbytes)

    def copy(self, device: torch.device, name: str) -> "DeviceTensor":
        """Return a tensor of its own with the same elements on `device`; this one stays where it is.

        Raises NnError `invalid-argument` if the content does not fit, and `too-large` where a limit of the session is
        passed.
        """
        self.require_fit(name)
        tensor, place = self._content(), place_of(device)
        self._ledger.grant_one_more("the copy of a tensor that is still in use", name)
        self._ledger.grant(place, tensor.nbytes, "the copy of a tensor that is still in use", name)
        if tensor.device != device:
            self._ledger.record_transfer(_way(tensor.device, device), tensor.nbytes)
        copied = torch.empty(tensor.shape, dtype=tensor.dtype, device=device).copy_(tensor)
        return DeviceTensor(copied, self._dimensions, self._dtype, place, self._ledger)

    def drop(self) -> None:
        """Free the memory now; a second call does nothing."""
        tensor, self._tensor = self._tensor, None
        if tensor is not None:
            self._ledger.leave(self, self._place, tensor.nbytes)
            self._release(tensor)

    def __del__(self) -> None:
        self.drop()

    def __repr__(self) -> str:
        state = "dropped" if self._tensor is None else f"on {self._place}"
        return f"<DeviceTensor {self._dtype.spelling} {spell_dimensions(self._dimensions)} {state}>"

    def _release(self, left: torch.Tensor) -> None:
        """Let go of memory that this tensor had; staging memory is used again."""
        if self._is_staged:
            self._is_staged = False
            staging_of(self._ledger).reuse(left)

    def _content(self) -> torch.Tensor:
        if self._tensor is None:
            raise RuntimeError("this tensor was dropped; the host must not use it any more")
        return self._tensor

    def _count_download(self, tensor: torch.Tensor) -> None:
        if tensor.device.type != "cpu":
            self._ledger.record_transfer(Transfer.DEVICE_TO_HOST, tensor.nbytes)


@dataclass(frozen=True, slots=True)
class TensorBytes:
    """The elements of a tensor as `nbytes` bytes: little-endian, row-major, without gaps.

    Refers to the tensor, not to its memory, so that it keeps nothing alive after the tensor's `drop`.
    """

    _source: DeviceTensor
    nbytes: int

    def write_into(self, destination: memoryview) -> None:
        """Copy the elements, once, into a writable buffer of exactly `nbytes` bytes."""
        tensor = self._source._content()
        if destination.nbytes != self.nbytes:
            raise ValueError(f"the destination has {destination.nbytes} bytes; the tensor has {self.nbytes}")
        if self.nbytes == 0:  # PyTorch takes no empty buffers
            return
        if tensor.device.type == "cpu" and tensor.is_contiguous() and not tensor.is_neg():
            # Faster than the copy of PyTorch, by a third for what the caches hold; other threads go on meanwhile.
            target = ctypes.c_char.from_buffer(destination)
            ctypes.memmove(ctypes.addressof(target), tensor.data_ptr(), self.nbytes)
        else:
            torch.frombuffer(destination, dtype=tensor.dtype).view(tensor.shape).copy_(tensor)
        self._source._count_download(tensor)


def adopt(tensor: Tensor, name: str, ledger: Ledger, changed_on: torch.device | None = None) -> DeviceTensor:
    """Return a tensor that a graph can use as its input `name`: itself, or a copy.

    What others share is lent, and stays theirs: see `is_lent`. If the graph may change it on the device `changed_on`,
    it gets a copy there. What another backend made is copied too. Raises NnError `too-large` where a limit of the
    session is passed.
    """
    if isinstance(tensor, DeviceTensor):
        return tensor
    if isinstance(tensor, Share):
        shared = tensor.content
        if isinstance(shared, DeviceTensor):
            return shared if changed_on is None else shared.copy(changed_on, name)
    copied = _copy_through_host(tensor, ledger)
    if not isinstance(tensor, Share):
        tensor.drop()
    return copied


def is_lent(given: Tensor, adopted: DeviceTensor) -> bool:
    """Whether `adopted` is what others share `given` with, and so is not the graph's to drop."""
    return isinstance(given, Share) and given.content is adopted


def _copy_through_host(tensor: Tensor, ledger: Ledger) -> DeviceTensor:
    source = tensor.data()
    content = bytearray(source.nbytes)
    write_bytes(source, memoryview(content))
    return DeviceTensor.from_guest(tensor.dimensions, tensor.dtype, memoryview(content), ledger)


def spell_dimensions(dimensions: Sequence[int]) -> str:
    """Return dimensions as "[1, 3, 224]", never long."""
    listed = ", ".join(str(size) for size in dimensions[:8])
    return f"[{listed}, … {len(dimensions)} in all]" if len(dimensions) > 8 else f"[{listed}]"


def _staged(data: memoryview, ledger: Ledger, pinned: bool) -> torch.UntypedStorage:
    """A copy of a guest's bytes; raises NnError `too-large` if the host has no memory for it."""
    try:
        return staging_of(ledger, pinned).copy(data)
    except (MemoryError, RuntimeError) as error:  # PyTorch raises the latter
        logger.warning("no staging memory for %d bytes: %s", data.nbytes, error)
    raise NnError(ErrorCode.TOO_LARGE, f"a new tensor of {data.nbytes} bytes does not fit into the host's memory")


def _misfit(dimensions: tuple[int, ...], dtype: ElementType, given: int) -> str | None:
    """Say why `given` bytes cannot be a tensor of these dimensions; exact for any numbers, and allocates nothing."""
    if len(dimensions) > _MOST_DIMENSIONS:
        return f"has {len(dimensions)} dimensions; at most {_MOST_DIMENSIONS} are possible"
    expected = math.prod(dimensions) * dtype.item_size
    if expected != given:
        return (
            f"has the dimensions {spell_dimensions(dimensions)} of {dtype.spelling}, which need {expected} bytes, "
            f"but {given} were given; make the dimensions or the data fit"
        )
    if 0 in dimensions and math.prod(size for size in dimensions if size) > _MOST_ELEMENTS:
        return f"has the dimensions {spell_dimensions(dimensions)}, which are too large even though one of them is 0"
    return None


def _way(source: torch.device, target: torch.device) -> Transfer:
    if source.type == "cpu":
        return Transfer.HOST_TO_DEVICE
    return Transfer.DEVICE_TO_HOST if target.type == "cpu" else Transfer.DEVICE_TO_DEVICE


def _independent(tensor: torch.Tensor) -> torch.Tensor:
    """Return a tensor that is the only owner of its storage and fills it: itself, or else a contiguous copy."""
    if is_sole_owner(tensor) and tensor.untyped_storage().nbytes() == tensor.nbytes:
        return tensor
    return tensor.clone(memory_format=torch.contiguous_format)
