"""A compiled core module."""

from __future__ import annotations

from dataclasses import dataclass

import wasmtime

from .slicing import SlicingModules


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
