"""The shapes of value types: their core values in the canonical ABI, and the kinds of values inside them.

In: a type definition and the shapes of the types before it. Out: its shape. Types only refer to types before them, so
the shapes of a whole index space take one step each, however deep the types are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .binary import InvalidComponent
from .parts import PRIMITIVES, Part
from .types import (
    BORROW,
    ENUM,
    FIXED_LENGTH_LIST,
    FLAGS,
    LIST,
    MAP,
    OPTION,
    OWN,
    RECORD,
    RESULT,
    TUPLE,
    VARIANT,
    Type,
)

I32, I64, F32, F64 = b"\x7f", b"\x7e", b"\x7d", b"\x7c"
#: The most core values for the parameters of a function; more go through memory.
MOST_FLAT = 16
#: The most parts of a type, each counted at every use; the engine's limit is higher.
LARGEST = 100_000

#: The codes of the primitive types `u8` and `string`.
U8 = 0x7D
STRING = 0x73
#: The core values of primitive types, apart from those that are an `i32`.
_PRIMITIVES = {STRING: I32 + I32, 0x75: F64, 0x76: F32, 0x77: I64, 0x78: I64}
#: The core values that share an `i32` in a variant; others share an `i64`.
_JOINED_NARROW = {I32[0], F32[0]}


@dataclass(frozen=True, slots=True)
class Shape:
    """The properties of a type.

    `flat` has its core value types, or is None if there are more than `MOST_FLAT`. `is_bytes` says that it is
    `list<u8>`, `holds_bytes` that there is one somewhere in it, itself included; `holds_text` that there is a `string`;
    `moves` that passing it takes something away from the guest; `unfamiliar` that it contains a type that is unknown or
    cannot be rewritten.
    """

    flat: bytes | None
    size: int = 1
    is_bytes: bool = False
    holds_bytes: bool = False
    holds_text: bool = False
    moves: bool = False
    unfamiliar: bool = False


#: The shapes of unfamiliar types, and of `list<u8>`.
UNFAMILIAR = Shape(None, unfamiliar=True)
BYTES = Shape(I32 + I32, 2, is_bytes=True, holds_bytes=True)


def of_part(part: Part, known: Sequence[Shape]) -> Shape:
    """Return the shape of the type that `part` refers to. Raises `InvalidComponent` if it is not defined before."""
    if part.primitive:
        return _primitive(part.value)
    if part.value >= len(known):
        raise InvalidComponent(f"there is no type {part.value} here", part.start)
    return known[part.value]


def flattened(shapes: Iterable[Shape]) -> bytes | None:
    """Return the core value types of several types in a row; None if there are too many."""
    result = b""
    for each in shapes:
        if each.flat is None or len(result) + len(each.flat) > MOST_FLAT:
            return None
        result += each.flat
    return result


def shape(definition: Type, known: Sequence[Shape]) -> Shape:
    """Return the shape of a value type; other types are unfamiliar. Raises `InvalidComponent`."""
    kind = definition.kind
    if kind in PRIMITIVES:
        return _primitive(kind)
    if kind == ENUM:
        return Shape(I32)
    if kind == FLAGS:
        words = -(-len(definition.labels) // 32)
        return Shape(I32 * words if words <= MOST_FLAT else None)
    if kind in (OWN, BORROW):
        return Shape(I32, moves=kind == OWN)
    if kind == LIST and definition.parts[0].primitive and definition.parts[0].value == U8:
        return BYTES
    if kind == FIXED_LENGTH_LIST:
        element, length = of_part(definition.parts[0], known), definition.parts[1].value
        return _around([element], _repeated(element.flat, length), 1 + element.size * length)
    if kind not in (RECORD, VARIANT, LIST, TUPLE, OPTION, RESULT, MAP):
        return UNFAMILIAR  # streams and futures too: their values cross at another time
    parts = [of_part(part, known) for part in definition.parts]
    size = 1 + sum(each.size for each in parts)
    if kind in (RECORD, TUPLE):
        return _around(parts, flattened(parts), size)
    if kind in (LIST, MAP):
        around = _around(parts, I32 + I32, size)
        return UNFAMILIAR if kind == MAP and around.holds_bytes else around
    return _around(parts, _joined(parts), size)


def _primitive(code: int) -> Shape:
    return Shape(_PRIMITIVES.get(code, I32), holds_text=code == STRING)


def _around(parts: Sequence[Shape], flat: bytes | None, size: int) -> Shape:
    return Shape(
        flat,
        min(size, LARGEST + 1),
        holds_bytes=any(each.holds_bytes for each in parts),
        holds_text=any(each.holds_text for each in parts),
        moves=any(each.moves for each in parts),
        unfamiliar=any(each.unfamiliar for each in parts),
    )


def _repeated(flat: bytes | None, count: int) -> bytes | None:
    return None if flat is None or len(flat) * count > MOST_FLAT else flat * count


def _joined(cases: Sequence[Shape]) -> bytes | None:
    """Return the core values of a variant: the number of the case, and values that fit the content of any case."""
    result = bytearray()
    for each in cases:
        if each.flat is None:
            return None
        for place, core in enumerate(each.flat):
            if place == len(result):
                result.append(core)
            elif result[place] != core:
                narrow = {result[place], core} == _JOINED_NARROW
                result[place] = (I32 if narrow else I64)[0]
    return I32 + bytes(result) if len(result) < MOST_FLAT else None
