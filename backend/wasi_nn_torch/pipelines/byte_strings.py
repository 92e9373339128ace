"""Elements of BYTES: each has its length in front, as four bytes in little-endian order."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from itertools import islice

#: The most elements of one tensor, since each is looked at.
MOST = 1 << 18

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


def require_count(data: memoryview, number: int) -> None:
    """Raise ValueError unless there are so many elements, with lengths that are right."""
    found = sum(1 for _ in islice(elements(data), number + 1))
    if found != number:
        raise ValueError(f"there are {'more' if found > number else found} elements; {number} were expected")


def count(data: memoryview) -> int:
    """The number of elements; raises ValueError if a length is wrong, or if there are too many."""
    found = sum(1 for _ in islice(elements(data), MOST + 1))
    if found > MOST:
        raise ValueError(f"there are more than {MOST} elements")
    return found
