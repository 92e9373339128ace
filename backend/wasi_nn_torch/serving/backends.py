"""The installed backends: each is found by the encoding that it serves, and made when it is first needed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from wasi_nn_torch.contract.backend import Backend, BackendOptions, KeepsMemory, ModelSource
from wasi_nn_torch.contract.errors import quote_all
from wasi_nn_torch.contract.vocabulary import Encoding

GROUP = "wasi_nn_torch.backends"
"""The entry point group; the name of an entry point is an encoding."""


class Backends:
    """The backends of one engine, each of which is made when it is first needed, in any thread.

    Raises ValueError if two packages have a backend for the same encoding, or one for an encoding that does not exist.
    """

    def __init__(self, options: BackendOptions) -> None:
        self._options = options
        self._entries = _entries()
        self._made: dict[Encoding, Backend[Any]] = {}
        self._lock = threading.Lock()

    @property
    def default(self) -> Backend[Any]:
        """The backend that makes every tensor, and whose devices are the engine's; raises ValueError as `Engine`."""
        return self._get(Encoding.PYTORCH)

    def start(self) -> None:
        """Make the backend for PyTorch if it is not there; raises ValueError if an option is wrong."""
        self._get(Encoding.PYTORCH)

    @property
    def encodings(self) -> list[Encoding]:
        """The encodings that have a backend; PyTorch's is the first."""
        return list(self._entries)

    def find(self, encoding: Encoding) -> Backend[Any] | None:
        """The backend for an encoding, or None."""
        return self._get(encoding) if encoding in self._entries else None

    def recognize(self, model: ModelSource) -> tuple[Encoding, str] | None:
        """The encoding and the format of a model; None if no backend knows it."""
        for encoding, backend in self:
            found = backend.recognize(model)
            if found is not None:
                return encoding, found
        return None

    def trim(self) -> None:
        """Let the backends in use give the device memory that they keep back to the driver."""
        with self._lock:
            made = list(self._made.values())
        for backend in made:
            if isinstance(backend, KeepsMemory):
                backend.trim()

    def __iter__(self) -> Iterator[tuple[Encoding, Backend[Any]]]:
        for encoding in self._entries:
            yield encoding, self._get(encoding)

    def _get(self, encoding: Encoding) -> Backend[Any]:
        with self._lock:
            if encoding not in self._made:
                make = self._entries[encoding].load()
                self._made[encoding] = make(self._options)
            return self._made[encoding]


def _entries() -> dict[Encoding, EntryPoint]:
    found: dict[Encoding, EntryPoint] = {}
    for entry in sorted(
        entry_points(group=GROUP), key=lambda entry: (entry.name != Encoding.PYTORCH.value, entry.name)
    ):
        encoding = _encoding(entry)
        other = found.setdefault(encoding, entry)
        if other is not entry:
            raise ValueError(
                f"the packages {_package(other)} and {_package(entry)} both have a backend for the encoding "
                f"{encoding.value}; uninstall one of them"
            )
    if Encoding.PYTORCH not in found:
        raise ValueError("the backend for PyTorch is not installed as an entry point; install wasi-nn-torch with pip")
    return found


def _encoding(entry: EntryPoint) -> Encoding:
    known = [encoding.value for encoding in Encoding if encoding is not Encoding.AUTODETECT]
    if entry.name not in known:
        raise ValueError(
            f"the package {_package(entry)} has a backend for the encoding {entry.name}, which wasi-nn does not "
            f"have; uninstall it, or name one of {quote_all(known)} there"
        )
    return Encoding(entry.name)


def _package(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist is not None else entry.value
