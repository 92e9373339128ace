"""A compiled core module."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

import wasmtime

from ..crossing.memory_image import MemoryImage
from ..lazy import lazy
from .slicing import SlicingModules

#: The export of a command, and the export that a reactor may have, which is called once, before all others.
COMMAND: Final = "_start"
REACTOR: Final = "_initialize"


@dataclass(frozen=True)
class CoreModule:
    """A compiled core module, made by `Engine.compile_module`. It belongs to that engine; any of its stores may run it.

    `transport` is the way in which bytes cross, and `image` the first content of its memory, as in `Component`;
    `slicing` is for a module that waits.
    """

    name: str
    engine: wasmtime.Engine
    compiled: wasmtime.Module
    transport: str = "pointer"
    slicing: SlicingModules | None = None
    image: MemoryImage | None = None

    @lazy
    def is_program(self) -> bool:
        """Whether it is a command or a reactor, which a host can run without knowing its exports."""
        return not self._types.keys().isdisjoint((COMMAND, REACTOR))

    @lazy
    def imports_wasi(self) -> bool:
        """Whether it imports functions of WASI."""
        return any(each.module.startswith("wasi_") for each in self.compiled.imports)

    @lazy
    def is_command(self) -> bool:
        """Whether it is a command, which runs once."""
        return COMMAND in self._types

    @lazy
    def procedures(self) -> Collection[str]:
        """The names of the exported functions that have neither parameters nor results."""
        functions = [(name, each) for name, each in self._types.items() if isinstance(each, wasmtime.FuncType)]
        return {name for name, each in functions if not each.params and not each.results}

    @lazy
    def _types(self) -> Mapping[str, object]:
        return {export.name: export.type for export in self.compiled.exports if export.name is not None}
