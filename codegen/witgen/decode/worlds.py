"""Imports and exports of a component, or of the type of one → a world.

In: a `Scope` with everything that is imported and exported. Out: `drafts.World`s, and the interfaces that they mention.
"""

from __future__ import annotations

from witgen.decode import drafts
from witgen.decode.evaluate import Extern, Function, Instance, Scope, Type
from witgen.decode.interfaces import Interfaces
from witgen.decode.names import full_name, is_full, label
from witgen.diagnostics import WitError


def fill_world(interfaces: Interfaces, world: drafts.World, scope: Scope) -> None:
    """Add what is imported and exported. Core modules and values among it are no part of a world."""
    for extern in scope.imports.values():
        match extern.entity:
            case Instance():
                world.imports.setdefault(extern.name.text, _instance(interfaces, extern, extern.entity))
            case Type():
                interfaces.add_type(world.body, extern, extern.entity)
            case Function():
                interfaces.add_function(world.body, extern, extern.entity)
    for extern in scope.exports.values():
        match extern.entity:
            case Instance():
                world.exports.setdefault(extern.name.text, _instance(interfaces, extern, extern.entity))
            case Function():
                _export_function(interfaces, world, extern, extern.entity)
            case _:
                place = interfaces.place(extern.name.offset)
                hint = "WIT has no other exports"
                raise WitError(f"export `{extern.name.text}` is neither a function nor an interface", place, hint)


def _instance(interfaces: Interfaces, extern: Extern, instance: Instance) -> drafts.Instance:
    name, place = extern.name, interfaces.place(extern.name.offset)
    labelled = None if is_full(name.text) else label(name.text, place)
    if labelled is not None and name.implements is None:
        interface = interfaces.inline(labelled)
    else:
        interface = interfaces.interface(full_name(name.implements or name.text, place), place)
    interfaces.fill(interface.body, instance.exports.values())
    return drafts.Instance(interface, labelled, name.external_id, place)


def _export_function(interfaces: Interfaces, world: drafts.World, extern: Extern, function: Function) -> None:
    written, resource = interfaces.function(world.body, extern, function)
    if resource is not None:
        place = interfaces.place(extern.name.offset)
        raise WitError(f"`{extern.name.text}` of a resource is exported outside an interface", place)
    world.exports.setdefault(written.name.text, written)
