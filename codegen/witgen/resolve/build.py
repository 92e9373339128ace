"""One package, from its scope to its place in the arena.

In: a `PackageSource`, the packages before it, and the gates. Out: the package's interfaces, types and worlds at the
ends of the arena. This is the whole path in one place: plan, list, finish, include, complete.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from witgen import model, syntax
from witgen.diagnostics import WitError
from witgen.model import FunctionItem, InterfaceItem, PackageId, PackageName, TypeItem, WorldId, WorldItem
from witgen.resolve.arena import Arena
from witgen.resolve.draft import Draft, ListedInterface, ListedItem
from witgen.resolve.elaborate import Items, completed, path_key
from witgen.resolve.finish import Finished, finish_function, finish_functions, finish_types
from witgen.resolve.gates import Gates, check_since, stability
from witgen.resolve.include import Target, include
from witgen.resolve.interfaces import hidden, list_interface
from witgen.resolve.packages import PackageSource
from witgen.resolve.plan import Plan, check_top_uses, find_world, plan
from witgen.resolve.scopes import Foreign, package_scope
from witgen.resolve.types import docs_text
from witgen.resolve.worlds import ListedWorld, list_world
from witgen.syntax import Span


def add_package(arena: Arena, source: PackageSource, known: Mapping[PackageName, PackageId], gates: Gates) -> PackageId:
    """Resolve a package whose dependencies are in the arena, and return its id."""
    check_since(source, gates)
    planned = plan(len(arena.packages), package_scope(source, known), arena, gates)
    check_top_uses(planned, arena)
    draft = Draft(arena, planned, gates, len(arena.types))
    worlds = _list(draft)
    finished = finish_types(draft)
    for interface in draft.interfaces.values():
        _add_interface(finished, interface, interface.written.name.text)
    for interface in (interface for world in worlds for interface in world.inline):
        _add_interface(finished, interface, None)
    kept = [(world, world.id) for world in worlds if world.id is not None]
    sides = [(_items(finished, world.imports), _items(finished, world.exports)) for world, _ in kept]
    for (world, id), (imports, exports) in zip(kept, sides, strict=True):
        arena.worlds.append(_world(draft, world, Target(id, planned.package, imports, exports)))
    _add_package(arena, planned, source.docs)
    return planned.package


def _list(draft: Draft) -> list[ListedWorld]:
    """List everything of the package: interfaces, which worlds then use, and worlds."""
    declared = draft.plan.scope.declared
    for name, interface_id in draft.plan.interfaces.items():
        item, file = declared[name].item, declared[name].file
        assert isinstance(item, syntax.Interface)
        draft.interfaces[name] = list_interface(draft, interface_id, item, file)
    worlds = []
    for name, world_id in draft.plan.worlds.items():
        item, file = declared[name].item, declared[name].file
        assert isinstance(item, syntax.World)
        worlds.append(list_world(draft, world_id, item, file))
    return worlds


def _add_interface(finished: Finished, listed: ListedInterface, name: str | None) -> None:
    """Append an interface; a hidden one is left out, but what is kept inside it was refused by then."""
    if listed.id is None:
        return
    types = ((name, finished.known(type)) for name, type in listed.types.items())
    finished.draft.arena.interfaces.append(
        model.Interface(
            name=name,
            package=finished.draft.plan.package,
            types={name: type for name, type in types if type is not None},
            functions=finish_functions(finished, listed.functions),
            docs=docs_text(listed.written.docs),
            stability=stability(listed.written.attributes),
            span=listed.written.name.span,
        )
    )


def _items(finished: Finished, listed: Iterable[ListedItem]) -> Items:
    """The imports or exports that are kept, over finished ids."""
    items: Items = {}
    for entry in listed:
        item = _item(finished, entry)
        if item is not None:
            items[entry.key] = item
    return items


def _item(finished: Finished, listed: ListedItem) -> WorldItem | None:
    match listed.item:
        case TypeItem(type=type):
            known = finished.known(type)
            return None if known is None else TypeItem(known)
        case FunctionItem(function=function):
            kept = finished.draft.gates.keep(function.stability)
            return FunctionItem(finish_function(finished, function)) if kept else None
        case InterfaceItem():
            return listed.item


def _world(draft: Draft, listed: ListedWorld, target: Target) -> model.World:
    """The finished world: its own items, what it includes, and what they all imply."""
    written, name = listed.written, listed.written.name
    places = {item.key: item.span for item in (*listed.imports, *listed.exports)}
    for item in written.items:
        if isinstance(item, syntax.Include):
            _include(draft, listed, target, item)
            for key in (*target.imports, *target.exports):
                places.setdefault(key, item.path.name.span)
    for side in (target.imports, target.exports):
        _distinct_in_any_case(side, places)
    imports, exports = completed(draft.arena, target.id, name, target.imports, target.exports)
    gate, docs = stability(written.attributes), docs_text(written.docs)
    return model.World(name.text, target.package, imports, exports, docs, gate, name.span)


def _include(draft: Draft, listed: ListedWorld, target: Target, written: syntax.Include) -> None:
    kept = draft.gates.keep(stability(written.attributes))
    if not kept and isinstance(draft.plan.scope.find(written.path, listed.file), Foreign):
        return
    world = find_world(draft.plan, draft.arena, written.path, listed.file)
    if not kept:
        return
    if world is None:
        raise hidden("world", written.path.name)
    include(draft.arena, target, written, world)


def _distinct_in_any_case(items: Items, places: Mapping[str, Span]) -> None:
    """Refuse plain names that are equal but for their case."""
    seen: dict[str, str] = {}
    for key, item in items.items():
        if isinstance(item, InterfaceItem) and key == path_key(item.interface):
            continue
        other = seen.setdefault(key.lower(), key)
        if other != key:
            raise WitError(f"`{key}` and `{other}` differ only in case", places[key], "rename one of them")


def _add_package(arena: Arena, planned: Plan, docs: str | None) -> None:
    interfaces = {name: id for name, id in planned.interfaces.items() if id is not None}
    worlds: dict[str, WorldId] = {name: id for name, id in planned.worlds.items() if id is not None}
    arena.packages.append(model.Package(planned.scope.name, docs, interfaces, worlds))
    for name, id in (*planned.interfaces.items(), *planned.worlds.items()):
        if id is None:
            arena.hidden.add((planned.package, name))
