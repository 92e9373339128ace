"""Interfaces: `use`, types, resources and functions.

In: the interfaces that may be used from. Out: tokens of a body, and what others may use from it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tests.witgen.helpers.writer.dice import Dice, Gate, identifier, listed
from tests.witgen.helpers.writer.types import Named, definition, expression


@dataclass(slots=True)
class Interface:
    """An interface that is finished: its types, and the interfaces that it uses from."""

    package: object
    name: str
    gate: Gate
    types: list[Named] = field(default_factory=list)
    uses: list[Interface] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Place:
    """Where something is written: how an interface is called there, and which may be used."""

    package: object
    version: str | None
    usable: Sequence[Interface]
    path: Callable[[Interface], str]


@dataclass(slots=True)
class Body:
    """The items of an interface, or of a world, while they are written; some may hide no types of their own."""

    gate: Gate
    hides_types: bool = True
    items: list[str] = field(default_factory=list)
    types: list[Named] = field(default_factory=list)
    uses: list[Interface] = field(default_factory=list)
    taken: set[str] = field(default_factory=set)

    def type_gate(self, dice: Dice, version: str | None) -> Gate:
        """The attributes of a type definition or a `use`."""
        gate = dice.gate(version, self.gate)
        return gate if self.hides_types or self.gate.off or not gate.off else Gate()

    def visible(self, gate: Gate) -> list[Named]:
        """The types that an item with this gate may refer to."""
        return [type for type in self.types if gate.off or not type.off]


def write_interface(dice: Dice, place: Place, gate: Gate) -> Body:
    """The items of an interface."""
    body = Body(gate)
    write_types(dice, place, body)
    for _ in range(dice.upto(3)):
        inner = dice.gate(place.version, gate)
        name = identifier(dice, dice.fresh(body.taken))
        body.items.append(joined(inner.text, f"{name} : {function(dice, body.visible(inner))} ;"))
    return body


def write_types(dice: Dice, place: Place, body: Body) -> None:
    """Uses, type definitions and resources. Members come last: they may refer to every type."""
    for _ in range(dice.upto(2)):
        _write_use(dice, place, body)
    resources: list[tuple[str, Gate]] = []
    for _ in range(dice.upto(4)):
        gate, name = body.type_gate(dice, place.version), dice.fresh(body.taken)
        if dice.chance(30):
            resources.append((name, gate))
            body.types.append(Named(name, resource=True, off=gate.off))
        else:
            text, named = definition(dice, name, gate, body.visible(gate))
            body.items.append(text)
            body.types.append(named)
    for name, gate in resources:
        body.items.append(joined(gate.text, _resource(dice, place, body, name, gate)))


def _write_use(dice: Dice, place: Place, body: Body) -> None:
    gate = body.type_gate(dice, place.version)
    interfaces = [interface for interface in place.usable if gate.off or not interface.gate.off]
    if not interfaces:
        return
    interface = dice.pick(interfaces)
    names = []
    known = [type for type in interface.types if gate.off or not type.off]
    if gate.off and interface.package is not place.package:
        known = []  # the reference refuses the same name where it is kept; see docs/wit-differences.md
    for type in dice.some(known, 60):
        local = type.name
        if local.lower() in body.taken or dice.chance(20):
            local = dice.fresh(body.taken)
        body.taken.add(local.lower())
        renamed = f" as {identifier(dice, local)}" if local != type.name or dice.chance(5) else ""
        names.append(identifier(dice, type.name) + renamed)
        body.types.append(Named(local, type.resource, type.borrows, gate.off))
    if names and not gate.off:
        body.uses.append(interface)
    body.items.append(joined(gate.text, f"use {place.path(interface)} . {{", listed(dice, names), "} ;"))


def _resource(dice: Dice, place: Place, body: Body, name: str, gate: Gate) -> str:
    written = f"resource {identifier(dice, name)}"
    if dice.chance(20):
        return f"{written} ;"
    members, taken = [], {name.lower()}
    if dice.chance(50):
        inner = dice.gate(place.version, gate)
        result = _constructed(dice, name, body.visible(inner))
        members.append(joined(inner.text, f"constructor {parameters(dice, body.visible(inner))}", result, ";"))
    for _ in range(dice.upto(3)):
        inner = dice.gate(place.version, gate)
        static = "static " if dice.chance(30) else ""
        text = function(dice, body.visible(inner), {"self"})
        members.append(joined(inner.text, f"{identifier(dice, dice.fresh(taken))} : {static}{text} ;"))
    return joined(f"{written} {{", *dice.shuffled(members), "}")


def _constructed(dice: Dice, name: str, types: Sequence[Named]) -> str:
    if dice.chance(70):
        return ""
    ok = identifier(dice, name)
    return f"-> result < {ok} >" if dice.chance(40) else f"-> result < {ok} , {expression(dice, types, False)[0]} >"


def function(dice: Dice, types: Sequence[Named], taken: set[str] | None = None) -> str:
    """A function type."""
    is_async = "async" if dice.chance(10) else ""
    result = "" if dice.chance(40) else f"-> {expression(dice, types, False)[0]}"
    return joined(is_async, f"func {parameters(dice, types, taken)}", result)


def parameters(dice: Dice, types: Sequence[Named], taken: set[str] | None = None) -> str:
    """A list of parameters in parentheses."""
    taken = set() if taken is None else set(taken)
    names = [dice.fresh(taken) for _ in range(dice.upto(3))]
    return joined(
        "(", listed(dice, [f"{identifier(dice, n)} : {expression(dice, types, True)[0]}" for n in names]), ")"
    )


def joined(*parts: str) -> str:
    """Tokens of several pieces, some of which may be empty."""
    return " ".join(part for part in parts if part)
