"""The streams of open files."""

from __future__ import annotations

import errno

from wit_host import Signal

from .opened import LARGEST, OpenedFile
from .paths import failure


def read_at(file: OpenedFile, most: int, offset: int) -> bytes:
    """Return up to `most` bytes from `offset` on; raises OSError beyond the largest position."""
    if offset + most > LARGEST:
        raise failure(errno.EINVAL)
    return file.read(most, offset) if most else b""


class FileSource:
    """A source of the content of a file, from an offset on. It owns its share of the file."""

    signal = Signal()

    def __init__(self, file: OpenedFile, offset: int) -> None:
        self._file = file
        self._offset = offset

    def left(self) -> float:
        """Return 0: files are always ready."""
        return 0

    def take(self, most: int) -> bytes:
        """Return the next bytes."""
        content = read_at(self._file, most, self._offset)
        if not content:
            raise EOFError
        self._offset += len(content)
        return content

    def close(self) -> None:
        """Give back the share of the file."""
        self._file.close()


class FileSink:
    """A sink that writes to a file of `most` bytes at most, from an offset on, or at the end if that is None."""

    signal = Signal()

    def __init__(self, file: OpenedFile, offset: int | None, most: int) -> None:
        self._file = file
        self._offset = offset
        self._most = most

    def left(self) -> float:
        """Return 0: files are always ready."""
        return 0

    def room(self) -> int:
        """Return more than a guest writes at once."""
        return 1 << 32

    def put(self, content: bytes | memoryview) -> None:
        """Write all bytes; raises OSError if the file would be too large."""
        begin = self._file.stat().size if self._offset is None else self._offset
        if begin + len(content) > self._most:
            raise failure(errno.EFBIG)
        rest = memoryview(content)
        while rest:
            written = self._file.append(rest) if self._offset is None else self._file.write(rest, self._offset)
            if self._offset is not None:
                self._offset += written
            rest = rest[written:]

    def is_flushed(self) -> bool:
        """Return True: what was put was written."""
        return True

    def close(self) -> None:
        """Give back the share of the file."""
        self._file.close()
