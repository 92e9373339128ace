"""The installed backends: each is found by the encoding that it serves, and created when it is first needed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from wasi_nn_torch.contract.backend import GROUP, Backend, BackendOptions, KeepsMemory, ModelSource, Prepares
from wasi_nn_torch.contract.errors import BackendMissing
from wasi_nn_torch.contract.forks import renew_in_child
from wasi_nn_torch.contract.text import one_line, quote_all
from wasi_nn_torch.contract.vocabulary import Encoding


class Backends:
    """The backends of one engine, for any number of threads; each is created when it is first needed.

    Those that lack packages that only they need are left out. Raises ValueError if two packages provide a backend for
    the same encoding, or one does for an unknown encoding.
    """

    def __init__(self, options: BackendOptions) -> None:
        self._options = options
        self._entries = _entries()
        self._made: dict[Encoding, Backend[Any]] = {}
        self._missing: dict[Encoding, BackendMissing] = {}
        self._lock = threading.Lock()
        renew_in_child(self, "_lock", threading.Lock)

    @property
    def default(self) -> Backend[Any]:
        """The backend that makes guests' tensors and whose devices are the engine's; raises ValueError as `Engine`."""
        return self._get(Encoding.PYTORCH)

    def start(self) -> None:
        """Create the default backend if it does not exist yet; raises ValueError if an option is not valid."""
        self._get(Encoding.PYTORCH)

    def prepare(self) -> None:
        """Create the default backend, and wait for what it has to start."""
        backend = self.default
        if isinstance(backend, Prepares):
            backend.prepare()

    @property
    def encodings(self) -> list[Encoding]:
        """The encodings that have a usable backend; PyTorch's is the first."""
        return [encoding for encoding, _ in self]

    def find(self, encoding: Encoding) -> Backend[Any] | None:
        """The backend for an encoding, or None."""
        return self._find(encoding) if encoding in self._entries else None

    def why_missing(self, encoding: Encoding) -> str:
        """Which package the backend for an encoding lacks, for the operator; empty if there is no such backend."""
        missing = self._missing.get(encoding)
        return "" if missing is None else str(missing)

    def recognize(self, model: ModelSource) -> tuple[Encoding, str] | None:
        """The encoding and the format of a model; None if no backend recognizes it."""
        for encoding, backend in self:
            found = backend.recognize(model)
            if found is not None:
                return encoding, found
        return None

    def trim(self) -> None:
        """Return the unused device memory that backends keep to the driver."""
        with self._lock:
            made = list(self._made.values())
        for backend in made:
            if isinstance(backend, KeepsMemory):
                backend.trim()

    def __iter__(self) -> Iterator[tuple[Encoding, Backend[Any]]]:
        for encoding in self._entries:
            backend = self._find(encoding)
            if backend is not None:
                yield encoding, backend

    def _find(self, encoding: Encoding) -> Backend[Any] | None:
        if encoding not in self._missing:
            try:
                return self._get(encoding)
            except BackendMissing as missing:
                self._missing[encoding] = missing.with_traceback(None)
        return None

    def _get(self, encoding: Encoding) -> Backend[Any]:
        with self._lock:
            if encoding not in self._made:
                make = _loaded(self._entries[encoding])
                self._made[encoding] = make(self._options)
            return self._made[encoding]


#: The backends whose import was interrupted; process-wide, as imports are.
_interrupted: set[str] = set()


def _loaded(entry: EntryPoint) -> Any:  # noqa: ANN401  # what a package provides
    """Import a backend; raises RuntimeError if it cannot be imported since Ctrl-C interrupted an earlier attempt."""
    try:
        return entry.load()
    except Exception as error:
        if entry.value not in _interrupted:
            raise
        reason = one_line(f"{type(error).__name__}: {error}")
    except BaseException:
        _interrupted.add(entry.value)
        raise
    raise RuntimeError(
        f"the backend for {entry.name} cannot be imported, since an earlier import of it was interrupted ({reason}); "
        "start the process again"
    )


def _entries() -> dict[Encoding, EntryPoint]:
    found: dict[Encoding, EntryPoint] = {}
    for entry in sorted(
        entry_points(group=GROUP), key=lambda entry: (entry.name != Encoding.PYTORCH.value, entry.name)
    ):
        encoding = _encoding(entry)
        other = found.setdefault(encoding, entry)
        if other is not entry:
            raise ValueError(
                f"the packages {_package(other)} and {_package(entry)} both provide a backend for the encoding "
                f"{encoding.value}; uninstall one of them"
            )
    if Encoding.PYTORCH not in found:
        raise ValueError("the backend for PyTorch is not installed as an entry point; install wasi-nn-torch with pip")
    return found


def _encoding(entry: EntryPoint) -> Encoding:
    known = [encoding.value for encoding in Encoding if encoding is not Encoding.AUTODETECT]
    if entry.name not in known:
        raise ValueError(
            f"the package {_package(entry)} provides a backend for the unknown encoding {entry.name}; "
            f"expected one of {quote_all(known)}; uninstall the package, or correct its entry point"
        )
    return Encoding(entry.name)


def _package(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist is not None else entry.value
