"""Compiled code that nothing can change while the engine runs it.

In: the serialized form of a guest, in pieces. Out: the guest, loaded from a copy that only this process has.
"""

from __future__ import annotations

import io
import logging
import sys
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import wasmtime
from wasmtime import component

from .sealed_files import new_file, seal

logger = logging.getLogger(__name__)

Compiled = TypeVar("Compiled", component.Component, wasmtime.Module)

#: The open files of this process, by descriptor.
_OPEN_FILES = Path("/proc/self/fd")


class PrivateCopy:
    """A copy of a guest's serialized form: `write` it piece by piece, then `load` it; use it in a `with` block.

    Wasmtime maps native code from a file and hardly checks it. On Linux that file is sealed memory without a name,
    which nothing can change or truncate. On other systems the engine copies the bytes, which takes longer.
    """

    def __init__(self) -> None:
        self._file = _new_file()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exception: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.close()

    def write(self, piece: bytes | bytearray | memoryview) -> None:
        """Add a piece."""
        self._file.write(piece)

    def load(self, engine: wasmtime.Engine, kind: type[Compiled]) -> Compiled:
        """Load the guest; raises `wasmtime.WasmtimeError` if what was written is not for this engine."""
        if isinstance(self._file, io.BytesIO):
            return kind.deserialize(engine, self._file.getvalue())
        self._file.flush()
        seal(self._file.fileno())
        return kind.deserialize_file(engine, str(_OPEN_FILES / str(self._file.fileno())))


def load_serialized(engine: wasmtime.Engine, content: bytes | bytearray | memoryview, kind: type[Compiled]) -> Compiled:
    """Load a guest from its serialized form; raises `wasmtime.WasmtimeError` if it is not for this engine.

    If this process may have no such file, because of its limits, the engine copies the bytes.
    """
    try:
        with PrivateCopy() as copy:
            copy.write(content)
            return copy.load(engine, kind)
    except OSError as error:
        logger.info("a guest is copied, which takes longer than mapping it: %s", error)
    return kind.deserialize(engine, bytes(content))


def _new_file() -> io.BufferedWriter | io.BytesIO:
    if sys.platform == "linux" and _OPEN_FILES.is_dir():
        return open(new_file("compiled guest"), "wb")
    return io.BytesIO()
