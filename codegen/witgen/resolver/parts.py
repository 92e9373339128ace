"""Packages of which binaries show only parts → one package of each name.

In: the files that were read from binaries beside their main packages, and the packages that are known as a whole. Out:
the others, each put together from all of its parts.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from typing import TypeVar

from witgen import syntax
from witgen.diagnostics import WitError
from witgen.model import PackageName
from witgen.resolver.packages import PackageSource, packages_of
from witgen.syntax.comparing import same

_Named = syntax.Interface | syntax.World | syntax.InterfaceItem
_Item = TypeVar("_Item", bound=_Named)


def united(parts: Iterable[syntax.File], known: Collection[PackageName]) -> list[PackageSource]:
    """The packages that are not known as a whole. Raises `WitError` if two parts contradict each other."""
    found: dict[PackageName, PackageSource] = {}
    for file in parts:
        (package,) = packages_of([file])
        if package.name not in known:
            before = found.get(package.name)
            found[package.name] = package if before is None else _united(before, package)
    return list(found.values())


def _united(package: PackageSource, other: PackageSource) -> PackageSource:
    items = {item.name.text: item for item in _items(package)}
    for item in _items(other):
        before = items.get(item.name.text)
        items[item.name.text] = item if before is None else _merged(before, item)
    return replace(package, files=(tuple(items.values()),))


def _items(package: PackageSource) -> Iterator[syntax.Interface | syntax.World]:
    return (item for file in package.files for item in file if not isinstance(item, syntax.TopUse))


def _merged(
    item: syntax.Interface | syntax.World, other: syntax.Interface | syntax.World
) -> syntax.Interface | syntax.World:
    if not isinstance(item, syntax.Interface) or not isinstance(other, syntax.Interface):
        return _same(item, other)
    items = dict(_definitions(item))
    for name, definition in _definitions(other):
        before = items.get(name)
        items[name] = definition if before is None else _merged_definition(before, definition)
    return replace(item, items=tuple(items.values()))


def _definitions(interface: syntax.Interface) -> Iterator[tuple[str, syntax.InterfaceItem]]:
    """What is in an interface by name, with a `use` for each name that is used."""
    for item in interface.items:
        if isinstance(item, syntax.Use):
            yield from ((used.local.text, replace(item, names=(used,))) for used in item.names)
        else:
            yield item.name.text, item


def _merged_definition(item: syntax.InterfaceItem, other: syntax.InterfaceItem) -> syntax.InterfaceItem:
    """The same definition, of which one part may have more functions of a resource."""
    if not isinstance(item, syntax.Resource) or not isinstance(other, syntax.Resource):
        return _same(item, other)
    members = {(each.sort, each.name.text): each for each in item.members}
    for each in other.members:
        _same(members.setdefault((each.sort, each.name.text), each), each)
    return replace(item, members=tuple(members.values()))


def _same(item: _Item, other: _Named) -> _Item:
    """The first one, if the second one says the same."""
    if not same(item, other):
        what = item.path.name.text if isinstance(item, syntax.Use) else item.name.text
        hint = f"the other one is at {item.span}; the files have to be of one version of the package"
        raise WitError(f"`{what}` differs from that in another file", other.span, hint)
    return item
