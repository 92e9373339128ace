"""The format of a model, from the directory of its archive: nothing is loaded, and little is read."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from enum import Enum
from pathlib import Path
from typing import Protocol

#: In bytes: a directory of about 100,000 entries.
_LARGEST_READ = 8 << 20
_PICKLE = b"\x80"
#: The first bytes of an archive that is not empty.
ZIP = b"PK\x03\x04"

#: The exceptions of the standard library for a broken archive.
BROKEN = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, KeyError, OverflowError, RuntimeError, ValueError)


class ModelFormat(Enum):
    """The format of something that is offered as a model; the value is its name in texts."""

    TORCHSCRIPT = "TorchScript"
    EXPORTED_PROGRAM = "an exported program (torch.export)"
    AOTI_PACKAGE = "an AOTInductor package, which is native code"
    STATE_DICT = "a state dict or another pickle: weights without the code of a model"
    UNKNOWN = "not a PyTorch model"


def sniff(source: Path | _File) -> ModelFormat:
    """The format of a file; `UNKNOWN` for a broken archive or a directory. Raises OSError if it cannot be read."""
    if isinstance(source, Path):
        if source.is_dir():
            return ModelFormat.UNKNOWN
        with source.open("rb") as file:
            return sniff(file)
    source.seek(0)
    head = source.read(len(ZIP))
    if head == ZIP:
        return _sniff_archive(source)
    return ModelFormat.STATE_DICT if head.startswith(_PICKLE) else ModelFormat.UNKNOWN


def sniff_bytes(data: bytes | bytearray | memoryview) -> ModelFormat:
    """The format of some bytes, of which only what is read is copied; see `sniff`."""
    return sniff(_Bytes(data))


class _File(Protocol):
    """The part of a binary file that is needed here."""

    def read(self, size: int = -1, /) -> bytes: ...

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int: ...

    def tell(self) -> int: ...

    def seekable(self) -> bool: ...


class _Bytes:
    """Bytes as a file, without a copy of them."""

    def __init__(self, data: bytes | bytearray | memoryview) -> None:
        self._data = memoryview(data).cast("B")
        self._position = 0

    def read(self, size: int = -1, /) -> bytes:
        """At most `size` bytes from the position, or all of them."""
        end = len(self._data) if size < 0 else self._position + size
        piece = bytes(self._data[self._position : end])
        self._position += len(piece)
        return piece

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Go to a position; returns it. Raises OSError if it is before the start."""
        position = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: len(self._data)}[whence] + offset
        if position < 0:
            raise OSError(f"there is no position {position}")
        self._position = position
        return position

    def tell(self) -> int:
        """The position."""
        return self._position

    def seekable(self) -> bool:
        """True: any position can be read."""
        return True


def _sniff_archive(source: _File) -> ModelFormat:
    try:
        with zipfile.ZipFile(Bounded(source)) as archive:
            return _format_of(archive)
    except BROKEN:
        return ModelFormat.UNKNOWN


def _format_of(archive: zipfile.ZipFile) -> ModelFormat:
    names = archive.namelist()
    # An archive after other bytes, such as one inside a truncated one, is not the one that a loader would see.
    if not names or min(entry.header_offset for entry in archive.infolist()) != 0:
        return ModelFormat.UNKNOWN
    root = names[0].split("/")[0] + "/"
    entries = {name.removeprefix(root) for name in names if name.startswith(root)}
    if "archive_format" in entries:
        is_pt2 = _starts_with(archive, root + "archive_format", b"pt2")
        return _format_of_pt2(entries) if is_pt2 else ModelFormat.UNKNOWN
    if "serialized_exported_program.json" in names:  # as torch.export wrote it before the archive had a root
        return ModelFormat.EXPORTED_PROGRAM
    if "data.pkl" not in entries:
        return ModelFormat.UNKNOWN
    has_code = any(entry.startswith("code/") for entry in entries)
    return ModelFormat.TORCHSCRIPT if has_code and "constants.pkl" in entries else ModelFormat.STATE_DICT


def _format_of_pt2(entries: set[str]) -> ModelFormat:
    """The format of a `.pt2` archive; one that holds both formats is taken for native code, the worse of the two."""
    if any(entry.startswith("data/aotinductor/") for entry in entries):
        return ModelFormat.AOTI_PACKAGE
    if any(entry.startswith("models/") and entry.endswith(".json") for entry in entries):
        return ModelFormat.EXPORTED_PROGRAM
    return ModelFormat.UNKNOWN


def _starts_with(archive: zipfile.ZipFile, name: str, start: bytes) -> bool:
    with archive.open(name) as entry:
        return entry.read(len(start)) == start


class Bounded:
    """A file from which no large piece can be read: an archive may claim a directory of any size."""

    def __init__(self, file: _File) -> None:
        self._file = file
        self.seek = file.seek
        self.tell = file.tell
        self.seekable = file.seekable

    def read(self, size: int = -1, /) -> bytes:
        """Read at most `size` bytes; raises BadZipFile for a large piece."""
        data = self._file.read(_LARGEST_READ + 1 if size < 0 else min(size, _LARGEST_READ + 1))
        if len(data) > _LARGEST_READ:
            raise zipfile.BadZipFile("a piece of the archive is too large")
        return data
