"""Choosing a world.

In: a resolved model, and the name that a user gave, if any. Out: the id of the world.
"""

from __future__ import annotations

from collections.abc import Iterable

from witgen.diagnostics import WitError, did_you_mean, whole_file
from witgen.model import Package, Resolved, WorldId
from witgen.syntax import Span


def choose_world(resolved: Resolved, name: str | None = None) -> WorldId:
    """The world that `name` means: a world of the main package, or `namespace:package/world@version` of any package.

    The version may be left out if only one fits. Without a name the main package has to have exactly one world.
    Raises `WitError` if there is none, or more than one.
    """
    main = resolved.packages[resolved.main]
    if name is None:
        return _only_world(resolved, main)
    if name in main.worlds:
        return main.worlds[name]
    found = {
        full: id
        for package in resolved.packages
        for world, id in package.worlds.items()
        for full in (package.name.of(world),)
        if name in (full, full.split("@")[0])
    }
    if name in found:
        return found[name]
    if len(found) == 1:
        return next(iter(found.values()))
    if found:
        raise WitError(f"more than one world is called `{name}`", _place(resolved), f"name one of {_listed(found)}")
    elsewhere = [package.name.of(name) for package in resolved.packages if name in package.worlds]
    if elsewhere:
        hint = f"package `{main.name}` has none of that name; write {_listed(elsewhere, ' or ')}"
        raise WitError(f"there is no world `{name}`", _place(resolved), hint)
    known = [*main.worlds, *(package.name.of(world) for package in resolved.packages for world in package.worlds)]
    raise WitError(f"there is no world `{name}`", _place(resolved), did_you_mean(name, known) or _choice(main))


def _only_world(resolved: Resolved, main: Package) -> WorldId:
    if len(main.worlds) == 1:
        return next(iter(main.worlds.values()))
    if not main.worlds:
        others = [package.name.of(world) for package in resolved.packages for world in package.worlds]
        hint = f"name one of another package: {_listed(others)}" if others else "add one: `world name { … }`"
        raise WitError(f"package `{main.name}` has no world", _place(resolved), hint)
    raise WitError(f"package `{main.name}` has more than one world", _place(resolved), _choice(main))


def _choice(main: Package) -> str | None:
    return f"name one of {_listed(main.worlds)}" if main.worlds else None


def _listed(names: Iterable[str], between: str = ", ") -> str:
    return between.join(f"`{name}`" for name in names)


def _place(resolved: Resolved) -> Span:
    """The first character of the main package's first file, of those that declare something if there are any."""
    files = [i.span.file for i in resolved.interfaces if i.package == resolved.main]
    files += [w.span.file for w in resolved.worlds if w.package == resolved.main]
    return whole_file(min(files, default=resolved.packages[resolved.main].file))
