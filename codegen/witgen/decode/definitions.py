"""The contents of a component, as they are written in its bytes.

In: nothing; these are plain dataclasses. Out: `File`, which `read` builds and `evaluate` follows. References are still
indices here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

PRIMITIVES = {
    0x7F: "bool",
    0x7E: "s8",
    0x7D: "u8",
    0x7C: "s16",
    0x7B: "u16",
    0x7A: "s32",
    0x79: "u32",
    0x78: "s64",
    0x77: "u64",
    0x76: "f32",
    0x75: "f64",
    0x74: "char",
    0x73: "string",
    0x64: "error-context",
}
"""The keywords of the types without parts, by their codes."""


class Code(Enum):
    """The kinds of types with parts, by their codes."""

    RECORD = 0x72
    VARIANT = 0x71
    LIST = 0x70
    TUPLE = 0x6F
    FLAGS = 0x6E
    ENUM = 0x6D
    OPTION = 0x6B
    RESULT = 0x6A
    OWN = 0x69
    BORROW = 0x68
    FIXED_LENGTH_LIST = 0x67
    STREAM = 0x66
    FUTURE = 0x65
    MAP = 0x63
    RESOURCE = 0x3F
    ASYNC_RESOURCE = 0x3E
    FUNCTION = 0x40
    ASYNC_FUNCTION = 0x43
    COMPONENT = 0x41
    INSTANCE = 0x42


Reference = str | int
"""A type inside another: the keyword of a primitive type, or an index."""


class Sort(Enum):
    """What an import, an export or an alias stands for. Core definitions and values do not matter for types."""

    CORE = 0
    FUNCTION = 1
    VALUE = 2
    TYPE = 3
    COMPONENT = 4
    INSTANCE = 5


@dataclass(slots=True)
class Name:
    """The name of an import or export, and what may be attached to it."""

    text: str
    offset: int
    implements: str | None = None
    external_id: str | None = None


@dataclass(slots=True)
class WrittenType:
    """A definition of a type; `code` is a keyword for a primitive one.

    `parts` are the types inside it, in the order of the bytes; those that may be left out are `None`. A function has
    its parameters there, followed by its result. `labels` are the names of fields, cases, flags or parameters.
    """

    code: Code | str
    offset: int
    labels: list[str] = field(default_factory=list)
    parts: list[Reference | None] = field(default_factory=list)
    length: int | None = None
    items: list[Item] = field(default_factory=list)


@dataclass(slots=True)
class Description:
    """The type of an import or export. For a type, `index` is the one that it is equal to; a new resource has none."""

    sort: Sort
    index: int | None
    offset: int


@dataclass(slots=True)
class AliasOfExport:
    """Another index for an export of an instance."""

    sort: Sort
    instance: int
    name: str
    offset: int


@dataclass(slots=True)
class AliasOfOuter:
    """Another index for a type or component `outwards` components and types further out."""

    sort: Sort
    outwards: int
    index: int
    offset: int


@dataclass(slots=True)
class Import:
    """An import of a component, or of the type of one."""

    name: Name
    description: Description


@dataclass(slots=True)
class Declaration:
    """An export in the type of an instance or component."""

    name: Name
    description: Description


@dataclass(slots=True)
class Passed:
    """A definition that is passed on under a name."""

    name: Name
    sort: Sort
    index: int


@dataclass(slots=True)
class Export:
    """An export of a component, perhaps as another type than it has."""

    item: Passed
    description: Description | None


@dataclass(slots=True)
class Instantiation:
    """An instance of a component, with arguments for its imports."""

    component: int
    arguments: list[Passed]
    offset: int


@dataclass(slots=True)
class Bundle:
    """An instance that is made of definitions."""

    exports: list[Passed]
    offset: int


@dataclass(slots=True)
class Lift:
    """A core function made into a function of this type."""

    type: int
    offset: int


@dataclass(slots=True)
class Component:
    """A component: its definitions in order, and its custom sections by their names."""

    items: list[Item] = field(default_factory=list)
    custom: list[tuple[str, int, int]] = field(default_factory=list)
    offset: int = 0


Item = (
    WrittenType
    | AliasOfExport
    | AliasOfOuter
    | Import
    | Declaration
    | Export
    | Instantiation
    | Bundle
    | Lift
    | Component
)
