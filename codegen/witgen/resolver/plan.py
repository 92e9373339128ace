"""The interfaces and worlds of a package, their order and their ids.

In: a package's scope. Out: `Plan`. Ids are given before anything inside is looked at, since worlds and types refer to
interfaces; items that a feature hides are planned too, without an id, since their names still have to make sense.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count

from witgen import syntax
from witgen.diagnostics import Errors, WitError, did_you_mean
from witgen.model import InterfaceId, PackageId, WorldId
from witgen.resolver.arena import Arena
from witgen.resolver.gates import Gates, stability
from witgen.resolver.order import Cycle, first_ready
from witgen.resolver.scopes import Foreign, Local, PackageScope
from witgen.syntax import Attributes, Name, Path


@dataclass(frozen=True, slots=True)
class Plan:
    """The interfaces, each after those that it uses, and the worlds, each after those that it includes.

    An id of `None` means hidden. The interfaces inside worlds are in `inline`, by world and position in it.
    """

    package: PackageId
    scope: PackageScope
    interfaces: Mapping[str, InterfaceId | None]
    worlds: Mapping[str, WorldId | None]
    inline: Mapping[tuple[str, int], InterfaceId | None]


def plan(package: PackageId, scope: PackageScope, arena: Arena, gates: Gates, errors: Errors) -> Plan:
    """Order and number the interfaces and worlds of a package, after those that are in the arena.

    Raises `WitError` if there is no such order.
    """
    order = first_ready({name: _edges(scope, local, errors) for name, local in scope.declared.items()})
    if isinstance(order, Cycle):
        name = scope.declared[order.reference.text].item.name
        hint = f"`{order.first}` refers to it {order.reference.span.within_file}"
        errors.add(WitError(f"interface or world `{name.text}` depends on itself", name.span, hint))
        raise errors.together()
    items = [scope.declared[name].item for name in order]
    interface_ids, world_ids = count(len(arena.interfaces)), count(len(arena.worlds))

    def numbered(attributes: Attributes, ids: Iterator[int]) -> int | None:
        return next(ids) if gates.keep(stability(attributes)) else None

    return Plan(
        package,
        scope,
        {i.name.text: numbered(i.attributes, interface_ids) for i in items if isinstance(i, syntax.Interface)},
        {i.name.text: numbered(i.attributes, world_ids) for i in items if isinstance(i, syntax.World)},
        {key: numbered(inline.attributes, interface_ids) for i in items for key, inline in _inline(i)},
    )


def find_interface(plan: Plan, arena: Arena, path: Path, file: int) -> InterfaceId | None:
    """The interface that a path means, or `None` if a feature hides it. Raises `WitError` if it means none."""
    target = plan.scope.find(path, file)
    if isinstance(target, Local):
        _expect(target, syntax.Interface, path)
        return plan.interfaces[target.item.name.text]
    package = arena.packages[target.package]
    if target.name.text in package.worlds:
        raise _not_an_interface(path.name)
    return _known(arena, target, package.interfaces, "interface")


def find_world(plan: Plan, arena: Arena, path: Path, file: int) -> WorldId | None:
    """The world that a path means, or `None` if a feature hides it. Raises `WitError` if it means none."""
    target = plan.scope.find(path, file)
    if isinstance(target, Local):
        _expect(target, syntax.World, path)
        return plan.worlds[target.item.name.text]
    package = arena.packages[target.package]
    if target.name.text in package.interfaces or path.package is None:
        raise _not_a_world(path.name)
    return _known(arena, target, package.worlds, "world")


def check_top_uses(plan: Plan, arena: Arena, errors: Errors) -> None:
    """Refuse a `use` at the top of a file whose path means nothing; a path into another package means an interface."""
    for file, uses in enumerate(plan.scope.uses):
        for use in uses.values():
            with errors.caught():
                if use.path.package is not None:
                    if find_interface(plan, arena, use.path, file) is None:
                        name, hint = use.path.name, "enable the feature, or write the path where it is used"
                        raise WitError(f"interface `{name.text}` is hidden by a feature that is off", name.span, hint)
                else:
                    plan.scope.find(syntax.Path(None, use.local, use.path.span), file)


def _known(arena: Arena, target: Foreign, ids: Mapping[str, int], sort: str) -> int | None:
    name = target.name
    if name.text in ids:
        return ids[name.text]
    if (target.package, name.text) in arena.hidden:
        return None
    package = arena.packages[target.package].name
    raise WitError(f"package `{package}` has no {sort} `{name.text}`", name.span, did_you_mean(name.text, ids))


def _expect(target: Local, sort: type[syntax.Interface | syntax.World], path: Path) -> None:
    if not isinstance(target.item, sort):
        raise (_not_an_interface if sort is syntax.Interface else _not_a_world)(path.name)


def _not_an_interface(name: Name) -> WitError:
    return WitError(f"`{name.text}` is a world", name.span, "an interface is expected here")


def _not_a_world(name: Name) -> WitError:
    return WitError(f"`{name.text}` is an interface", name.span, "a world is expected here")


def _edges(scope: PackageScope, local: Local, errors: Errors) -> list[Name]:
    """The interfaces that an interface uses from, or the worlds that a world includes; those of this package."""
    edges: list[Name] = []
    leads_on = syntax.Use if isinstance(local.item, syntax.Interface) else syntax.Include
    for path in (item.path for item in local.item.items if isinstance(item, leads_on)):
        with errors.caught():
            target = scope.find(path, local.file)
            if isinstance(target, Local):
                _expect(target, type(local.item), path)
                edges.append(Name(target.item.name.text, path.span))
    return edges


def _inline(item: syntax.Interface | syntax.World) -> Iterator[tuple[tuple[str, int], syntax.Interface]]:
    for position, part in enumerate(item.items):
        if isinstance(part, syntax.Import | syntax.Export) and isinstance(part.item, syntax.Interface):
            yield (item.name.text, position), part.item
