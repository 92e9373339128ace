"""A compiled core module."""

from __future__ import annotations

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
        return not {export.name for export in self.compiled.exports}.isdisjoint((COMMAND, REACTOR))
