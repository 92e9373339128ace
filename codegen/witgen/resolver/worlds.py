"""Worlds → listed worlds.

In: the syntax of a world. Out: `ListedWorld`: its imports and exports over draft ids, without the items that they
imply, and its includes.
"""

from __future__ import annotations

from dataclasses import dataclass

from witgen import model, syntax
from witgen.diagnostics import WitError
from witgen.model import InterfaceItem, WorldId, WorldOwner
from witgen.resolver.draft import Draft, ListedInterface, ListedItem, TypeScope
from witgen.resolver.functions import list_function, list_members
from witgen.resolver.gates import stability
from witgen.resolver.interfaces import declare, declare_types, hidden, list_interface, list_types
from witgen.resolver.plan import find_interface
from witgen.resolver.scopes import Foreign, Local
from witgen.resolver.types import docs_text
from witgen.syntax import Name, Path


@dataclass(frozen=True, slots=True)
class ListedWorld:
    """One world; `id` is `None` if it is hidden. The interfaces inside it are in `inline`."""

    id: WorldId | None
    written: syntax.World
    file: int
    imports: list[ListedItem]
    exports: list[ListedItem]
    inline: list[ListedInterface]


def list_world(draft: Draft, id: WorldId | None, written: syntax.World, file: int) -> ListedWorld:
    """List one world. Its types come first, wherever they are written."""
    scope = TypeScope(None if id is None else WorldOwner(id))
    _declare_items(draft, scope, written, file)
    list_types(draft, scope, written.items, file)
    world = ListedWorld(id, written, file, [], [], [])
    for name, type in scope.types.items():
        world.imports.append(ListedItem(name, model.TypeItem(type), draft.types[type - draft.base].span))
    for position, item in enumerate(written.items):
        with draft.errors.caught():
            _list_item(draft, world, scope, item, position)
    return world


def _list_item(draft: Draft, world: ListedWorld, scope: TypeScope, item: syntax.WorldItem, position: int) -> None:
    match item:
        case syntax.Import():
            _list_extern(draft, world, scope, item.item, position, world.imports)
        case syntax.Export():
            _list_extern(draft, world, scope, item.item, position, world.exports)
        case syntax.Resource():
            for function in list_members(draft, scope, item):
                world.imports.append(ListedItem(function.name, model.FunctionItem(function), function.span))


def _list_extern(
    draft: Draft,
    world: ListedWorld,
    scope: TypeScope,
    written: syntax.Extern,
    position: int,
    items: list[ListedItem],
) -> None:
    match written:
        case syntax.Function():
            function = list_function(draft, scope, written)
            items.append(ListedItem(function.name, model.FunctionItem(function), function.span))
        case syntax.Interface():
            id = draft.plan.inline[world.written.name.text, position]
            world.inline.append(list_interface(draft, id, written, world.file))
            if id is not None:
                item = InterfaceItem(id, None, stability(written.attributes), written.attributes.external_id)
                items.append(ListedItem(written.name.text, item, written.name.span))
        case syntax.InterfaceReference():
            items.extend(_list_reference(draft, world, written))


def _list_reference(draft: Draft, world: ListedWorld, written: syntax.InterfaceReference) -> list[ListedItem]:
    """An existing interface; nothing if the reference is hidden."""
    gate = stability(written.attributes)
    kept = world.id is not None and draft.gates.keep(gate)
    if not kept and isinstance(draft.plan.scope.find(written.path, world.file), Foreign):
        return []
    id = find_interface(draft.plan, draft.arena, written.path, world.file)
    if not kept:
        return []
    if id is None:
        raise hidden("interface", written.path.name)
    key = written.label.text if written.label else id
    item = InterfaceItem(id, docs_text(written.docs), gate, written.attributes.external_id)
    return [ListedItem(key, item, (written.label or written.path.name).span)]


def _declare_items(draft: Draft, scope: TypeScope, written: syntax.World, file: int) -> None:
    """Take the names of a world; its imports share a scope with its types, its exports have one of their own."""
    exports = TypeScope(None)
    by_path: set[tuple[str, object, str]] = set()
    for item in written.items:
        declare_types(draft.errors, scope, item)
        if not isinstance(item, syntax.Import | syntax.Export):
            continue
        names = scope if isinstance(item, syntax.Import) else exports
        match item.item:
            case syntax.Function(name=name):
                declare(draft.errors, names, name, "a function")
            case syntax.Interface(name=name) | syntax.InterfaceReference(label=Name() as name):
                declare(draft.errors, names, name, "an interface")
            case syntax.InterfaceReference(path=path):
                with draft.errors.caught():
                    _declare_path(draft, path, file, "imported" if names is scope else "exported", by_path)


def _declare_path(draft: Draft, path: Path, file: int, verb: str, taken: set[tuple[str, object, str]]) -> None:
    """Note that an interface is imported or exported by its path, which it may be once."""
    target = draft.plan.scope.find(path, file)
    named = target.item.name if isinstance(target, Local) else target.name
    key = verb, None if isinstance(target, Local) else target.package, named.text
    if key in taken:
        raise WitError(f"interface `{named.text}` is {verb} twice", path.name.span, "remove one of them")
    taken.add(key)
