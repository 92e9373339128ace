"""The imports and exports that those of a world imply.

In: the imports and exports that were written or included, over finished ids. Out: the same, in their final order and
completed with every interface that they use.
"""

from __future__ import annotations

from collections.abc import Sequence

from witgen.diagnostics import WitError
from witgen.model import (
    FunctionItem,
    FunctionSort,
    InterfaceId,
    InterfaceItem,
    InterfaceOwner,
    Stability,
    TypeItem,
    WorldId,
    WorldItem,
    WorldKey,
    WorldOwner,
)
from witgen.resolver.arena import Arena
from witgen.resolver.order import depth_first
from witgen.syntax import Name

Items = dict[WorldKey, WorldItem]


def completed(arena: Arena, world: WorldId, name: Name, imports: Items, exports: Items) -> tuple[Items, Items]:
    """The imports and exports of a world with everything that they imply; `name` is the place of faults."""
    all_imports: Items = {}
    done: set[InterfaceId] = set()
    for key, item in _by_class(arena, world, imports).items():
        stability = _stability(arena, item)
        for interface in depth_first(_needed_by(arena, item), arena.used_by, done):
            all_imports.setdefault(interface, InterfaceItem(interface, None, stability, None))
        all_imports.setdefault(key, item)
    all_exports = _exports(arena, name, all_imports, exports)
    arena.implied += len(all_imports) + len(all_exports) - len(imports) - len(exports)
    return _by_class(arena, world, all_imports), all_exports


def _needed_by(arena: Arena, item: WorldItem) -> Sequence[InterfaceId]:
    """The interfaces that have to be imported before an import."""
    match item:
        case InterfaceItem():
            return arena.used_by(item.interface)
        case TypeItem():
            owner = arena.owner(item.type)
            return [owner.interface] if isinstance(owner, InterfaceOwner) else []
        case FunctionItem():
            return []


def _stability(arena: Arena, item: WorldItem) -> Stability | None:
    match item:
        case InterfaceItem():
            return item.stability
        case TypeItem():
            return arena.types[item.type].stability
        case FunctionItem():
            return item.function.stability


def _by_class(arena: Arena, world: WorldId, imports: Items) -> Items:
    """The imports sorted into interfaces, types from elsewhere, types, functions, functions of resources."""

    def rank(entry: tuple[WorldKey, WorldItem]) -> int:
        match entry[1]:
            case InterfaceItem():
                return 0
            case TypeItem(type=type):
                return 2 if arena.owner(type) in (None, WorldOwner(world)) else 1
            case FunctionItem(function=function):
                return 3 if function.sort is FunctionSort.FREESTANDING else 4

    return dict(sorted(imports.items(), key=rank))


def _exports(arena: Arena, name: Name, imports: Items, exports: Items) -> Items:
    """The exports, functions first, each interface after those it uses; one that is used but not exported is imported.

    A node of the walk is an interface and whether it is there as an export. Both at once cannot be.
    """
    placed: Items = {key: item for key, item in exports.items() if not isinstance(item, InterfaceItem)}
    required: set[InterfaceId] = set()
    done: set[tuple[InterfaceId, bool]] = set()

    def uses(node: tuple[InterfaceId, bool]) -> list[tuple[InterfaceId, bool]]:
        return [(used, node[1] and used in exports) for used in arena.used_by(node[0])]

    for key, item in exports.items():
        if not isinstance(item, InterfaceItem):
            continue
        by_path = not isinstance(key, str)
        if not by_path and item.interface in required:
            raise _incompatible(arena, item.interface, name)
        node = item.interface, True
        for interface, exported in depth_first([node] if by_path else uses(node), uses, done):
            if interface in required if exported else interface in placed:
                raise _incompatible(arena, interface, name)
            implied = InterfaceItem(interface, None, item.stability, item.external_id)
            if exported:
                placed[interface] = item if by_path and interface == item.interface else implied
            else:
                required.add(interface)
                imports.setdefault(interface, implied)
        placed.setdefault(key, item)
    return placed


def _incompatible(arena: Arena, interface: InterfaceId, name: Name) -> WitError:
    hint = f"`{arena.interfaces[interface].name}` would be imported and exported; export what uses it as well"
    return WitError(f"the exports of `{name.text}` depend on an interface in incompatible ways", name.span, hint)
