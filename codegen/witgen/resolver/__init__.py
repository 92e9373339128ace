"""Syntax → model: look up every name, number everything, refuse everything invalid.

In: a path to a file or directory of WIT, or texts. Out: `model.Resolved`, or a located `WitError`. The way through, one
module for each step:

    load        path → texts of the main package and of `deps/`
    packages    parsed files → packages, dependencies first
    build       one package after the other, by way of
      gates       the items that are kept
      scopes      the meaning of paths
      plan        order and ids of interfaces and worlds
      interfaces  worlds  types  functions → draft, listed in order
      finish      draft → final ids, with handles
      include     worlds in worlds
      elaborate   imports and exports that others imply
    choose      the world that a user means
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from os import PathLike

from witgen import syntax
from witgen.diagnostics import Errors, WitError
from witgen.model import PackageId, PackageName, Resolved
from witgen.parse import parse
from witgen.resolver.arena import Arena
from witgen.resolver.build import add_package
from witgen.resolver.choose import choose_world
from witgen.resolver.gates import Gates
from witgen.resolver.load import Sources, Text, in_memory, load
from witgen.resolver.packages import PackageSource, in_order, named_packages, packages_of

__all__ = ["choose_world", "resolve", "resolve_texts"]


def resolve(
    path: str | PathLike[str],
    *others: str | PathLike[str],
    all_features: bool = False,
    features: Collection[str] = (),
) -> Resolved:
    """Resolve a file, or a directory with its `deps/`; `others` have more packages that it may use.

    Unstable features are off unless named. Raises `WitError`.
    """
    return _resolve(load(path, *others), Gates(all_features, frozenset(features)))


def resolve_texts(
    files: Mapping[str, str | bytes],
    *,
    dependencies: Sequence[Mapping[str, str | bytes]] = (),
    all_features: bool = False,
    features: Collection[str] = (),
) -> Resolved:
    """Resolve texts by file name; each of `dependencies` is one more package. Raises `WitError`."""
    return _resolve(in_memory(files, dependencies), Gates(all_features, frozenset(features)))


def _resolve(sources: Sources, gates: Gates) -> Resolved:
    groups = (sources.main, *sources.dependencies)
    try:
        return _from_packages(_packages(groups), gates, sources.advice)
    except WitError as error:
        raise error.in_texts({text.file: text.content for group in groups for text in group}) from None


def _packages(groups: Iterable[Sequence[Text]]) -> list[PackageSource]:
    """Parse everything; the main package comes first."""
    errors, parsed = Errors(), list[list[syntax.File]]()
    for group in groups:
        parsed.append([])
        for text in group:
            with errors.caught():
                parsed[-1].append(parse(text.content, text.file))
    errors.check()
    packages: list[PackageSource] = []
    for files in parsed:
        with errors.caught():
            packages.extend(packages_of(files))
    errors.check()
    return packages


def _from_packages(packages: Sequence[PackageSource], gates: Gates, advice: str) -> Resolved:
    """Resolve one package after the other. One that uses a package with errors is not looked at."""
    arena, known, errors = Arena(), dict[PackageName, PackageId](), Errors()
    for package in in_order(packages, advice):
        if named_packages(package).keys() <= known.keys():
            with errors.caught():
                known[package.name] = add_package(arena, package, known, gates)
    errors.check()
    return arena.result(known[packages[0].name])
