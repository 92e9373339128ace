"""One package, from its scope to its place in the arena.

In: a `PackageSource`, the packages before it, and the gates. Out: the package's interfaces, types and worlds at the
ends of the arena. This is the whole path in one place: plan, list, finish, include, complete.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from witgen import model, syntax
from witgen.diagnostics import Errors, WitError
from witgen.model import FunctionItem, InterfaceItem, PackageId, PackageName, TypeItem, WorldId, WorldItem
from witgen.resolver.arena import Arena
from witgen.resolver.distinct import distinctive, too_similar
from witgen.resolver.draft import Draft, ListedInterface, ListedItem
from witgen.resolver.elaborate import completed
from witgen.resolver.finish import Finished, finish_function, finish_functions, finish_types
from witgen.resolver.gates import Gates, check_since, stability
from witgen.resolver.include import Side, Target, include
from witgen.resolver.interfaces import hidden, list_interface
from witgen.resolver.packages import PackageSource
from witgen.resolver.plan import Plan, check_top_uses, find_world, plan
from witgen.resolver.scopes import Foreign, package_scope
from witgen.resolver.types import docs_text
from witgen.resolver.worlds import ListedWorld, list_world
from witgen.syntax import Name

MOST_IMPLIED = 100_000  # in all worlds together; real WIT stays far below


def add_package(arena: Arena, source: PackageSource, known: Mapping[PackageName, PackageId], gates: Gates) -> PackageId:
    """Resolve a package whose dependencies are in the arena, and return its id.

    Each step gathers the errors that it can find without the result of another, and ends the way if there are any.
    """
    errors = Errors()
    if not source.is_binary:  # there the gates of included worlds stand beside those of the package itself
        check_since(source, gates, errors)
    scope = package_scope(source, known, errors)
    errors.check()
    planned = plan(len(arena.packages), scope, arena, gates, errors)
    check_top_uses(planned, arena, errors)
    draft = Draft(arena, planned, gates, errors, len(arena.types))
    worlds = _list(draft)
    errors.check()
    finished = finish_types(draft)
    for interface in draft.interfaces.values():
        _add_interface(finished, interface, interface.written.name.text)
    for interface in (interface for world in worlds for interface in world.inline):
        _add_interface(finished, interface, None)
    kept = [(world, world.id) for world in worlds if world.id is not None]
    sides = [(_side(finished, world.imports), _side(finished, world.exports)) for world, _ in kept]
    errors.check()
    for (world, id), (imports, exports) in zip(kept, sides, strict=True):
        arena.worlds.append(_world(draft, world, Target(id, planned.package, imports, exports)))
    errors.check()
    _add_package(arena, planned, source)
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
    """Append an interface, unless it is hidden; anything inside it that is kept was refused before."""
    if listed.id is None:
        return
    types = ((name, finished.known(type)) for name, type in listed.types.items())
    finished.draft.arena.interfaces.append(
        model.Interface(
            name=name,
            package=finished.draft.plan.package,
            types={name: type for name, type in types if type is not None},
            functions=finish_functions(finished, listed.functions.values()),
            docs=docs_text(listed.written.docs),
            stability=stability(listed.written.attributes),
            span=listed.written.name.span,
        )
    )


def _side(finished: Finished, listed: Iterable[ListedItem]) -> Side:
    """The imports or exports that are kept, over finished ids."""
    side = Side({}, {})
    for entry in listed:
        item = _item(finished, entry)
        if item is not None:
            side.items[entry.key] = item
            side.places[entry.key] = entry.span
    return side


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
    """The finished world: its own items, those that it includes, and, if nothing is wrong, those that they imply."""
    written, name, found = listed.written, listed.written.name, len(draft.errors)
    for item in written.items:
        if isinstance(item, syntax.Include):
            with draft.errors.caught():
                _include(draft, listed, target, item)
            _limit(draft, name)
    for side in (target.imports, target.exports):
        _distinct(draft.errors, side)
    imports, exports = target.imports.items, target.exports.items
    if len(draft.errors) == found and target.id not in draft.broken:
        with draft.errors.caught():
            imports, exports = completed(draft.arena, target.id, name, imports, exports)
    if len(draft.errors) > found:
        draft.broken.add(target.id)
    _limit(draft, name)
    gate, docs = stability(written.attributes), docs_text(written.docs)
    return model.World(name.text, target.package, imports, exports, docs, gate, name.span)


def _limit(draft: Draft, world: Name) -> None:
    """Stop if worlds become too large: a few lines can stand for millions of items."""
    if draft.arena.implied > MOST_IMPLIED:
        message = f"up to `{world.text}`, worlds include and imply more than {MOST_IMPLIED} items"
        draft.errors.add(WitError(message, world.span, "include fewer worlds in others"))
        draft.errors.check()


def _include(draft: Draft, listed: ListedWorld, target: Target, written: syntax.Include) -> None:
    kept = draft.gates.keep(stability(written.attributes))
    if not kept and isinstance(draft.plan.scope.find(written.path, listed.file), Foreign):
        return
    world = find_world(draft.plan, draft.arena, written.path, listed.file)
    if not kept:
        return
    if world is None:
        raise hidden("world", written.path.name)
    if world in draft.broken:
        draft.broken.add(target.id)
    else:
        include(draft.arena, target, written, world)


def _distinct(errors: Errors, side: Side) -> None:
    """Refuse plain names that a component cannot tell apart."""
    seen: dict[str, str] = {}
    for key in side.items:
        if isinstance(key, str):
            other = seen.setdefault(distinctive(key), key)
            if other != key:
                errors.add(too_similar(key, other, side.places[key]))


def _add_package(arena: Arena, planned: Plan, source: PackageSource) -> None:
    interfaces = {name: id for name, id in planned.interfaces.items() if id is not None}
    worlds: dict[str, WorldId] = {name: id for name, id in planned.worlds.items() if id is not None}
    arena.packages.append(model.Package(source.name, source.docs, interfaces, worlds, source.span.file))
    for name, id in (*planned.interfaces.items(), *planned.worlds.items()):
        if id is None:
            arena.hidden.add((planned.package, name))
