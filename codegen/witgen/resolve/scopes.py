"""What a path means: the interfaces and worlds of a package, and the names that its files give to others.

In: a `PackageSource`, and the packages before it. Out: `PackageScope`, which finds the item or the foreign interface
behind a path.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from witgen import syntax
from witgen.diagnostics import WitError, did_you_mean
from witgen.model import PackageId, PackageName
from witgen.resolve.packages import PackageSource, package_name
from witgen.syntax import Name, Path


@dataclass(frozen=True, slots=True)
class Local:
    """An interface or world of this package, and the number of the file that declares it."""

    item: syntax.Interface | syntax.World
    file: int


@dataclass(frozen=True, slots=True)
class Foreign:
    """An interface or world of another package; `path` is where the package was written."""

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

    def find(self, path: Path, file: int) -> Target:
        """What a path means in a file. Raises `WitError` if it means nothing."""
        seen: set[str] = set()
        while path.package is None:
            name = path.name
            if name.text not in self.uses[file]:
                if name.text in self.declared:
                    return self.declared[name.text]
                hint = did_you_mean(name.text, [*self.declared, *self.uses[file]])
                raise WitError(f"interface or world `{name.text}` is not defined", name.span, hint)
            if name.text in seen:
                raise WitError(f"`use` of `{name.text}` depends on itself", name.span, "name an interface in full")
            seen.add(name.text)
            path = self.uses[file][name.text].path
            if path.package is None and path.name.text == name.text and name.text in self.declared:
                return self.declared[name.text]
        return Foreign(self.packages[package_name(path.package)], path.name, path)


def package_scope(source: PackageSource, packages: Mapping[PackageName, PackageId]) -> PackageScope:
    """The scope of a package. Raises `WitError` for a name that is declared twice."""
    declared: dict[str, Local] = {}
    uses: list[dict[str, syntax.TopUse]] = []
    for file, items in enumerate(source.files):
        for item in items:
            if isinstance(item, syntax.TopUse):
                continue
            name = item.name
            if name.text in declared:
                before = declared[name.text].item.name.span
                raise WitError(f"`{name.text}` is declared twice", name.span, f"first in {before.file}:{before.line}")
            declared[name.text] = Local(item, file)
        uses.append(_top_uses(items))
    return PackageScope(source.name, declared, tuple(uses), packages)


def _top_uses(items: tuple[syntax.PackageItem, ...]) -> dict[str, syntax.TopUse]:
    """The names that a file gives itself, none of which it may declare as well."""
    names = {item.name.text: item.name for item in items if not isinstance(item, syntax.TopUse)}
    uses: dict[str, syntax.TopUse] = {}
    for use in (item for item in items if isinstance(item, syntax.TopUse)):
        name = use.local
        if name.text in names:
            clash = max(name, names[name.text], key=lambda n: (n.span.line, n.span.column))
            raise WitError(
                f"`{name.text}` is declared twice in this file", clash.span, "rename one, as in `use a as b;`"
            )
        names[name.text] = name
        uses[name.text] = use
    return uses
