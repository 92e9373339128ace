"""Elements of BYTES: each has its length in front, as four bytes in little-endian order."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator

_LENGTH = struct.Struct("<I")


def serialized(elements: Iterable[bytes]) -> bytearray:
    """The elements, one after the other."""
    data = bytearray()
    for element in elements:
        data += _LENGTH.pack(len(element))
        data += element
    return data


def elements(data: memoryview) -> Iterator[memoryview]:
    """The elements; raises ValueError if a length is wrong."""
    at = 0
    while at < data.nbytes:
        begin = at + _LENGTH.size
        if begin > data.nbytes:
            raise ValueError(f"the length of an element is cut off at byte {at} of {data.nbytes}")
        [length] = _LENGTH.unpack_from(data, at)
        at = begin + length
        if at > data.nbytes:
            raise ValueError(f"an element at byte {begin} has {length} bytes, which is beyond the end, {data.nbytes}")
        yield data[begin:at]


def count(data: memoryview) -> int:
    """The number of elements; raises ValueError if a length is wrong."""
    return sum(1 for _ in elements(data))
