"""Interfaces and worlds while they are put together.

In: nothing. Out: mutable classes for `interfaces` and `worlds`, which fill them, and `writing`, which turns them into
syntax. An interface is mentioned in several places of a binary, each of which may show another part of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from witgen import syntax
from witgen.decode.names import FullName
from witgen.syntax import Name, Span


@dataclass(frozen=True, slots=True)
class Used:
    """A type that another interface has, under the name `local` here."""

    interface: Interface
    name: str
    local: Name
    external_id: str | None


@dataclass(eq=False, slots=True)
class Body:
    """The types and functions of an interface or world, by name, and the members of its resources."""

    types: dict[str, Used | syntax.TypeDefinition] = field(default_factory=dict)
    functions: dict[str, syntax.Function] = field(default_factory=dict)
    members: dict[str, list[syntax.Function]] = field(default_factory=dict)
    seen: dict[str, syntax.Function] = field(default_factory=dict)
    """The functions by their full names, members included."""


@dataclass(eq=False, slots=True)
class Interface:
    """An interface; without a full name it is inside a world."""

    name: Name
    full_name: FullName | None
    body: Body = field(default_factory=Body)


@dataclass(frozen=True, slots=True)
class Instance:
    """An import or export of an interface, perhaps under a label."""

    interface: Interface
    label: Name | None
    external_id: str | None
    place: Span


@dataclass(eq=False, slots=True)
class World:
    """A world; its imported functions and its types are in `body`."""

    name: Name
    body: Body = field(default_factory=Body)
    imports: dict[str, Instance] = field(default_factory=dict)
    exports: dict[str, Instance | syntax.Function] = field(default_factory=dict)


@dataclass(eq=False, slots=True)
class Package:
    """A package, of which perhaps only a part is known."""

    interfaces: dict[str, Interface] = field(default_factory=dict)
    worlds: dict[str, World] = field(default_factory=dict)
