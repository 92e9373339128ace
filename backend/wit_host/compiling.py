"""Compiling a guest: in this process, or by a function that does it elsewhere.

In: the binary format of a guest. Out: the guest, compiled for an engine.
"""

from __future__ import annotations

from collections.abc import Callable

import wasmtime
from wasmtime import component

from .private_copy import Compiled, load_serialized

#: Compiles the bytes of a guest, with the settings of `precompile`; the flag says whether it is a component rather than
#: a core module. Returns the serialized form; raises `wasmtime.WasmtimeError` if the guest is not valid.
Compiler = Callable[[bytes, bool], bytes]


def compile_anew(
    engine: wasmtime.Engine, wasm: bytes, kind: type[Compiled], compiler: Compiler | None
) -> tuple[Compiled, bytes | None]:
    """Compile a guest; return it, and its serialized form if `compiler` made that."""
    if compiler is None:
        return kind(engine, wasm), None
    content = compiler(wasm, kind is component.Component)
    return load_serialized(engine, content, kind), content
