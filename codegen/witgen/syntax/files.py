"""Interfaces, worlds and files as they are written.

In: nothing; these are plain frozen dataclasses. Out: `File`, the root of the tree.
"""

from __future__ import annotations

from dataclasses import dataclass

from witgen.syntax.names import Attributes, Docs, Name, PackageName, Path, Span
from witgen.syntax.types import Function, TypeDefinition


@dataclass(frozen=True, slots=True)
class UseName:
    """`name`, or `name as alias`, between the braces of a `use`."""

    name: Name
    alias: Name | None
    span: Span

    @property
    def local(self) -> Name:
        """The name that it has in this scope."""
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


@dataclass(frozen=True, slots=True)
class Header:
    """`package a:b;` at the top of a file."""

    name: PackageName
    docs: Docs | None
    span: Span


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
