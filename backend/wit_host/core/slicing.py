"""Core modules that wait in slices: the modules around them, and how they are put together.

In: a compiled module that imports functions of WASI that wait, and the linker of its store. Out: a linker in which
these functions wait in slices, once the guest has started.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import wasmtime
from wasmtime import MemoryType

from .. import capi
from .slicing_text import FRONT, FUNCTIONS, MEMORIES, POLLING, READING

#: The module of WASI preview 1.
WASI = "wasi_snapshot_preview1"


@dataclass(frozen=True)
class SlicingModules:
    """The compiled modules of `slicing_text`."""

    front: wasmtime.Module
    polling: wasmtime.Module
    reading: wasmtime.Module


def waits(guest: wasmtime.Module) -> bool:
    """Return whether a guest imports functions that wait."""
    return any(each.module == WASI and each.name in FUNCTIONS for each in guest.imports)


def memory_of(guest: wasmtime.Module) -> str | None:
    """Return the kind of memory that functions of WASI get from a guest, of `MEMORIES`; None if there is none."""
    for each in guest.exports:
        if each.name == "memory" and isinstance(each.type, MemoryType):
            return "shared" if each.type.is_shared else "of 64 bits" if each.type.is_64 else "usual"
    return None


def slicing_modules(compile_: Callable[[bytes], wasmtime.Module], memory: str) -> SlicingModules:
    """Compile the modules for guests with a memory of this kind."""
    texts = (FRONT, *(text.format(**MEMORIES[memory]) for text in (POLLING, READING)))
    return SlicingModules(*(compile_(bytes(wasmtime.wat2wasm(text))) for text in texts))


class Slicing:
    """The functions of one guest that wait."""

    def __init__(self, store: wasmtime.Store, linker: wasmtime.Linker, modules: SlicingModules) -> None:
        """Replace functions in `linker`, which allows that."""
        self._store = store
        self._modules = modules
        self._wasi = {name: linker.get(store, WASI, name) for name in (*FUNCTIONS, "clock_time_get")}
        self._front = wasmtime.Instance(store, modules.front, [])
        exports = self._front.exports(store)
        for name in FUNCTIONS:
            linker.define(store, WASI, name, exports[name])

    def start(self, guest: wasmtime.Instance) -> None:
        """Let the functions work on the memory of `guest`; before this, they trap."""
        with capi.Disposing(wasmtime.Linker(self._store.engine)) as linker:
            for name, function in self._wasi.items():
                linker.define(self._store, WASI, name, function)
            linker.define_instance(self._store, "guest", guest)
            linker.define_instance(self._store, "front", self._front)
            linker.define_instance(self._store, "polling", linker.instantiate(self._store, self._modules.polling))
            linker.instantiate(self._store, self._modules.reading)
