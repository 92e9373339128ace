"""The imports of a world that the engine defines: those of WASI 0.2.

In: the resolved model and a world. Out: the interfaces that bindings can leave out, as nothing else in the world uses
their types.
"""

from __future__ import annotations

from collections.abc import Iterator

from witgen.model import (
    Alias,
    InterfaceId,
    InterfaceItem,
    InterfaceOwner,
    Primitive,
    Resolved,
    TypeId,
    TypeItem,
    World,
    WorldKey,
)
from witgen.resolver.order import depth_first

#: The packages that `Linker.add_wasi` of the runtime defines.
_PACKAGES = {"cli", "clocks", "filesystem", "io", "random", "sockets"}


def imports_of_wasi(resolved: Resolved, world: World) -> list[InterfaceId]:
    """The imports that the engine defines, without those whose types the rest of the world uses."""
    offered = [key for key in world.imports if not isinstance(key, str) and _is_wasi(resolved, key)]
    rest = [item for key, item in _items(world) if key not in offered or item is not world.imports.get(key)]
    roots = [item.interface for item in rest if isinstance(item, InterfaceItem)]
    roots += [used for item in rest if isinstance(item, TypeItem) for used in _used(resolved, item.type)]
    needed = set(depth_first(roots, lambda interface: _uses(resolved, interface)))
    return [interface for interface in offered if interface not in needed]


def _items(world: World) -> Iterator[tuple[WorldKey, object]]:
    yield from world.imports.items()
    yield from world.exports.items()


def _is_wasi(resolved: Resolved, interface: InterfaceId) -> bool:
    package = resolved.packages[resolved.interfaces[interface].package].name
    is_known = package.namespace == "wasi" and package.name in _PACKAGES
    return is_known and (package.version or "").startswith("0.2.") and "-" not in (package.version or "")


def _uses(resolved: Resolved, interface: InterfaceId) -> list[InterfaceId]:
    """The interfaces that one has types from, in which it is not itself."""
    types = resolved.interfaces[interface].types.values()
    return [used for type_id in types for used in _used(resolved, type_id) if used != interface]


def _used(resolved: Resolved, type_id: TypeId) -> list[InterfaceId]:
    """The interface that a type comes from, if it is from a `use`."""
    kind = resolved.types[type_id].kind
    if not isinstance(kind, Alias) or isinstance(kind.target, Primitive):
        return []
    owner = resolved.types[kind.target].owner
    return [owner.interface] if isinstance(owner, InterfaceOwner) else []
