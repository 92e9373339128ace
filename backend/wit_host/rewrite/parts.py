"""The parts of types and definitions: indices, references to types, aliases, and descriptions of imports and exports.

In: a reader at the start of one. Out: the part, with its place, so that it can be replaced.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from .binary import InvalidComponent, Reader

ERROR_CONTEXT: Final = 0x64

#: The codes of primitive types.
PRIMITIVES = frozenset({*range(0x73, 0x80), ERROR_CONTEXT})
#: The first byte of the sorts of core definitions; another follows.
_CORE: Final = 0


@dataclass(slots=True)  # not frozen, as creating a frozen one takes three times as long: there are thousands
class Part:
    """Something inside a type: a reference to a type, or a number.

    `value` is the number: the byte of a primitive type as it is written, or an index.
    """

    start: int
    end: int
    value: int
    primitive: bool = False


@dataclass(frozen=True, slots=True)
class Extern:
    """An import or export: its name, its sort, and its type, if there is one."""

    name: bytes
    sort: int
    type: Part | None


@dataclass(frozen=True, slots=True)
class Alias:
    """Another name for something that is defined elsewhere.

    `outer` is the target of an outer alias: the number of components and types to go out, and an index there.
    """

    sort: int
    outer: tuple[int, Part] | None


def value_type(reader: Reader) -> Part:
    """Read a primitive type or the index of a type."""
    start, first = reader.at, reader.peek()
    if first in PRIMITIVES:
        reader.at += 1
        return Part(start, reader.at, first, primitive=True)
    value = reader.s33()
    if value < 0:
        raise InvalidComponent(f"{first:#04x} is an unfamiliar type", start)
    return Part(start, reader.at, value)


def index(reader: Reader) -> Part:
    """Read an index."""
    start, value = reader.at, reader.u32()
    return Part(start, reader.at, value)


def flag(reader: Reader) -> bool:
    """Read a byte that is 0 or 1."""
    value = reader.byte()
    if value > 1:
        raise InvalidComponent("0x00 or 0x01 is needed", reader.at - 1)
    return value == 1


def alias(reader: Reader) -> Alias:
    """Read an alias, which may be inside a type or in a section of aliases."""
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
    """Read an import, at any depth, or an export inside a type."""
    return described(reader, extern_name(reader))


def described(reader: Reader, name: bytes) -> Extern:
    """Read the description after the name."""
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
    """Read a name; in the newest form, options follow: each is a byte and a text."""
    start, form = reader.at, reader.byte()
    if form > 2:
        raise InvalidComponent(f"{form:#04x} is an unfamiliar form of name", start)
    name = reader.name()
    if form == 2:
        for _ in range(reader.count()):
            reader.byte()
            reader.name()
    return name
