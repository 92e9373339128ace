"""Type sections.

In: the body of a type section. Out: its type definitions as trees, with the place of each part in the bytes, so that
any part can be replaced. What each kind of type consists of is in the tables; they follow `design/mvp/Binary.md` of the
component model, and wasm-tools where that is ahead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from .binary import InvalidComponent, Reader
from .core import skip_core_type

RECORD: Final = 0x72
VARIANT: Final = 0x71
LIST: Final = 0x70
TUPLE: Final = 0x6F
FLAGS: Final = 0x6E
ENUM: Final = 0x6D
OPTION: Final = 0x6B
RESULT: Final = 0x6A
OWN: Final = 0x69
BORROW: Final = 0x68
FIXED_LENGTH_LIST: Final = 0x67
STREAM: Final = 0x66
FUTURE: Final = 0x65
ERROR_CONTEXT: Final = 0x64
MAP: Final = 0x63
FUNCTION: Final = 0x40
ASYNC_FUNCTION: Final = 0x43
COMPONENT: Final = 0x41
INSTANCE: Final = 0x42
RESOURCE: Final = 0x3F
ASYNC_RESOURCE: Final = 0x3E

PRIMITIVES = frozenset({*range(0x73, 0x80), ERROR_CONTEXT})

CORE_TYPE_DECLARATION: Final = 0
TYPE_DECLARATION: Final = 1
ALIAS_DECLARATION: Final = 2
IMPORT_DECLARATION: Final = 3
EXPORT_DECLARATION: Final = 4

_CORE: Final = 0  # the first byte of the sorts of core definitions; another follows

MAX_DEPTH = 50  # of types inside types; what tools write is two or three deep


@dataclass(frozen=True, slots=True)
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
    """Another name for what is elsewhere; only the sort is kept."""

    sort: int


@dataclass(frozen=True, slots=True)
class CoreType:
    """A type of core modules, nothing of which is kept."""


@dataclass(frozen=True, slots=True)
class Declaration:
    """One declaration in the type of an instance or component; `kind` tells imports from exports."""

    kind: int
    start: int
    end: int
    content: Type | Extern | Alias | CoreType


@dataclass(frozen=True, slots=True)
class Type:
    """One definition: the byte that says its kind, and in order what it consists of."""

    kind: int
    start: int
    end: int
    parts: tuple[Part, ...] = ()
    labels: tuple[bytes, ...] = ()
    declarations: tuple[Declaration, ...] = ()


def types(data: bytes, start: int, end: int) -> list[Type]:
    """The definitions in the body of a type section. Raises `InvalidComponent`."""
    reader = Reader(data, start, end)
    found = [_type(reader, 0) for _ in range(reader.count())]
    reader.finish()
    return found


def walk(definition: Type) -> Iterator[Type]:
    """A definition and those inside it, in the order of the bytes."""
    rest = [definition]
    while rest:
        current = rest.pop()
        yield current
        rest += [each.content for each in reversed(current.declarations) if isinstance(each.content, Type)]


def _type(reader: Reader, depth: int) -> Type:
    start, kind = reader.at, reader.byte()
    if kind in (INSTANCE, COMPONENT):
        if depth == MAX_DEPTH:
            raise InvalidComponent(f"types are more than {MAX_DEPTH} deep in each other", start)
        declarations = tuple([_declaration(reader, kind, depth + 1) for _ in range(reader.count())])
        return Type(kind, start, reader.at, declarations=declarations)
    found = _Found([], [])
    if kind in _CONTENTS:
        for content in _CONTENTS[kind]:
            content(reader, found)
    elif kind not in PRIMITIVES:
        raise InvalidComponent(f"{kind:#04x} is an unfamiliar kind of type", start)
    return Type(kind, start, reader.at, tuple(found.parts), tuple(found.labels))


# --- what types consist of ---


@dataclass(frozen=True, slots=True)
class _Found:
    """What a type consists of, while it is read."""

    parts: list[Part]
    labels: list[bytes]


_Content = Callable[[Reader, _Found], None]


def _value(reader: Reader, found: _Found) -> None:
    found.parts.append(_value_type(reader))


def _value_type(reader: Reader) -> Part:
    start, first = reader.at, reader.peek()
    if first in PRIMITIVES:
        reader.at += 1
        return Part(start, reader.at, first, primitive=True)
    index = reader.s33()
    if index < 0:
        raise InvalidComponent(f"{first:#04x} is an unfamiliar type", start)
    return Part(start, reader.at, index)


def _number(reader: Reader, found: _Found) -> None:
    found.parts.append(_index(reader))


def _index(reader: Reader) -> Part:
    start, index = reader.at, reader.u32()
    return Part(start, reader.at, index)


def _label(reader: Reader, found: _Found) -> None:
    found.labels.append(reader.name())


def _exactly(value: int) -> _Content:
    return lambda reader, found: reader.expect(value, "this kind of type")


def _optional(content: _Content) -> _Content:
    def read(reader: Reader, found: _Found) -> None:
        if _flag(reader):
            content(reader, found)

    return read


def _many(*contents: _Content) -> _Content:
    def read(reader: Reader, found: _Found) -> None:
        for _ in range(reader.count()):
            for content in contents:
                content(reader, found)

    return read


def _result(reader: Reader, found: _Found) -> None:
    """One result, or none; lists of named results are gone from the format, but for the empty one."""
    if _flag(reader):
        reader.expect(0, "a function without result")
    else:
        _value(reader, found)


def _flag(reader: Reader) -> bool:
    value = reader.byte()
    if value > 1:
        raise InvalidComponent("0x00 or 0x01 is needed", reader.at - 1)
    return value == 1


_SIGNATURE: tuple[_Content, ...] = (_many(_label, _value), _result)

_CONTENTS: Mapping[int, tuple[_Content, ...]] = {
    RECORD: (_many(_label, _value),),
    VARIANT: (_many(_label, _optional(_value), _exactly(0)),),
    LIST: (_value,),
    TUPLE: (_many(_value),),
    FLAGS: (_many(_label),),
    ENUM: (_many(_label),),
    OPTION: (_value,),
    RESULT: (_optional(_value), _optional(_value)),
    OWN: (_number,),
    BORROW: (_number,),
    FIXED_LENGTH_LIST: (_value, _number),
    STREAM: (_optional(_value),),
    FUTURE: (_optional(_value),),
    MAP: (_value, _value),
    FUNCTION: _SIGNATURE,
    ASYNC_FUNCTION: _SIGNATURE,
    RESOURCE: (_exactly(0x7F), _optional(_number)),
    ASYNC_RESOURCE: (_exactly(0x7F), _number, _optional(_number)),
}


# --- what types of instances and components declare ---


def _declaration(reader: Reader, owner: int, depth: int) -> Declaration:
    start, kind = reader.at, reader.byte()
    content: Type | Extern | Alias | CoreType
    if kind == CORE_TYPE_DECLARATION:
        skip_core_type(reader)
        content = CoreType()
    elif kind == TYPE_DECLARATION:
        content = _type(reader, depth)
    elif kind == ALIAS_DECLARATION:
        content = _alias(reader)
    elif kind == EXPORT_DECLARATION or (kind == IMPORT_DECLARATION and owner == COMPONENT):
        content = _extern(reader)
    else:
        raise InvalidComponent(f"{kind:#04x} is an unfamiliar declaration", start)
    return Declaration(kind, start, reader.at, content)


def _alias(reader: Reader) -> Alias:
    alias = Alias(reader.byte())
    if alias.sort == _CORE:
        reader.byte()
    match reader.byte():
        case 0 | 1:
            reader.u32()
            reader.name()
        case 2:
            reader.u32()
            reader.u32()
        case _:
            raise InvalidComponent("an unfamiliar alias", reader.at - 1)
    return alias


def _extern(reader: Reader) -> Extern:
    name, start, sort = _extern_name(reader), reader.at, reader.byte()
    match sort:
        case 0:
            reader.expect(0x11, "a core module")
            return Extern(name, sort, _index(reader))
        case 1 | 4 | 5:
            return Extern(name, sort, _index(reader))
        case 2:
            return Extern(name, sort, _value_type(reader) if _flag(reader) else _index(reader))
        case 3:
            return Extern(name, sort, None if _flag(reader) else _index(reader))
        case _:
            raise InvalidComponent(f"{sort:#04x} is an unfamiliar sort of import or export", start)


def _extern_name(reader: Reader) -> bytes:
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
