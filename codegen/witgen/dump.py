"""Model → the resolve JSON, the form in which WIT tools exchange resolved packages.

In: `model.Resolved`. Out: a dict of `worlds`, `interfaces`, `types` and `packages`, or its text. Ids are those of the
model: positions in these four lists. Docs, gates and external ids are left out if there are none; every other field is
always present, except that a function without a result has no `result`.

An interface that a world names by its path is printed under the key `interface-<id>`, which may be a plain name in the
world as well. The text then contains the key twice, like that of wasm-tools; the dict has the last of the two, as most
readers of such a text do.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, assert_never

from witgen import model
from witgen.model import Function, FunctionSort, Kind, Primitive, Resolved, Stability, TypeRef, WorldItem, WorldKey

Object = dict[str, Any]


def dump(resolved: Resolved) -> Object:
    """Everything that was resolved."""
    return _everything(resolved, _printed)


def dump_text(resolved: Resolved) -> str:
    """The same as JSON."""
    return json.dumps(_everything(resolved, lambda key: _Unequal(_printed(key))), indent=2)


class _Unequal(str):
    """A text that is not equal to any other, so that a dict can have two keys that are printed alike."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)


def _printed(key: WorldKey) -> str:
    return key if isinstance(key, str) else f"interface-{key}"


def _everything(resolved: Resolved, named: Callable[[WorldKey], str]) -> Object:
    return {
        "worlds": [_world(world, named) for world in resolved.worlds],
        "interfaces": [_interface(interface) for interface in resolved.interfaces],
        "types": [_type(definition) for definition in resolved.types],
        "packages": [_package(package) for package in resolved.packages],
    }


def _package(package: model.Package) -> Object:
    return {
        "name": str(package.name),
        **_notes(docs=package.docs),
        "interfaces": dict(package.interfaces),
        "worlds": dict(package.worlds),
    }


def _world(world: model.World, named: Callable[[WorldKey], str]) -> Object:
    return {
        "name": world.name,
        "imports": _world_items(world.imports, named),
        "exports": _world_items(world.exports, named),
        "package": world.package,
        **_notes(world.docs, world.stability),
    }


def _world_items(items: Mapping[WorldKey, WorldItem], named: Callable[[WorldKey], str]) -> Object:
    return {named(key): _world_item(item) for key, item in items.items()}


def _world_item(item: WorldItem) -> Object:
    match item:
        case model.InterfaceItem():
            return {"interface": {"id": item.interface, **_notes(item.docs, item.stability, item.external_id)}}
        case model.FunctionItem():
            return {"function": _function(item.function)}
        case model.TypeItem():
            return {"type": item.type}
        case _:
            assert_never(item)


def _interface(interface: model.Interface) -> Object:
    copied = {} if interface.clone_of is None else {"clone_of": interface.clone_of}
    return {
        "name": interface.name,
        "types": dict(interface.types),
        "functions": {name: _function(function) for name, function in interface.functions.items()},
        **_notes(interface.docs, interface.stability),
        "package": interface.package,
        **copied,
    }


def _function(function: Function) -> Object:
    result = {} if function.result is None else {"result": _reference(function.result)}
    return {
        "name": function.name,
        "kind": _function_kind(function),
        "params": [{"name": p.name, "type": _reference(p.type)} for p in function.parameters],
        **result,
        **_notes(function.docs, function.stability, function.external_id),
    }


def _function_kind(function: Function) -> str | Object:
    sort = f"async-{function.sort.value}" if function.is_async else function.sort.value
    return sort if function.sort is FunctionSort.FREESTANDING else {sort: function.resource}


def _type(definition: model.TypeDef) -> Object:
    return {
        "name": definition.name,
        "kind": _kind(definition.kind),
        "owner": _owner(definition.owner),
        **_notes(definition.docs, definition.stability, definition.external_id),
    }


def _owner(owner: model.Owner | None) -> Object | None:
    match owner:
        case None:
            return None
        case model.InterfaceOwner():
            return {"interface": owner.interface}
        case model.WorldOwner():
            return {"world": owner.world}
        case _:
            assert_never(owner)


def _kind(kind: Kind) -> str | Object:
    match kind:
        case model.Resource():
            return "resource"
        case model.Alias():
            return {"type": _reference(kind.target)}
        case model.Own():
            return {"handle": {"own": kind.resource}}
        case model.Borrow():
            return {"handle": {"borrow": kind.resource}}
        case model.Record():
            return {"record": {"fields": [_part(field) for field in kind.fields]}}
        case model.Variant():
            return {"variant": {"cases": [_part(case) for case in kind.cases]}}
        case model.Flags():
            return {"flags": {"flags": [_label(flag) for flag in kind.flags]}}
        case model.EnumKind():
            return {"enum": {"cases": [_label(case) for case in kind.cases]}}
        case model.Tuple():
            return {"tuple": {"types": [_reference(item) for item in kind.types]}}
        case model.Option():
            return {"option": _reference(kind.type)}
        case model.List():
            return {"list": _reference(kind.type)}
        case model.FixedLengthList():
            return {"fixed-length-list": [_reference(kind.type), kind.length]}
        case model.Map():
            return {"map": [_reference(kind.key), _reference(kind.value)]}
        case model.Result():
            return {"result": {"ok": _optional(kind.ok), "err": _optional(kind.err)}}
        case model.Future():
            return {"future": _optional(kind.type)}
        case model.Stream():
            return {"stream": _optional(kind.type)}
        case _:
            assert_never(kind)


def _part(part: model.Field | model.Case) -> Object:
    return {"name": part.name, "type": _optional(part.type), **_notes(part.docs)}


def _label(label: model.Label) -> Object:
    return {"name": label.name, **_notes(label.docs)}


def _reference(reference: TypeRef) -> str | int:
    return reference.value if isinstance(reference, Primitive) else reference


def _optional(reference: TypeRef | None) -> str | int | None:
    return None if reference is None else _reference(reference)


def _notes(docs: str | None = None, stability: Stability | None = None, external_id: str | None = None) -> Object:
    """The fields that are present only if something was written."""
    notes: Object = {}
    if docs is not None:
        notes["docs"] = {"contents": docs}
    if stability is not None:
        notes["stability"] = _stability(stability)
    if external_id is not None:
        notes["external_id"] = external_id
    return notes


def _stability(stability: Stability) -> Object:
    deprecated = {} if stability.deprecated is None else {"deprecated": stability.deprecated}
    if stability.feature is not None:
        return {"unstable": {"feature": stability.feature, **deprecated}}
    return {"stable": {"since": stability.since, **deprecated}}
