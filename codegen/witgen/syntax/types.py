"""Type expressions, type definitions and functions as they are written.

In: nothing; these are plain frozen dataclasses. Out: the contents of interfaces and worlds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from witgen.syntax.names import Attributes, Docs, Name, Span


@dataclass(frozen=True, slots=True)
class Primitive:
    """A type that is one keyword."""

    keyword: str
    span: Span


@dataclass(frozen=True, slots=True)
class Named:
    """A type that is written by its name."""

    name: Name
    span: Span


@dataclass(frozen=True, slots=True)
class Own:
    """`own<r>`."""

    resource: Name
    span: Span


@dataclass(frozen=True, slots=True)
class Borrow:
    """`borrow<r>`."""

    resource: Name
    span: Span


@dataclass(frozen=True, slots=True)
class Tuple:
    """`tuple<a, b>`."""

    items: tuple[Type, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class List:
    """`list<a>`, or `list<a, length>`."""

    item: Type
    length: int | None
    span: Span


@dataclass(frozen=True, slots=True)
class Map:
    """`map<key, value>`."""

    key: Type
    value: Type
    span: Span


@dataclass(frozen=True, slots=True)
class Option:
    """`option<a>`."""

    item: Type
    span: Span


@dataclass(frozen=True, slots=True)
class Result:
    """`result<ok, err>`; each side may be left out."""

    ok: Type | None
    err: Type | None
    span: Span


@dataclass(frozen=True, slots=True)
class Future:
    """`future<a>`."""

    item: Type | None
    span: Span


@dataclass(frozen=True, slots=True)
class Stream:
    """`stream<a>`."""

    item: Type | None
    span: Span


Type = Primitive | Named | Own | Borrow | Tuple | List | Map | Option | Result | Future | Stream


@dataclass(frozen=True, slots=True)
class Parameter:
    """`name: type`."""

    name: Name
    type: Type
    span: Span


@dataclass(frozen=True, slots=True)
class FunctionType:
    """`async func(…) -> result`."""

    is_async: bool
    parameters: tuple[Parameter, ...]
    result: Type | None
    span: Span


FunctionSort = Literal["freestanding", "method", "static", "constructor"]


@dataclass(frozen=True, slots=True)
class Function:
    """A function, or a member of a resource. A constructor's name is the keyword."""

    name: Name
    sort: FunctionSort
    type: FunctionType
    docs: Docs | None
    attributes: Attributes
    span: Span


@dataclass(frozen=True, slots=True)
class TypeAlias:
    """`type name = type;`."""

    name: Name
    type: Type
    docs: Docs | None
    attributes: Attributes
    span: Span


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a record."""

    name: Name
    type: Type
    docs: Docs | None
    span: Span


@dataclass(frozen=True, slots=True)
class Record:
    """`record name { … }`."""

    name: Name
    fields: tuple[Field, ...]
    docs: Docs | None
    attributes: Attributes
    span: Span


@dataclass(frozen=True, slots=True)
class Label:
    """One flag, or one case of an enum."""

    name: Name
    docs: Docs | None
    span: Span


@dataclass(frozen=True, slots=True)
class Flags:
    """`flags name { … }`."""

    name: Name
    flags: tuple[Label, ...]
    docs: Docs | None
    attributes: Attributes
    span: Span


@dataclass(frozen=True, slots=True)
class Case:
    """One case of a variant."""

    name: Name
    type: Type | None
    docs: Docs | None
    span: Span


@dataclass(frozen=True, slots=True)
class Variant:
    """`variant name { … }`."""

    name: Name
    cases: tuple[Case, ...]
    docs: Docs | None
    attributes: Attributes
    span: Span


@dataclass(frozen=True, slots=True)
class Enumeration:
    """`enum name { … }`."""

    name: Name
    cases: tuple[Label, ...]
    docs: Docs | None
    attributes: Attributes
    span: Span


@dataclass(frozen=True, slots=True)
class Resource:
    """`resource name { … }`."""

    name: Name
    members: tuple[Function, ...]
    docs: Docs | None
    attributes: Attributes
    span: Span


TypeDefinition = TypeAlias | Record | Flags | Variant | Enumeration | Resource
