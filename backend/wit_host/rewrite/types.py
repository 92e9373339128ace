"""Type sections.

In: the body of a type section. Out: its type definitions as trees, with the place of each part in the bytes, so that
any part can be replaced. The tables have the contents of each kind of type; they follow `design/mvp/Binary.md` of the
component model, and wasm-tools for newer kinds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from .binary import InvalidComponent, Reader
from .core_types import skip_core_type
from .parts import PRIMITIVES, Alias, Extern, Part, alias, extern, flag, index, value_type

#: The kinds of types.
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
MAP: Final = 0x63
FUNCTION: Final = 0x40
ASYNC_FUNCTION: Final = 0x43
COMPONENT: Final = 0x41
INSTANCE: Final = 0x42
RESOURCE: Final = 0x3F
ASYNC_RESOURCE: Final = 0x3E

#: The kinds of declarations.
CORE_TYPE_DECLARATION: Final = 0
TYPE_DECLARATION: Final = 1
ALIAS_DECLARATION: Final = 2
IMPORT_DECLARATION: Final = 3
EXPORT_DECLARATION: Final = 4

#: The largest depth of types inside types; tools write types that are two or three deep.
MAX_DEPTH = 50


@dataclass(frozen=True, slots=True)
class CoreType:
    """A type of core modules, whose content is skipped."""


@dataclass(frozen=True, slots=True)
class Declaration:
    """One declaration in the type of an instance or component; `kind` tells imports from exports."""

    kind: int
    start: int
    end: int
    content: Type | Extern | Alias | CoreType


@dataclass(frozen=True, slots=True)
class Type:
    """One definition: the byte for its kind, and its contents in order."""

    kind: int
    start: int
    end: int
    parts: tuple[Part, ...] = ()
    labels: tuple[bytes, ...] = ()
    declarations: tuple[Declaration, ...] = ()

    def type_parts(self) -> tuple[Part, ...]:
        """Return the parts that are indices of types, unlike the length of a list and the destructor of a resource."""
        if self.kind in (RESOURCE, ASYNC_RESOURCE):
            return ()
        parts = self.parts[:1] if self.kind == FIXED_LENGTH_LIST else self.parts
        return tuple([part for part in parts if not part.primitive])


def types(data: bytes, start: int, end: int) -> list[Type]:
    """Return the definitions in the body of a type section. Raises `InvalidComponent`."""
    reader = Reader(data, start, end)
    found = [_type(reader, 0) for _ in range(reader.count())]
    reader.finish()
    return found


def walk(definition: Type) -> Iterator[Type]:
    """Yield a definition and those inside it, in the order of the bytes."""
    rest = [definition]
    while rest:
        current = rest.pop()
        yield current
        rest += [each.content for each in reversed(current.declarations) if isinstance(each.content, Type)]


def outer_aliases(definition: Type) -> Iterator[tuple[int, Alias]]:
    """Yield the outer aliases in a definition, each with the number of types around it, the definition included."""
    rest = [(definition, 1)]
    while rest:
        current, level = rest.pop()
        for each in current.declarations:
            if isinstance(each.content, Alias) and each.content.outer is not None:
                yield level, each.content
            elif isinstance(each.content, Type):
                rest.append((each.content, level + 1))


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


# --- the contents of types ---


@dataclass(frozen=True, slots=True)
class _Found:
    """The contents of a type, while it is read."""

    parts: list[Part]
    labels: list[bytes]


_Content = Callable[[Reader, _Found], None]


def _value(reader: Reader, found: _Found) -> None:
    found.parts.append(value_type(reader))


def _number(reader: Reader, found: _Found) -> None:
    found.parts.append(index(reader))


def _label(reader: Reader, found: _Found) -> None:
    found.labels.append(reader.name())


def _exactly(value: int) -> _Content:
    return lambda reader, found: reader.expect(value, "this kind of type")


def _optional(content: _Content) -> _Content:
    def read(reader: Reader, found: _Found) -> None:
        if flag(reader):
            content(reader, found)

    return read


def _many(*contents: _Content) -> _Content:
    def read(reader: Reader, found: _Found) -> None:
        for _ in range(reader.count()):
            for content in contents:
                content(reader, found)

    return read


def _result(reader: Reader, found: _Found) -> None:
    """Read one result, or none; of the former lists of named results, the format only has the empty one."""
    if flag(reader):
        reader.expect(0, "a function without result")
    else:
        _value(reader, found)


_SIGNATURE: tuple[_Content, ...] = (_many(_label, _value), _result)

#: The contents of each kind of type.
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


# --- the declarations in types of instances and components ---


def _declaration(reader: Reader, owner: int, depth: int) -> Declaration:
    start, kind = reader.at, reader.byte()
    content: Type | Extern | Alias | CoreType
    if kind == CORE_TYPE_DECLARATION:
        skip_core_type(reader)
        content = CoreType()
    elif kind == TYPE_DECLARATION:
        content = _type(reader, depth)
    elif kind == ALIAS_DECLARATION:
        content = alias(reader)
    elif kind == EXPORT_DECLARATION or (kind == IMPORT_DECLARATION and owner == COMPONENT):
        content = extern(reader)
    else:
        raise InvalidComponent(f"{kind:#04x} is an unfamiliar declaration", start)
    return Declaration(kind, start, reader.at, content)
