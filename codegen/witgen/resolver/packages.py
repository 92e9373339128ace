"""Files → packages, dependencies first.

In: the syntax trees of each group of files that make one package. Out: `PackageSource`s in the order in which they are
numbered, each with the names that its own items are written in.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from witgen import syntax
from witgen.diagnostics import Errors, WitError, nearest
from witgen.model import PackageName
from witgen.resolver.order import depth_first
from witgen.resolver.versions import VersionKey, precedence
from witgen.syntax import Span


@dataclass(frozen=True, slots=True)
class PackageSource:
    """The source of one package: the items of each of its files, or those that a binary has."""

    name: PackageName
    docs: str | None
    files: tuple[tuple[syntax.PackageItem, ...], ...]
    span: Span

    @property
    def is_binary(self) -> bool:
        """Whether it was read from a binary."""
        return self.span.line == 0


def package_name(written: syntax.PackageName) -> PackageName:
    """The name as an identity."""
    return PackageName(written.namespace.text, written.name.text, written.version)


def packages_of(files: Sequence[syntax.File]) -> list[PackageSource]:
    """The package that the files make together, followed by those nested in them."""
    headers = [file.header for file in files if file.header]
    if not headers:
        raise WitError("no `package` line was found", files[0].span, "begin the file with `package namespace:name;`")
    first = headers[0]
    for header in headers[1:]:
        if package_name(header.name) != package_name(first.name):
            hint = f"{first.span.file} says `{package_name(first.name)}`"
            raise WitError("the files of a package have to agree on its name", header.name.span, hint)
    documented = [header.docs for header in headers if header.docs]
    if len(documented) > 1:
        hint = f"{documented[0].span.file} has some too; keep one"
        raise WitError("the package has documentation in two files", documented[1].span, hint)
    items = [[i for i in file.items if not isinstance(i, syntax.NestedPackage)] for file in files]
    nested = [i for file in files for i in file.items if isinstance(i, syntax.NestedPackage)]
    return [
        PackageSource(
            package_name(first.name),
            documented[0].text if documented else None,
            tuple(map(tuple, items)),
            first.name.span,
        ),
        *(
            PackageSource(package_name(i.name), i.docs.text if i.docs else None, (i.items,), i.name.span)
            for i in nested
        ),
    ]


def in_order(packages: Iterable[PackageSource], advice: str) -> list[PackageSource]:
    """All packages, each after those that it names; binaries first, then by name and version if that leaves a choice.

    `advice` says where to put a missing package.
    """
    known: dict[PackageName, PackageSource] = {}
    errors = Errors()
    for package in packages:
        before = known.setdefault(package.name, package).span
        if before is not package.span:
            hint = f"it is also defined at {before}"
            errors.add(WitError(f"package `{package.name}` is defined twice", package.span, hint))
    named = {name: named_packages(package) for name, package in known.items()}
    for user, places in named.items():
        for name, path in places.items():
            if name not in known:
                hint = f"{_nearest(name, known.keys() - {user})}{advice}"
                errors.add(WitError(f"package `{name}` is not known", path.span, hint))
    errors.check()
    names = depth_first(
        sorted(known, key=lambda name: (not known[name].is_binary, _sort_key(name))),
        lambda name: named[name],
        on_cycle=lambda user, used: _cyclic(user, used, named[user][used]),
    )
    return [known[name] for name in names]


def _sort_key(name: PackageName) -> tuple[str, str, VersionKey]:
    return name.namespace, name.name, precedence(name.version)


def named_packages(package: PackageSource) -> dict[PackageName, syntax.Path]:
    """The packages that are named in the items of this one, each with the first path that names it."""
    named: dict[PackageName, syntax.Path] = {}
    for items in package.files:
        for path in (path for item in items for path in _paths(item)):
            if path.package:
                named.setdefault(package_name(path.package), path)
    return named


def _paths(item: syntax.PackageItem) -> Iterator[syntax.Path]:
    """The paths in an item: of a world, first its uses and includes, then its imports, then its exports."""
    match item:
        case syntax.TopUse():
            yield item.path
        case syntax.Interface():
            yield from (i.path for i in item.items if isinstance(i, syntax.Use))
        case syntax.World():
            yield from (i.path for i in item.items if isinstance(i, syntax.Use | syntax.Include))
            for direction in (syntax.Import, syntax.Export):
                yield from (p for i in item.items if isinstance(i, direction) for p in _extern_paths(i.item))


def _extern_paths(item: syntax.Extern) -> Iterator[syntax.Path]:
    match item:
        case syntax.InterfaceReference():
            yield item.path
        case syntax.Interface():
            yield from _paths(item)


def _cyclic(user: PackageName, used: PackageName, path: syntax.Path) -> WitError:
    hint = f"`{used}` needs `{user}` already"
    if user == used:
        hint = f"inside the package itself this is `{path.name.text}`"
    return WitError(f"package `{used}` depends on itself", path.span, hint)


def _nearest(name: PackageName, known: Iterable[PackageName]) -> str:
    """The beginning of a hint, if the name of a known package is nearly the same."""
    siblings = {other.name: other for other in sorted(known, key=_sort_key) if other.namespace == name.namespace}
    if name.name in siblings:
        return f"there is `{siblings[name.name]}`, but the version has to be the same; "
    namesakes = {other.namespace: other for other in sorted(known, key=_sort_key) if other.name == name.name}
    # Of the whole name one half has to be right, since all packages of one namespace are alike.
    for written, others in ((name.name, siblings), (name.namespace, namesakes)):
        near = nearest(written, others)
        if near is not None:
            return f"did you mean `{others[near]}`? otherwise "
    return ""
