"""The files of an archive of PyTorch's, read so strictly that PyTorch's reader cannot see others.

ZIP says some things twice (names, sizes, where the directory is), and readers differ in which they believe. So only the
one layout that PyTorch writes passes: entries, directory, both end records, and nothing between, before or after them.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from wasi_nn_torch.contract.errors import quote
from wasi_nn_torch.pytorch.graphs.untrusted.refusal import refusal, too_large

_LOCAL = struct.Struct("<4s5H3L2H")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR = struct.Struct("<4sLQL")
_END = struct.Struct("<4s4H2LH")
_TAIL = _END64.size + _LOCATOR.size + _END.size

_STORED, _DEFLATED = 0, 8
_FLAGS = 0x0808  # sizes follow the data; names are UTF-8
_GAPS = frozenset({0, 16, 24})  # after the data of an entry: nothing, or its sizes once more
_IN_ZIP64 = (
    0xFFFFFFFF  # a size or a place is written elsewhere: it is 4 GiB or more, which is more than a guest can hold
)
_MANY = 0xFFFF  # and so is the number of entries

#: Whatever else `torch.jit.load` looks for, such as the older `model.json`, would follow other rules than those here.
_TORCHSCRIPT = re.compile(
    r"""(?: code/__torch__(?:/[A-Za-z_][A-Za-z0-9_]*)*\.py(?:\.debug_pkl)?
        |   (?:data|constants|traced_inputs)(?:\.pkl|/[0-9]+)
        |   (?:\.data/)?version | byteorder | \.format_version | \.storage_alignment | \.data/serialization_id
        |   extra/[A-Za-z0-9_./-]+ )""",
    re.VERBOSE,
)


@dataclass(frozen=True)
class _Entry:
    """One file: where its bytes are in the archive, how they are packed, and how many they are unpacked."""

    start: int
    packed: int
    size: int
    method: int


class Archive:
    """An archive's files by their path under its root folder, all of which must be among `files`.

    Raises NnError `security` unless all is in order, `too-large` if it has 4 GiB or more.
    """

    def __init__(self, data: memoryview, files: re.Pattern[str] = _TORCHSCRIPT) -> None:
        self._data = data
        self._entries = dict(_entries(data, files))
        if len({path.lower() for path in self._entries}) < len(self._entries):  # PyTorch looks names up in any case
            raise refusal("archive", "two entries have the same name")

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    @property
    def packed_size(self) -> int:
        """How many bytes the archive itself has."""
        return len(self._data)

    def size(self, path: str) -> int | None:
        """Return how many bytes a file has, or None if there is no such file."""
        entry = self._entries.get(path)
        return None if entry is None else entry.size

    def read(self, path: str) -> bytes:
        """Return a file's bytes; who calls has looked at `size`. Raises NnError `security` if it does not unpack."""
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
            raise refusal(path, "its size is not the declared one")
        return content


def _entries(data: memoryview, files: re.Pattern[str]) -> Iterator[tuple[str, _Entry]]:
    """Yield each path and entry of the directory, whose entries follow each other in the order of their data."""
    count, at, end = _directory(data)
    directory, free, root = at, 0, None
    gaps = frozenset({0})  # the first header is at the very start: other formats are told by what stands there
    for _ in range(count):
        if at + _CENTRAL.size > end:
            raise _broken()
        sign, _, _, flags, method, _, _, _, packed, size, name_size, *extras, offset = _CENTRAL.unpack_from(data, at)
        # Extras are a field, a comment, a disk, and attributes: by these PyTorch takes a file for a folder.
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
        folder, path = _split(name, files)
        root = folder if root is None else root
        if folder != root or method not in (_STORED, _DEFLATED):
            raise refusal("archive", f"PyTorch writes no entry such as {quote(path)}")
        yield path, _Entry(start, packed, size, method)
    if at != end or directory - free not in gaps:
        raise _broken()


def _directory(data: memoryview) -> tuple[int, int, int]:
    """Return the number of entries and the range of the directory, after both end records agreed on them."""
    tail = len(data) - _TAIL
    if tail < 0:
        raise _broken()
    sign64, length, _, _, disk, disk_of_directory, here, count, size, offset = _END64.unpack_from(data, tail)
    locator = _LOCATOR.unpack_from(data, tail + _END64.size)
    end = _END.unpack_from(data, len(data) - _END.size)
    if sign64 == b"PK\x06\x06" and offset + size == tail and max(offset, size) >= _IN_ZIP64:
        raise too_large()
    short = min(count, _MANY)  # which the older record has no more room for
    if (
        (sign64, length, disk, disk_of_directory, here) != (b"PK\x06\x06", _END64.size - 12, 0, 0, count)
        or locator != (b"PK\x06\x07", 0, tail, 1)
        or end != (b"PK\x05\x06", 0, 0, short, short, size, offset, 0)
        or offset + size != tail
    ):
        raise _broken()
    return count, offset, tail


def _data_start(data: memoryview, offset: int, expected: tuple[int, int, bytes]) -> int:
    """Return where an entry's data begins, after its own header agreed with the directory on what it is."""
    if offset + _LOCAL.size > len(data):
        raise _broken()
    sign, _, flags, method, _, _, _, _, _, name_size, extra_size = _LOCAL.unpack_from(data, offset)
    at = offset + _LOCAL.size
    if sign != b"PK\x03\x04" or (flags, method, bytes(data[at : at + name_size])) != expected:
        raise _broken()
    return int(at + name_size + extra_size)


def _split(name: bytes, files: re.Pattern[str]) -> tuple[str, str]:
    """Return the root folder and the path under it of an entry's name."""
    try:
        root, _, path = name.decode().partition("/")
    except UnicodeDecodeError:
        raise _broken() from None
    if not root or "\\" in root or "\0" in root or not files.fullmatch(path):
        raise refusal("archive", f"PyTorch writes no entry such as {quote(path or root)}")
    return root, path


def _broken() -> Exception:
    return refusal("archive", "it is broken, or not laid out as PyTorch writes it")
