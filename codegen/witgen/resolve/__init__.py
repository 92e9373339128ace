"""Syntax → model: look up every name, number everything, refuse what cannot be.

In: a path to a file or directory of WIT, or texts. Out: `model.Resolved`, or a located `WitError`. The way through, one
module for each step:

    load        path → texts of the main package and of `deps/`
    packages    parsed files → packages, dependencies first
    build       one package after the other, by way of
      gates       what is kept
      scopes      what paths mean
      plan        order and ids of interfaces and worlds
      interfaces  worlds  types  functions → draft, listed in order
      finish      draft → final ids, with handles
      include     worlds in worlds
      elaborate   what imports and exports imply
    choose      the world that a user means
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from os import PathLike

from witgen.diagnostics import WitError
from witgen.model import PackageId, PackageName, Resolved
from witgen.parse import parse
from witgen.resolve.arena import Arena
from witgen.resolve.build import add_package
from witgen.resolve.choose import choose_world
from witgen.resolve.gates import Gates
from witgen.resolve.load import Sources, in_memory, load
from witgen.resolve.packages import in_order, packages_of

__all__ = ["choose_world", "resolve", "resolve_texts"]


def resolve(path: str | PathLike[str], *, all_features: bool = False, features: Collection[str] = ()) -> Resolved:
    """Resolve a file, or a directory with its `deps/`. Unstable features are off unless named. Raises `WitError`."""
    return _resolve(load(path), Gates(all_features, frozenset(features)))


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
    groups = [[parse(text.content, text.file) for text in group] for group in (sources.main, *sources.dependencies)]
    try:
        packages = [packages_of(group) for group in groups]
        main = packages[0][0].name
        arena, known = Arena(), dict[PackageName, PackageId]()
        for package in in_order(package for group in packages for package in group):
            known[package.name] = add_package(arena, package, known, gates)
    except WitError as error:
        texts = {text.file: text.content for group in (sources.main, *sources.dependencies) for text in group}
        raise error.in_text(texts[error.file]) if error.file in texts else error from None
    return arena.result(known[main])
