"""Model → a short text about it, for people.

In: `model.Resolved`. Out: a line for each package, followed by a line for each of its interfaces and worlds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sized

from witgen.model import Package, Resolved


def summary(resolved: Resolved) -> str:
    """One line for each package, interface and world; dependencies first, as they are numbered."""
    return "\n".join(line for package in resolved.packages for line in _package(resolved, package))


def _package(resolved: Resolved, package: Package) -> Iterator[str]:
    yield f"package {package.name}"
    for name, interface_id in package.interfaces.items():
        interface = resolved.interfaces[interface_id]
        yield f"  interface {name}: {_count(interface.types, 'type')}, {_count(interface.functions, 'function')}"
    for name, world_id in package.worlds.items():
        world = resolved.worlds[world_id]
        yield f"  world {name}: {_count(world.imports, 'import')}, {_count(world.exports, 'export')}"


def _count(things: Sized, what: str) -> str:
    return f"{len(things)} {what}" if len(things) == 1 else f"{len(things)} {what}s"
