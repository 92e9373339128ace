"""The files of a PyTorch archive, read so strictly that PyTorch's reader cannot find others.

ZIP stores some facts twice (names, sizes, the place of the directory), and readers differ in which copy they trust. So
only the layout that PyTorch writes passes: entries, directory, both end records, and nothing before, between or after
them.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from wasi_nn_torch.contract.text import quote
from wasi_nn_torch.pytorch.graphs.vetting.refusal import refusal, too_large

_LOCAL = struct.Struct("<4s5H3L2H")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR = struct.Struct("<4sLQL")
_END = struct.Struct("<4s4H2LH")
_TAIL = _END64.size + _LOCATOR.size + _END.size

_STORED, _DEFLATED = 0, 8
_FLAGS = 0x0808  # sizes follow the data; names are UTF-8
_GAPS = frozenset({0, 16, 24})  # bytes after the data of an entry: none, or a second copy of its sizes
#: A size or an offset with this value is stored elsewhere, and is 4 GiB or more, which exceeds a guest's memory.
_IN_ZIP64 = 0xFFFFFFFF
#: The most entries that the older end record can count.
_MANY = 0xFFFF

#: The files in an archive of TorchScript. Other files that `torch.jit.load` reads, such as the older `model.json`,
#: would follow other rules.
_TORCHSCRIPT = re.compile(
    r"""(?: code/__torch__(?:/[A-Za-z_][A-Za-z0-9_]*)*\.py(?:\.debug_pkl)?
        |   (?:data|constants|traced_inputs)(?:\.pkl|/[0-9]+)
        |   (?:\.data/)?version | byteorder | \.format_version | \.storage_alignment | \.data/serialization_id
        |   extra/[A-Za-z0-9_./-]+ )""",
    re.VERBOSE,
)


@dataclass(frozen=True)
class _Entry:
    """One file: the place of its bytes in the archive, their compression method, and the uncompressed size."""

    start: int
    packed: int
    size: int
    method: int


class Archive:
    """The files of an archive by their path below its root directory, all of which must match `files`.

    Raises NnError `security` if the archive is malformed, `too-large` if it has 4 GiB or more.
    """

    def __init__(self, data: memoryview, files: re.Pattern[str] = _TORCHSCRIPT) -> None:
        self._data = data
        self._entries = dict(_entries(data, files))
        if len({path.lower() for path in self._entries}) < len(self._entries):  # PyTorch ignores case
            raise refusal("archive", "two entries have the same name")

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    @property
    def packed_size(self) -> int:
        """The size of the archive itself, in bytes."""
        return len(self._data)

    def size(self, path: str) -> int | None:
        """The size of a file in bytes, or None if there is no such file."""
        entry = self._entries.get(path)
        return None if entry is None else entry.size

    def read(self, path: str) -> bytes:
        """The bytes of a file, whose `size` the caller has checked. Raises NnError `security` if it does not unpack."""
        entry = self._entries[path]
        packed = self._data[entry.start : entry.start + entry.packed]
        if entry.method == _STORED:
            return bytes(packed)
        inflate = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            content = inflate.decompress(packed, entry.size + 1)
        except zlib.error:
            raise refusal(path, "the archive is broken") from None
        if len(content) != entry.size or not inflate.eof or inflate.unused_data:
            raise refusal(path, "its size differs from the declared size")
        return content


def _entries(data: memoryview, files: re.Pattern[str]) -> Iterator[tuple[str, _Entry]]:
    """The paths and entries of the directory, which must be in the order of their data, without gaps."""
    count, at, end = _directory(data)
    directory, free, root = at, 0, None
    gaps = frozenset({0})  # the first header is at the start, whose bytes identify the format
    for _ in range(count):
        if at + _CENTRAL.size > end:
            raise _broken()
        sign, _, _, flags, method, _, _, _, packed, size, name_size, *extras, offset = _CENTRAL.unpack_from(data, at)
        # Extras are a field, a comment, a disk, and attributes, which could make PyTorch treat a file as a directory.
        if sign != b"PK\x01\x02":
            raise _broken()
        in_zip64 = _IN_ZIP64 in (packed, size, offset)
        if in_zip64 and extras[0]:
            raise too_large()
        if in_zip64 or any(extras) or flags & ~_FLAGS:
            raise _broken()
        name = bytes(data[at + _CENTRAL.size : at + _CENTRAL.size + name_size])
        at += _CENTRAL.size + name_size
        start = _data_start(data, offset, (flags, method, name))
        if offset - free not in gaps or start + packed > directory or (method == _STORED and packed != size):
            raise _broken()
        free, gaps = start + packed, _GAPS
        top, path = _split(name, files)
        root = top if root is None else root
        if top != root or method not in (_STORED, _DEFLATED):
            raise refusal("archive", f"PyTorch does not write entries such as {quote(path)}")
        yield path, _Entry(start, packed, size, method)
    if at != end or directory - free not in gaps:
        raise _broken()


def _directory(data: memoryview) -> tuple[int, int, int]:
    """The number of entries, and the start and end of the directory, on which both end records must agree."""
    tail = len(data) - _TAIL
    if tail < 0:
        raise _broken()
    sign64, length, _, _, disk, disk_of_directory, here, count, size, offset = _END64.unpack_from(data, tail)
    locator = _LOCATOR.unpack_from(data, tail + _END64.size)
    end = _END.unpack_from(data, len(data) - _END.size)
    if sign64 == b"PK\x06\x06" and offset + size == tail and max(offset, size) >= _IN_ZIP64:
        raise too_large()
    short = min(count, _MANY)
    if (
        (sign64, length, disk, disk_of_directory, here) != (b"PK\x06\x06", _END64.size - 12, 0, 0, count)
        or locator != (b"PK\x06\x07", 0, tail, 1)
        or end != (b"PK\x05\x06", 0, 0, short, short, size, offset, 0)
        or offset + size != tail
    ):
        raise _broken()
    return count, offset, tail


def _data_start(data: memoryview, offset: int, expected: tuple[int, int, bytes]) -> int:
    """The start of an entry's data; the entry's own header must agree with the directory."""
    if offset + _LOCAL.size > len(data):
        raise _broken()
    sign, _, flags, method, _, _, _, _, _, name_size, extra_size = _LOCAL.unpack_from(data, offset)
    at = offset + _LOCAL.size
    if sign != b"PK\x03\x04" or (flags, method, bytes(data[at : at + name_size])) != expected:
        raise _broken()
    return int(at + name_size + extra_size)


def _split(name: bytes, files: re.Pattern[str]) -> tuple[str, str]:
    """The root directory in an entry's name, and the path below it."""
    try:
        root, _, path = name.decode().partition("/")
    except UnicodeDecodeError:
        raise _broken() from None
    if not root or "\\" in root or "\0" in root or not files.fullmatch(path):
        raise refusal("archive", f"PyTorch does not write entries such as {quote(path or root)}")
    return root, path


def _broken() -> Exception:
    return refusal("archive", "it is broken, or its layout is not the one that PyTorch writes")
