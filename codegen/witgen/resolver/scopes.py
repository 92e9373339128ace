"""The meaning of paths: the interfaces and worlds of a package, and the names that its files give to others.

In: a `PackageSource`, and the packages before it. Out: `PackageScope`, which finds the item or the foreign interface
that a path means.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from witgen import syntax
from witgen.diagnostics import Errors, WitError, did_you_mean
from witgen.model import PackageId, PackageName
from witgen.resolver.packages import PackageSource, package_name
from witgen.syntax import Name, Path


@dataclass(frozen=True, slots=True)
class Local:
    """An interface or world of this package, and the number of the file that declares it."""

    item: syntax.Interface | syntax.World
    file: int


@dataclass(frozen=True, slots=True)
class Foreign:
    """An interface or world of another package; `path` is the path that names the package."""

    package: PackageId
    name: Name
    path: Path


Target = Local | Foreign


@dataclass(frozen=True, slots=True)
class PackageScope:
    """The names of one package; `declared` is in source order, `uses` has one mapping for each file."""

    name: PackageName
    declared: Mapping[str, Local]
    uses: tuple[Mapping[str, syntax.TopUse], ...]
    packages: Mapping[PackageName, PackageId]
    _found: dict[tuple[str, int], Target] = field(default_factory=dict)
    """The targets of names at the top of files that were looked up already."""

    def find(self, path: Path, file: int) -> Target:
        """The target of a path in a file. Raises `WitError` if there is none."""
        seen: set[str] = set()
        target = self._followed(path, file, seen)
        self._found.update({(name, file): target for name in seen})
        return target

    def _followed(self, path: Path, file: int, seen: set[str]) -> Target:
        """The same, by way of the names that are then in `seen`."""
        while path.package is None:
            name = path.name
            if (name.text, file) in self._found:
                return self._found[name.text, file]
            if name.text not in self.uses[file]:
                if name.text in self.declared:
                    return self.declared[name.text]
                hint = did_you_mean(name.text, [*self.declared, *self.uses[file]])
                raise WitError(f"interface or world `{name.text}` is not defined", name.span, hint)
            if name.text in seen:
                raise _circular(self.uses[file], name.text)
            seen.add(name.text)
            path = self.uses[file][name.text].path
            if path.package is None and path.name.text == name.text and name.text in self.declared:
                return self.declared[name.text]
        return Foreign(self.packages[package_name(path.package)], path.name, path)


def _circular(uses: Mapping[str, syntax.TopUse], name: str) -> WitError:
    """The error for names that lead back to `name`; the same for each of them."""
    circle = [uses[name].path.name]
    while circle[-1].text != name:
        circle.append(uses[circle[-1].text].path.name)
    first = min(circle, key=lambda name: (name.span.line, name.span.column))
    return WitError(f"`use` of `{first.text}` depends on itself", first.span, "name an interface in full")


def package_scope(source: PackageSource, packages: Mapping[PackageName, PackageId], errors: Errors) -> PackageScope:
    """The scope of a package. Of a name that is declared twice the first one counts."""
    declared: dict[str, Local] = {}
    uses: list[dict[str, syntax.TopUse]] = []
    for file, items in enumerate(source.files):
        for item in items:
            if isinstance(item, syntax.TopUse):
                continue
            name = item.name
            if name.text in declared:
                before = declared[name.text].item.name.span
                hint = f"the first one is at {before}"
                errors.add(WitError(f"`{name.text}` is declared twice", name.span, hint))
            else:
                declared[name.text] = Local(item, file)
        uses.append(_top_uses(items, errors))
    return PackageScope(source.name, declared, tuple(uses), packages)


def _top_uses(items: tuple[syntax.PackageItem, ...], errors: Errors) -> dict[str, syntax.TopUse]:
    """The names that a file gives itself, none of which it may declare as well."""
    names = {item.name.text: item.name for item in items if not isinstance(item, syntax.TopUse)}
    uses: dict[str, syntax.TopUse] = {}
    for use in (item for item in items if isinstance(item, syntax.TopUse)):
        name = use.local
        if name.text in names:
            clash = max(name, names[name.text], key=lambda n: (n.span.line, n.span.column))
            hint = "rename one, as in `use a as b;`"
            errors.add(WitError(f"`{name.text}` is declared twice in this file", clash.span, hint))
        names[name.text] = name
        uses[name.text] = use
    return uses
