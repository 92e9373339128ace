"""What types and definitions are made of: indices, names of types, aliases, and what imports and exports are.

In: a reader in front of one. Out: what stands there, with its place, so that it can be replaced.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from .binary import InvalidComponent, Reader

ERROR_CONTEXT: Final = 0x64

PRIMITIVES = frozenset({*range(0x73, 0x80), ERROR_CONTEXT})
_CORE: Final = 0  # the first byte of the sorts of core definitions; another follows


@dataclass(slots=True)  # not frozen, which takes three times as long to make: there are thousands
class Part:
    """Something inside a type: a type that is named, or a number.

    `value` is the number: the byte of a primitive type as it is written, or an index.
    """

    start: int
    end: int
    value: int
    primitive: bool = False


@dataclass(frozen=True, slots=True)
class Extern:
    """What an import or export is: its name, its sort, and the type that is given for it, if any."""

    name: bytes
    sort: int
    type: Part | None


@dataclass(frozen=True, slots=True)
class Alias:
    """Another name for what is elsewhere.

    `outer` is what an outer alias refers to: how many components and types further out, and its index there.
    """

    sort: int
    outer: tuple[int, Part] | None


def value_type(reader: Reader) -> Part:
    """A primitive type or the index of a type, and where it stands."""
    start, first = reader.at, reader.peek()
    if first in PRIMITIVES:
        reader.at += 1
        return Part(start, reader.at, first, primitive=True)
    value = reader.s33()
    if value < 0:
        raise InvalidComponent(f"{first:#04x} is an unfamiliar type", start)
    return Part(start, reader.at, value)


def index(reader: Reader) -> Part:
    """An index and where it stands."""
    start, value = reader.at, reader.u32()
    return Part(start, reader.at, value)


def flag(reader: Reader) -> bool:
    """A byte that says yes or no."""
    value = reader.byte()
    if value > 1:
        raise InvalidComponent("0x00 or 0x01 is needed", reader.at - 1)
    return value == 1


def alias(reader: Reader) -> Alias:
    """An alias, as it stands inside types and in sections of its own."""
    sort = reader.byte()
    if sort == _CORE:
        reader.byte()
    match reader.byte():
        case 0 | 1:
            reader.u32()
            reader.name()
            return Alias(sort, None)
        case 2:
            return Alias(sort, (reader.u32(), index(reader)))
        case _:
            raise InvalidComponent("an unfamiliar alias", reader.at - 1)


def extern(reader: Reader) -> Extern:
    """A name and what it stands for, as imports have them at every depth, and exports inside types."""
    return described(reader, extern_name(reader))


def described(reader: Reader, name: bytes) -> Extern:
    """What stands behind the name."""
    start, sort = reader.at, reader.byte()
    match sort:
        case 0:
            reader.expect(0x11, "a core module")
            return Extern(name, sort, index(reader))
        case 1 | 4 | 5:
            return Extern(name, sort, index(reader))
        case 2:
            return Extern(name, sort, value_type(reader) if flag(reader) else index(reader))
        case 3:
            return Extern(name, sort, None if flag(reader) else index(reader))
        case _:
            raise InvalidComponent(f"{sort:#04x} is an unfamiliar sort of import or export", start)


def extern_name(reader: Reader) -> bytes:
    """A name; in the newest form options follow, each a byte that says which and a text."""
    start, form = reader.at, reader.byte()
    if form > 2:
        raise InvalidComponent(f"{form:#04x} is an unfamiliar form of name", start)
    name = reader.name()
    if form == 2:
        for _ in range(reader.count()):
            reader.byte()
            reader.name()
    return name
