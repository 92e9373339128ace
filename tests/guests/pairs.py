"""The import that corresponds to an export of a world, by the rules of `tests.guests.forward`.

In: a resolved world. Out: its imports and exports as scopes, and the import for the scope and function of an export.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from witgen.model import (
    Function,
    FunctionItem,
    FunctionSort,
    InterfaceId,
    InterfaceItem,
    Resolved,
    Resource,
    TypeId,
    TypeItem,
    World,
    WorldItem,
    WorldKey,
)

ROOT = "$root"


@dataclass(frozen=True, slots=True)
class Scope:
    """An interface that a world imports or exports, or the bare functions of the world itself.

    `core` is the name in core modules, `name` the plain one.
    """

    core: str
    name: str
    interface: InterfaceId | None
    functions: dict[str, Function]
    resources: dict[str, TypeId]


@dataclass(frozen=True, slots=True)
class Import:
    """One function that can be imported."""

    scope: Scope
    function: Function


def scopes(resolved: Resolved, world: World) -> tuple[list[Scope], list[Scope]]:
    """The imports and the exports of a world."""
    return list(_scopes(resolved, world.imports)), list(_scopes(resolved, world.exports))


def _scopes(resolved: Resolved, items: Mapping[WorldKey, WorldItem]) -> Iterator[Scope]:
    root = Scope(ROOT, ROOT, None, {}, {})
    for key, item in items.items():
        match item:
            case FunctionItem(function):
                root.functions[function.name] = function
            case TypeItem(type):
                root.resources.update(_resources(resolved, {str(key): type}))
            case InterfaceItem(interface=id):
                found = resolved.interfaces[id]
                core = key if isinstance(key, str) else resolved.packages[found.package].name.of(str(found.name))
                resources = _resources(resolved, found.types)
                yield Scope(core, found.name or core, id, dict(found.functions), resources)
    yield root


def _resources(resolved: Resolved, types: Mapping[str, TypeId]) -> dict[str, TypeId]:
    return {name: id for name, id in types.items() if isinstance(resolved.types[id].kind, Resource)}


def matching_scope(exported: Scope, imports: Sequence[Scope]) -> Scope | None:
    """The import that an exported interface forwards to, and the world's own imports for the world's own exports."""
    same = [each for each in imports if each.core == exported.core]
    named = [each for name in _names(exported.name) for each in imports if each.name == name]
    return next(iter([*same, *named]), None)


def matching_function(
    exported: Scope, function: Function, imports: Sequence[Scope], fits: Callable[[Function], bool]
) -> Import | None:
    """The import that an exported function forwards to. Raises `ValueError` if the one in its scope does not fit."""
    scope = matching_scope(exported, imports)
    names = [function.name, *(other for name in _plain(function) for other in _names(name))]
    for name in names:
        if scope is not None and name in scope.functions:
            if not fits(scope.functions[name]):
                raise ValueError(f"`{function.name}` and the import `{name}` of `{scope.name}` differ in core values")
            return Import(scope, scope.functions[name])
    for name in names:
        elsewhere = [each for each in imports if name in each.functions and fits(each.functions[name])]
        if len(elsewhere) == 1:
            return Import(elsewhere[0], elsewhere[0].functions[name])
    return None


def _names(name: str) -> Iterator[str]:
    """The possible names of the import for an export `name`."""
    yield name
    yield f"host-{name}"
    for prefix in ("call-", "guest-"):
        if name.startswith(prefix):
            yield from _names(name.removeprefix(prefix))


def _plain(function: Function) -> Iterator[str]:
    """A function's name without brackets: `new-r` for a constructor, `r-m` for a method or static function."""
    name = function.name.partition("]")[2].replace(".", "-")
    if function.sort is FunctionSort.FREESTANDING:
        yield function.name
    else:
        yield f"new-{name}" if function.sort is FunctionSort.CONSTRUCTOR else name
