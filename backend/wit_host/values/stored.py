"""Values where the canonical ABI stores them in the memory of a guest.

In: a codec. Out: the size and the alignment of its values in memory, and a function that reads one. This follows
`load` of the canonical ABI in the component model. All types can be read but handles, which only the engine can take.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import singledispatch
from typing import Any

from ..crossing.memory import LinearMemory
from ..crossing.state import HostState
from ..errors import GuestTrap
from ..misfits import Misfit
from ..results import Err, Ok, Some
from .cases import Enum, Flags, NestedOption, NestedResult, Option, Result, Variant
from .codec import Codec
from .scalars import Bool, Char, Float, Integer, String
from .sequences import ByteList, FixedLengthList, List, Map, Record, Tuple

Read = Callable[[HostState, LinearMemory, int], Any]
"""Reads the value at an address; raises `Misfit` for one that a guest could not pass through the engine."""

#: The layout of an address and a size.
_PAIR = struct.Struct("<II")
_U32 = struct.Struct("<I")
#: The layouts of the number of a case, by its size in bytes.
_CASES = {1: struct.Struct("<B"), 2: struct.Struct("<H"), 4: _U32}


@dataclass(frozen=True)
class Stored:
    """The values of a type in memory: their size and alignment in bytes, and a function that reads one."""

    size: int
    alignment: int
    read: Read


@singledispatch
def stored(codec: Codec | Result) -> Stored:
    """Return how the values of a type are stored; raises TypeError for a handle."""
    raise TypeError(f"{type(codec).__name__} cannot be read in memory")


# --- numbers and text ---


@stored.register
def _bool(codec: Bool) -> Stored:
    return Stored(1, 1, lambda state, memory, at: memory.unpack(_CASES[1], at)[0] != 0)


@stored.register
def _number(codec: Integer | Float) -> Stored:
    layout = struct.Struct(f"<{codec.code}")
    return Stored(layout.size, layout.size, lambda state, memory, at: memory.unpack(layout, at)[0])


@stored.register
def _char(codec: Char) -> Stored:
    def read(state: HostState, memory: LinearMemory, at: int) -> str:
        number = memory.unpack(_U32, at)[0]
        if number >= 0x110000 or 0xD800 <= number < 0xE000:
            raise Misfit(GuestTrap, f"{number:#x} is not a Unicode scalar value")
        return chr(number)

    return Stored(4, 4, read)


@stored.register
def _string(codec: String) -> Stored:
    def read(state: HostState, memory: LinearMemory, at: int) -> str:
        address, size = memory.unpack(_PAIR, at)
        state.count_text(size)
        try:
            return _copied(memory, address, size).decode()
        except UnicodeDecodeError as error:
            raise Misfit(GuestTrap, f"a string is not UTF-8, at {error.start}") from None

    return Stored(8, 4, read)


# --- lists ---


@stored.register
def _bytes(codec: ByteList) -> Stored:
    return Stored(8, 4, lambda state, memory, at: _copied(memory, *memory.unpack(_PAIR, at)))


@stored.register
def _list(codec: List) -> Stored:
    element = stored(codec.element)
    if codec.number is not None:
        return Stored(8, 4, _numbers(codec, element.size))

    def read(state: HostState, memory: LinearMemory, at: int) -> list[object]:
        return list(_elements(element, state, memory, *memory.unpack(_PAIR, at)))

    return Stored(8, 4, read)


def _numbers(codec: List, size: int) -> Read:
    def read(state: HostState, memory: LinearMemory, at: int) -> Any:  # noqa: ANN401  # as the codec makes it
        address, count = memory.unpack(_PAIR, at)
        state.count_elements(count)
        _require_aligned(address, size)
        with memory.view(address, count * size) as view:
            return codec.made(view)

    return read


@stored.register
def _map(codec: Map) -> Stored:
    entry = stored(Tuple(codec.key, codec.value))

    def read(state: HostState, memory: LinearMemory, at: int) -> dict[object, object]:
        return dict(_elements(entry, state, memory, *memory.unpack(_PAIR, at)))

    return Stored(8, 4, read)


@stored.register
def _fixed(codec: FixedLengthList) -> Stored:
    element, count = stored(codec.element), codec.size

    def read(state: HostState, memory: LinearMemory, at: int) -> list[object]:
        return [element.read(state, memory, at + place * element.size) for place in range(count)]

    return Stored(element.size * count, element.alignment, read)


def _elements(element: Stored, state: HostState, memory: LinearMemory, address: int, count: int) -> Iterable[Any]:
    state.count_elements(count)
    _require_aligned(address, element.alignment)
    memory.require(address, count * element.size)
    return (element.read(state, memory, address + place * element.size) for place in range(count))


def _require_aligned(address: int, alignment: int) -> None:
    if address % alignment:
        raise Misfit(GuestTrap, f"the address {address} of a list is not a multiple of {alignment}")


def _copied(memory: LinearMemory, address: int, size: int) -> bytes:
    with memory.view(address, size) as view:
        return bytes(view)


# --- values that consist of others ---


@stored.register
def _tuple(codec: Tuple) -> Stored:
    return _fields([stored(each) for each in codec.elements], lambda *parts: parts)


@stored.register
def _record(codec: Record) -> Stored:
    return _fields([stored(each) for each in codec.codecs], codec.cls)


def _fields(fields: Sequence[Stored], make: Callable[..., object]) -> Stored:
    places, at, alignment = list[int](), 0, 1
    for each in fields:
        at = _aligned(at, each.alignment)
        places.append(at)
        at += each.size
        alignment = max(alignment, each.alignment)
    reads = [(each.read, place) for each, place in zip(fields, places, strict=True)]

    def read(state: HostState, memory: LinearMemory, at: int) -> object:
        return make(*[read_(state, memory, at + place) for read_, place in reads])

    return Stored(_aligned(at, alignment), alignment, read)


@stored.register
def _enum(codec: Enum) -> Stored:
    cases = list(codec.cases)
    return _cases([None] * len(cases), lambda case, _: cases[case])


@stored.register
def _variant(codec: Variant) -> Stored:
    classes = [cls for cls, _ in codec.cases.values()]
    payloads = [each for _, each in codec.cases.values()]

    def make(case: int, payload: object) -> object:
        return classes[case]() if payloads[case] is None else classes[case](payload)

    return _cases(payloads, make)


@stored.register
def _option(codec: Option) -> Stored:
    return _cases([None, codec.some], lambda case, payload: payload if case else None)


@stored.register
def _nested_option(codec: NestedOption) -> Stored:
    return _cases([None, codec.some], lambda case, payload: Some(payload) if case else None)


@stored.register
def _nested_result(codec: NestedResult) -> Stored:
    return _cases([codec.ok, codec.err], lambda case, payload: Err(payload) if case else Ok(payload))


@stored.register
def _result(codec: Result) -> Stored:
    return _cases([codec.ok, codec.err], lambda case, payload: (not case, payload))


def _cases(payloads: Sequence[Codec | None], make: Callable[[int, object], object]) -> Stored:
    """Return how one of several cases is stored: its number, and its payload after that."""
    contents = [None if each is None else stored(each) for each in payloads]
    known = [each for each in contents if each is not None]
    number = _CASES[1 if len(payloads) <= 1 << 8 else 2 if len(payloads) <= 1 << 16 else 4]
    alignment = max([number.size, *(each.alignment for each in known)])
    place = _aligned(number.size, max((each.alignment for each in known), default=1))
    reads = [None if each is None else each.read for each in contents]

    def read(state: HostState, memory: LinearMemory, at: int) -> object:
        case = memory.unpack(number, at)[0]
        if case >= len(reads):
            raise Misfit(GuestTrap, f"there is no case {case} of {len(reads)}")
        read_ = reads[case]
        return make(case, None if read_ is None else read_(state, memory, at + place))

    return Stored(_aligned(place + max((each.size for each in known), default=0), alignment), alignment, read)


@stored.register
def _flags(codec: Flags) -> Stored:
    count = len(codec.names)
    word = 1 if count <= 8 else 2 if count <= 16 else 4
    size = word if count <= 32 else 4 * -(-count // 32)

    def read(state: HostState, memory: LinearMemory, at: int) -> object:
        bits = int.from_bytes(_copied(memory, at, size), "little")
        return codec.of_bits(bits & ((1 << count) - 1))

    return Stored(size, word, read)


def _aligned(at: int, alignment: int) -> int:
    return -(-at // alignment) * alignment
