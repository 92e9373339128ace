"""The syntax tree: what was written, name for name, in source order.

In: nothing; these are plain frozen dataclasses. Out: `File`, which `witgen.parse` builds and `witgen.resolve` reads.
Names are still text here; whether they mean anything is for `witgen.resolve` to find out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of a file. Lines and columns count characters from 1; the end column is the one behind the last."""

    file: str
    line: int
    column: int
    end_line: int
    end_column: int


@dataclass(frozen=True, slots=True)
class Name:
    """An identifier, without the `%` it may have been written with."""

    text: str
    span: Span


@dataclass(frozen=True, slots=True)
class Docs:
    """The comments in front of an item, as one text."""

    text: str
    span: Span


# --- packages, paths, attributes ---


@dataclass(frozen=True, slots=True)
class PackageName:
    """`namespace:name@version`."""

    namespace: Name
    name: Name
    version: str | None
    span: Span


@dataclass(frozen=True, slots=True)
class Path:
    """`interface`, or `namespace:name/interface@version` with a package."""

    package: PackageName | None
    name: Name
    span: Span


@dataclass(frozen=True, slots=True)
class Attributes:
    """`@since`, `@unstable`, `@deprecated` and `@external-id` in front of an item; `span` covers them all, if any."""

    since: str | None = None
    feature: str | None = None
    deprecated: str | None = None
    external_id: str | None = None
    span: Span | None = None


@dataclass(frozen=True, slots=True)
class Header:
    """`package a:b;` at the top of a file."""

    name: PackageName
    docs: Docs | None
    span: Span


# --- types ---


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


# --- functions ---


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


# --- type definitions ---


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


# --- interfaces and worlds ---


@dataclass(frozen=True, slots=True)
class UseName:
    """`name`, or `name as alias`, between the braces of a `use`."""

    name: Name
    alias: Name | None
    span: Span

    @property
    def local(self) -> Name:
        """The name it has where it is used."""
        return self.alias or self.name


@dataclass(frozen=True, slots=True)
class Use:
    """`use path.{names};`."""

    path: Path
    names: tuple[UseName, ...]
    attributes: Attributes
    span: Span


InterfaceItem = Use | TypeDefinition | Function


@dataclass(frozen=True, slots=True)
class Interface:
    """`interface name { … }`; one that is written inside a world has the name of its import or export."""

    name: Name
    items: tuple[InterfaceItem, ...]
    docs: Docs | None
    attributes: Attributes
    span: Span


@dataclass(frozen=True, slots=True)
class InterfaceReference:
    """An import or export of an existing interface, by its path alone or under a label."""

    label: Name | None
    path: Path
    docs: Docs | None
    attributes: Attributes
    span: Span


Extern = Function | Interface | InterfaceReference


@dataclass(frozen=True, slots=True)
class Import:
    """`import …` in a world."""

    item: Extern
    span: Span


@dataclass(frozen=True, slots=True)
class Export:
    """`export …` in a world."""

    item: Extern
    span: Span


@dataclass(frozen=True, slots=True)
class Rename:
    """`old as new` in an include."""

    old: Name
    new: Name
    span: Span


@dataclass(frozen=True, slots=True)
class Include:
    """`include path with { … }`."""

    path: Path
    renames: tuple[Rename, ...]
    attributes: Attributes
    span: Span


WorldItem = Import | Export | Use | TypeDefinition | Include


@dataclass(frozen=True, slots=True)
class World:
    """`world name { … }`."""

    name: Name
    items: tuple[WorldItem, ...]
    docs: Docs | None
    attributes: Attributes
    span: Span


# --- files ---


@dataclass(frozen=True, slots=True)
class TopUse:
    """`use path as alias;` at the top of a file."""

    path: Path
    alias: Name | None
    span: Span

    @property
    def local(self) -> Name:
        """The name it has in the file."""
        return self.alias or self.path.name


@dataclass(frozen=True, slots=True)
class NestedPackage:
    """`package a:b { … }` at the top of a file."""

    name: PackageName
    items: tuple[PackageItem, ...]
    docs: Docs | None
    span: Span


PackageItem = Interface | World | TopUse
Item = PackageItem | NestedPackage


@dataclass(frozen=True, slots=True)
class File:
    """One file. The span is a single place, its first."""

    name: str
    header: Header | None
    items: tuple[Item, ...]
    span: Span
