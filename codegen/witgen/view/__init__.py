"""The input of the templates: flat dataclasses of final strings, in final order.

In: the resolved model and a world. Out: a `PackageView`, which has a `ModuleView` for each file. All choosing, naming
and ordering is done here:

    shapes      the dataclasses
    docs        documentation → the text of docstrings
    types       types → classes, aliases and constants
    functions   functions → methods to implement or to call, and the lines that define them
    modules     one file, with everything in it
"""

from __future__ import annotations

from collections.abc import Mapping

from witgen.layout import Layout
from witgen.left_out import left_out
from witgen.lists import Lists
from witgen.model import InterfaceId, Resolved, WorldId
from witgen.refusals import check
from witgen.view.modules import exports_module, interface_module, world_module
from witgen.view.shapes import ModuleView, PackageView, TypeView

__all__ = ["ModuleView", "PackageView", "TypeView", "view_world"]


def view_world(
    resolved: Resolved,
    world_id: WorldId,
    runtime: str = "wit_host",
    existing: Mapping[InterfaceId, str] | None = None,
    async_hosts: bool = False,
    partial: bool = False,
    without_wasi: bool = False,
    lists: Lists = Lists.LIST,
) -> PackageView:
    """The package for a world; raises `WitError` for anything that Python hosts do not support.

    `runtime` is the package of the runtime; a name that begins with a dot is one inside the generated package.
    `existing` has the modules of interfaces that are not generated, from `mappings.existing_modules`. With
    `async_hosts`, the functions that hosts implement are coroutines. With `partial`, functions that are not supported
    are stubs; with `without_wasi`, imports that the engine defines are left out. `lists` is the Python type of lists of
    numbers.
    """
    layout = Layout(resolved, world_id, existing, async_hosts, partial, without_wasi, lists)
    check(layout)
    modules = [interface_module(layout, module, runtime) for module in (*layout.imports, *layout.exports)]
    modules.append(world_module(layout, runtime))
    if layout.exports:
        modules.append(exports_module(layout))
    world = resolved.worlds[world_id]
    return PackageView(
        source=str(resolved.packages[world.package].name),
        world=world.name,
        modules=tuple(sorted(modules, key=lambda module: module.file)),
        left_out=tuple(left_out(layout)),
    )
