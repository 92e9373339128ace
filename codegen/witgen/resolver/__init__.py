"""Syntax → model: look up every name, number everything, refuse everything invalid.

In: a path to a file or directory of WIT, or texts. Out: `model.Resolved`, or a located `WitError`. The way through, one
module for each step:

    load        path → texts and binaries of the main package and of `deps/`
    parts       packages of which binaries show different parts → one of each
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
from witgen.decode import Decoded, decode
from witgen.diagnostics import Errors, WitError, whole_file
from witgen.model import PackageId, PackageName, Resolved
from witgen.parse import parse
from witgen.resolver.arena import Arena
from witgen.resolver.build import add_package
from witgen.resolver.choose import choose_world
from witgen.resolver.gates import Gates
from witgen.resolver.load import Sources, Text, in_memory, is_wasm, load
from witgen.resolver.packages import PackageSource, in_order, named_packages, packages_of
from witgen.resolver.parts import united

__all__ = ["choose_world", "is_wasm", "resolve", "resolve_texts"]


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
        texts = (text for group in groups for text in group if not text.is_wasm)
        raise error.in_texts({text.file: text.content for text in texts}) from None


def _packages(groups: Iterable[Sequence[Text]]) -> list[PackageSource]:
    """Parse everything; the main package comes first. Those that binaries show only parts of come last."""
    errors, parsed, parts = Errors(), list[list[syntax.File]](), list[syntax.File]()
    for number, group in enumerate(groups):
        parsed.append([])
        for text in group:
            with errors.caught():
                if text.is_wasm:
                    decoded = _decoded(text, is_main=number == 0)
                    parsed[-1].append(decoded.main)
                    parts += decoded.others
                else:
                    parsed[-1].append(parse(text.content, text.file))
    errors.check()
    packages: list[PackageSource] = []
    for files in parsed:
        with errors.caught():
            packages.extend(packages_of(files))
    errors.check()
    return [*packages, *united(parts, {package.name for package in packages})]


def _decoded(text: Text, is_main: bool) -> Decoded:
    content = text.content if isinstance(text.content, bytes) else text.content.encode()
    decoded = decode(content, text.file)
    if not is_main and not decoded.is_package:
        hint = "it has no package that others could use; give it alone, or the WIT that it was built from"
        raise WitError("this is a component or core module, not a package of WIT", whole_file(text.file), hint)
    return decoded


def _from_packages(packages: Sequence[PackageSource], gates: Gates, advice: str) -> Resolved:
    """Resolve one package after the other. One that uses a package with errors is not looked at."""
    arena, known, errors = Arena(), dict[PackageName, PackageId](), Errors()
    for package in in_order(packages, advice):
        if named_packages(package).keys() <= known.keys():
            with errors.caught():
                known[package.name] = add_package(arena, package, known, gates)
    errors.check()
    return arena.result(known[packages[0].name])
