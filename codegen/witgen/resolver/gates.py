"""Gates: which items are kept.

In: the attributes of an item, the features that are on, and the package's version. Out: the item's `Stability`, whether
it is kept, and a `WitError` if `@since` cannot be right.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from witgen import syntax
from witgen.diagnostics import Errors, WitError
from witgen.model import PackageName, Stability
from witgen.resolver.packages import PackageSource
from witgen.resolver.versions import precedence
from witgen.syntax import Attributes, Name


@dataclass(frozen=True, slots=True)
class Gates:
    """The features that are on."""

    all_features: bool = False
    features: frozenset[str] = frozenset()

    def keep(self, stability: Stability | None) -> bool:
        """Whether an item with this gate is kept. Only a feature that is off hides one."""
        feature = stability.feature if stability else None
        return feature is None or self.all_features or feature in self.features


def stability(attributes: Attributes) -> Stability | None:
    """The gate that the attributes make."""
    if attributes.since or attributes.feature:
        return Stability(attributes.feature, attributes.since, attributes.deprecated)
    return None


def check_since(package: PackageSource, gates: Gates, errors: Errors) -> None:
    """Refuse `@since` of a version that the package has not reached, except inside hidden items."""
    for name, attributes in _attributes(package, gates):
        with errors.caught():
            _check(package.name, name, attributes)


def _attributes(package: PackageSource, gates: Gates) -> Iterator[tuple[Name, Attributes]]:
    """The attributes in a package, each with the name of its item."""
    for item in (item for items in package.files for item in items):
        if not isinstance(item, syntax.TopUse):
            yield item.name, item.attributes
            if gates.keep(stability(item.attributes)):
                yield from _attributes_inside(item.items, gates)


def _attributes_inside(
    items: Iterable[syntax.InterfaceItem | syntax.WorldItem], gates: Gates
) -> Iterator[tuple[Name, Attributes]]:
    for item in items:
        match item:
            case syntax.Use() | syntax.Include():
                yield item.path.name, item.attributes
                continue
            case syntax.Import(item=inner) | syntax.Export(item=inner):
                yield _extern_name(inner), inner.attributes
            case inner:
                yield inner.name, inner.attributes
        if isinstance(inner, syntax.Interface) and gates.keep(stability(inner.attributes)):
            yield from _attributes_inside(inner.items, gates)
        elif isinstance(inner, syntax.Resource):
            yield from _attributes_inside(inner.members, gates)


def _extern_name(item: syntax.Extern) -> Name:
    return item.label or item.path.name if isinstance(item, syntax.InterfaceReference) else item.name


def _check(package: PackageName, name: Name, attributes: Attributes) -> None:
    if attributes.since is None:
        return
    if package.version is None:
        hint = "give the package a version, or remove the attribute"
        raise WitError(f"`@since` needs a version of package `{package}`", name.span, hint)
    if precedence(attributes.since) > precedence(package.version):
        hint = f"the package is at {package.version}"
        raise WitError(f"`{name.text}` is available only since version {attributes.since}", name.span, hint)
