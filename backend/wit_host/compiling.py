"""Compiling a guest: in this process, or by a function that does it elsewhere.

In: the binary format of a guest. Out: the guest, compiled for an engine.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import wasmtime
from wasmtime import component

from . import forked
from .private_copy import Compiled, load_serialized


@dataclass(frozen=True)
class CompileTask:
    """A guest to compile, in the binary format: a component or a core module.

    `reserves` says whether the engine that will run it reserves address space for memories, and `counts_fuel` whether
    it counts fuel, which both change the code; `optimize` whether the code shall be fast, or compiled quickly;
    `async_types` whether the guest may have streams, futures and async functions in its types.
    """

    wasm: bytes
    is_component: bool
    reserves: bool
    optimize: bool = True
    counts_fuel: bool = False
    async_types: bool = False


#: Compiles a guest, as `precompile` does, and returns its serialized form.
Compiler = Callable[[CompileTask], bytes | bytearray]


class Compiling:
    """Compiles guests for one engine: with `compiler`, or if that is None, with the engine itself."""

    def __init__(
        self,
        engine: wasmtime.Engine,
        compiler: Compiler | None,
        reserves: bool,
        optimize: bool = True,
        counts_fuel: bool = False,
        async_types: bool = False,
    ) -> None:
        self.engine = engine
        self._compiler = compiler
        self._reserves = reserves
        self._optimize = optimize
        self._counts_fuel = counts_fuel
        self._async_types = async_types

    def compile(self, wasm: bytes, kind: type[Compiled]) -> tuple[Compiled, bytes | bytearray | None]:
        """Compile a guest; return it, and its serialized form if that exists already.

        Raises `wasmtime.WasmtimeError` if the guest is not valid, RuntimeError in the child of a process that compiled
        guests before it forked, and the exceptions of the compiler.
        """
        if self._compiler is None:
            forked.use_compiler()
            return kind(self.engine, wasm), None
        is_component = kind is component.Component
        settings = self._reserves, self._optimize, self._counts_fuel, self._async_types
        content = self._compiler(CompileTask(wasm, is_component, *settings))
        return load_serialized(self.engine, content, kind), content
