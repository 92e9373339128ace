"""A compiled core module."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import wasmtime

from .slicing import SlicingModules

#: The export of a command, and the export that a reactor may have, which is called once, before all others.
COMMAND: Final = "_start"
REACTOR: Final = "_initialize"


@dataclass(frozen=True)
class CoreModule:
    """A compiled core module, made by `Engine.compile_module`. It belongs to that engine; any of its stores may run it.

    `transport` is the way in which bytes cross, as in `Component`; `slicing` is for a module that waits.
    """

    name: str
    engine: wasmtime.Engine
    compiled: wasmtime.Module
    transport: str = "pointer"
    slicing: SlicingModules | None = None

    @cached_property
    def is_program(self) -> bool:
        """Whether it is a command or a reactor, which a host can run without knowing its exports."""
        return not self._types.keys().isdisjoint((COMMAND, REACTOR))

    @cached_property
    def is_command(self) -> bool:
        """Whether it is a command, which runs once."""
        return COMMAND in self._types

    def is_procedure(self, name: str) -> bool:
        """Whether it exports `name` as a function with neither parameters nor results."""
        type_ = self._types.get(name)
        return isinstance(type_, wasmtime.FuncType) and not type_.params and not type_.results

    @cached_property
    def _types(self) -> Mapping[str, object]:
        return {export.name: export.type for export in self.compiled.exports if export.name is not None}
