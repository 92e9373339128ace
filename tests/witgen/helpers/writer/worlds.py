"""Worlds: imports, exports, types, and includes with renames.

In: the interfaces and worlds that may be named. Out: tokens of a body, and what a world that includes it has to know.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tests.witgen.helpers.writer.dice import Dice, Gate, identifier, listed
from tests.witgen.helpers.writer.interfaces import (
    Body,
    Interface,
    Place,
    function,
    joined,
    write_interface,
    write_types,
)


@dataclass(slots=True)
class World:
    """A world that is finished: the plain names of its imports and exports that are kept."""

    package: object
    name: str
    gate: Gate
    imports: list[str] = field(default_factory=list)
    exports: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Includable:
    """The worlds that may be included where a world is written, and how they are called there."""

    worlds: Sequence[World]
    path: Callable[[World], str]


@dataclass(slots=True)
class Side:
    """The imports, or the exports: names that are taken, those that are kept, interfaces named by their paths."""

    word: str
    taken: set[str] = field(default_factory=set)
    kept: list[str] = field(default_factory=list)
    paths: set[str] = field(default_factory=set)


def write_world(dice: Dice, place: Place, includable: Includable, world: World) -> Body:
    """The items of `world`, whose names are filled in."""
    body = Body(world.gate, hides_types=False)
    write_types(dice, place, body)
    imports, exports = Side("import", taken=body.taken), Side("export")
    imports.kept.extend(type.name for type in body.types if not type.off)
    for side in (imports, exports):
        for _ in range(dice.upto(4 if side is imports else 2)):
            _write_extern(dice, place, body, side)
    for _ in range(dice.upto(2)):
        _write_include(dice, place, body, includable, imports, exports)
    world.imports, world.exports = imports.kept, exports.kept
    return body


def _write_extern(dice: Dice, place: Place, body: Body, side: Side) -> None:
    gate = dice.gate(place.version, body.gate)
    sort = dice.pick(("function", "inline", "labelled", "path", "path"))
    interfaces = [interface for interface in place.usable if gate.off or not interface.gate.off]
    if sort == "path":
        free = [interface for interface in interfaces if _key(interface) not in side.paths]
        if free:
            _write_path(dice, place, body, side, dice.pick(free), gate)
        return
    if sort == "labelled" and not interfaces:
        return
    name = dice.fresh(side.taken)
    start = joined(gate.text, side.word, identifier(dice, name), ":")
    if not gate.off:
        side.kept.append(name)
    if sort == "function":
        body.items.append(joined(start, function(dice, body.visible(gate)), ";"))
    elif sort == "inline":
        inside = write_interface(dice, place, gate)
        body.items.append(joined(start, "interface {", *dice.shuffled(inside.items), "}"))
    else:
        body.items.append(joined(start, place.path(dice.pick(interfaces)), ";"))


def _write_path(dice: Dice, place: Place, body: Body, side: Side, interface: Interface, gate: Gate) -> None:
    """An interface by its path; most exports come with all that they use, since one may not be there both ways."""
    side.paths.add(_key(interface))
    body.items.append(joined(gate.text, f"{side.word} {place.path(interface)} ;"))
    if side.word == "export" and dice.chance(90):
        for used in interface.uses:
            if _key(used) not in side.paths and (gate.off or not used.gate.off):
                _write_path(dice, place, body, side, used, gate)


def _write_include(dice: Dice, place: Place, body: Body, includable: Includable, imports: Side, exports: Side) -> None:
    gate = dice.gate(place.version, body.gate)
    worlds = [world for world in includable.worlds if gate.off or not world.gate.off]
    if not worlds:
        return
    world = dice.pick(worlds)
    renames = {}
    for name in dict.fromkeys((*world.imports, *world.exports)):
        sides = [side for side, names in ((imports, world.imports), (exports, world.exports)) if name in names]
        if any(name.lower() in side.taken for side in sides) or dice.chance(15):
            renames[name] = dice.fresh(set().union(*(side.taken for side in sides)))
        for side in sides:
            side.taken.add(renames.get(name, name).lower())
            if not gate.off:
                side.kept.append(renames.get(name, name))
    start = joined(gate.text, f"include {includable.path(world)}")
    pairs = [f"{identifier(dice, old)} as {identifier(dice, new)}" for old, new in renames.items()]
    if gate.off or not (pairs or dice.chance(5)):
        body.items.append(joined(start, ";"))
    else:
        body.items.append(joined(start, "with {", listed(dice, pairs), "}"))


def _key(interface: Interface) -> str:
    return f"{interface.package}/{interface.name}"
