"""`include`: the imports and exports of one world, copied into another.

In: a finished world, and the imports and exports so far of the world that includes it. Out: the latter, extended.
Interfaces that are named by a path are shared; everything with a plain name is copied, with new ids for its types.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from witgen import model, syntax
from witgen.diagnostics import Errors, WitError, did_you_mean
from witgen.kinds import references, rewritten
from witgen.model import (
    Alias,
    FunctionItem,
    FunctionSort,
    InterfaceItem,
    InterfaceOwner,
    Owner,
    Primitive,
    TypeId,
    TypeItem,
    TypeRef,
    WorldId,
    WorldItem,
    WorldKey,
    WorldOwner,
)
from witgen.resolver.arena import Arena
from witgen.resolver.elaborate import Items
from witgen.resolver.order import depth_first
from witgen.syntax import Name, Span


@dataclass(slots=True)
class _Copy:
    """The types that one `include` copied so far: new ids by old ones."""

    arena: Arena
    package: model.PackageId
    types: dict[TypeId, TypeId] = field(default_factory=dict)
    done: set[TypeId] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Side:
    """The imports or the exports so far, and the place of each of them."""

    items: Items
    places: dict[WorldKey, Span]


@dataclass(frozen=True, slots=True)
class Target:
    """The world that includes: its id and package, and its imports and exports."""

    id: WorldId
    package: model.PackageId
    imports: Side
    exports: Side


def include(arena: Arena, into: Target, written: syntax.Include, source: WorldId) -> None:
    """Extend the imports and exports of `into` by those of the world `source`. Raises `WitError` if they clash."""
    world, name = arena.worlds[source], written.path.name
    renames = _renames(written, world)
    copy = _Copy(arena, into.package)
    types = len(arena.types)
    for included, present in ((world.imports, into.imports), (world.exports, into.exports)):
        for key, item in included.items():
            if isinstance(key, str):
                new_key = _renamed(arena, renames, key, item)
                if new_key in present.items:
                    hint = f"give it another name: `include {name.text} with {{ {new_key} as … }}`"
                    raise WitError(f"the included `{new_key}` shadows another", name.span, hint)
                present.items[new_key] = _copied(copy, WorldOwner(source), WorldOwner(into.id), new_key, item)
                present.places[new_key] = name.span
            elif isinstance(item, InterfaceItem):
                present.items[key] = _shared(name, item, present.items.get(key), world.package != into.package)
    arena.implied += len(world.imports) + len(world.exports) + len(arena.types) - types


def _shared(name: Name, item: InterfaceItem, present: WorldItem | None, from_elsewhere: bool) -> InterfaceItem:
    """An interface that is named by its path: the present item stays, with the gates of both combined."""
    if not isinstance(present, InterfaceItem):
        present = replace(item, stability=None)
    # Another package's version means nothing here, and without it nothing says since when the interface is there.
    if from_elsewhere and item.stability and item.stability.since:
        return replace(present, stability=None)
    if present.stability and item.stability and present.stability != item.stability:
        hint = "give both the same attributes"
        raise WitError(f"an interface that `{name.text}` includes is present with another gate", name.span, hint)
    return replace(present, stability=present.stability or item.stability)


def _renames(written: syntax.Include, world: model.World) -> dict[str, str]:
    """New names by old ones, each of which the world has to have. Raises `WitError` if it has not."""
    plain = {key for key in (*world.imports, *world.exports) if isinstance(key, str)}
    renames: dict[str, str] = {}
    errors = Errors()
    for rename in written.renames:
        if rename.old.text not in plain:
            hint = did_you_mean(rename.old.text, plain) or "only plain names can be changed"
            errors.add(WitError(f"world `{world.name}` has no `{rename.old.text}`", rename.old.span, hint))
        renames.setdefault(rename.old.text, rename.new.text)  # a second new name is allowed and means nothing
    errors.check()
    return renames


def _renamed(arena: Arena, renames: dict[str, str], key: str, item: WorldItem) -> str:
    """The key of a copy; the functions of a renamed resource change theirs with it."""
    if isinstance(item, FunctionItem) and item.function.resource is not None:
        old = arena.types[item.function.resource].name
        new = renames.get(old or "")
        if new is None:
            return key
        member = "" if item.function.sort is FunctionSort.CONSTRUCTOR else key[key.index(".") :]
        return f"[{item.function.sort.value}]{new}{member}"
    return renames.get(key, key)


def _copied(copy: _Copy, old: Owner, new: Owner, key: str, item: WorldItem) -> WorldItem:
    match item:
        case FunctionItem():
            return FunctionItem(replace(_function(copy, old, new, item.function), name=key))
        case TypeItem():
            type = _type(copy, old, new, item.type)
            copy.arena.types[type] = replace(copy.arena.types[type], name=key)
            return TypeItem(type)
        case InterfaceItem():
            if copy.arena.interfaces[item.interface].name is None:
                return replace(item, interface=_interface(copy, item.interface))
            return item


def _interface(copy: _Copy, id: model.InterfaceId) -> model.InterfaceId:
    """A copy of an interface that is written inside a world."""
    original, new = copy.arena.interfaces[id], len(copy.arena.interfaces)
    owners = InterfaceOwner(id), InterfaceOwner(new)
    types = {name: _type(copy, *owners, type) for name, type in original.types.items()}
    functions = {name: _function(copy, *owners, function) for name, function in original.functions.items()}
    clone = replace(original, package=copy.package, types=types, functions=functions, clone_of=id)
    copy.arena.interfaces.append(clone)
    return new


def _function(copy: _Copy, old: Owner, new: Owner, function: model.Function) -> model.Function:
    resource = None if function.resource is None else _type(copy, old, new, function.resource)
    parameters = tuple(replace(p, type=_reference(copy, old, new, p.type)) for p in function.parameters)
    result = None if function.result is None else _reference(copy, old, new, function.result)
    return replace(function, resource=resource, parameters=parameters, result=result)


def _reference(copy: _Copy, old: Owner, new: Owner, reference: TypeRef) -> TypeRef:
    return reference if isinstance(reference, Primitive) else _type(copy, old, new, reference)


def _type(copy: _Copy, old: Owner, new: Owner, type: TypeId) -> TypeId:
    """The copy of a type; types that it refers to are copied first, except the target of an alias from elsewhere."""
    types = copy.arena.types

    def made_of(id: TypeId) -> list[TypeId]:
        kind = types[id].kind
        inner = [part for part in references(kind) if not isinstance(part, Primitive)]
        return [part for part in inner if not isinstance(kind, Alias) or types[part].owner == old]

    def copied(reference: TypeRef) -> TypeRef:
        return reference if isinstance(reference, Primitive) else copy.types.get(reference, reference)

    for id in depth_first([type], made_of, copy.done):
        kind = rewritten(types[id].kind, copied, lambda name: copy.types.get(name, name), copied)
        owner = new if types[id].owner == old else types[id].owner
        copy.types[id] = copy.arena.add(replace(types[id], kind=kind, owner=owner))
    return copy.types[type]
