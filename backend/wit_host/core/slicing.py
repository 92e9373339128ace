"""Core modules that wait in slices: the modules around them, and how they are put together.

In: a compiled module that imports functions of WASI that wait, and the linker of its store. Out: a linker in which
these functions wait in slices, once the guest has started.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import wasmtime
from wasmtime import FuncType, MemoryType, ValType

from .. import capi
from ..crossing.memory import GuestMemory
from ..crossing.reservations import Starting
from ..errors import GuestTrap
from .slicing_text import FRONT, FUNCTIONS, MEMORIES, POLLING, PRIVATE, READING

if TYPE_CHECKING:
    from ..capi import RawValues
    from .state import CoreState

#: The module of WASI preview 1.
WASI = "wasi_snapshot_preview1"


@dataclass(frozen=True)
class SlicingModules:
    """The compiled modules of `slicing_text`, and the type of the function that they import; all are of one engine."""

    front: wasmtime.Module
    polling: wasmtime.Module
    reading: wasmtime.Module
    begin: FuncType


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
    front, polling, reading = (compile_(bytes(wasmtime.wat2wasm(text))) for text in texts)
    return SlicingModules(front, polling, reading, FuncType([], [ValType.i32()]))


class Slicing:
    """The functions of one guest that wait; most guests never call them, so the modules behind them start on demand.

    It does not keep the store alive, whose state refers to it.
    """

    def __init__(self, store: wasmtime.Store, linker: wasmtime.Linker, modules: SlicingModules) -> None:
        """Replace functions in `linker`, which has `Begin` and allows that."""
        #: The guest, once it has started.
        self.guest: wasmtime.Instance | None = None
        self._store = weakref.ref(store)
        self._modules = modules
        self._front = linker.instantiate(store, modules.front)
        linker.define_instance(store, WASI, self._front)

    def begin(self) -> None:
        """Start the modules behind the functions, as one of them is called for the first time."""
        store = self._store()
        if store is None or self.guest is None:
            raise GuestTrap("the guest calls a function of WASI that waits before it has started")
        # Another guest may be starting on this thread, and these memories are not its own.
        with Starting(GuestMemory()), capi.Disposing(wasmtime.Linker(store.engine)) as linker:
            linker.define_wasi()
            linker.define_instance(store, "guest", self.guest)
            linker.define_instance(store, "front", self._front)
            linker.define_instance(store, "polling", linker.instantiate(store, self._modules.polling))
            linker.instantiate(store, self._modules.reading)


class Begin:
    """The host function that a guest's first call of a function that waits leads to."""

    where = "in a function of WASI that waits"

    def call(self, state: CoreState, _caller: int, values: RawValues) -> None:
        """Start the modules behind the functions."""
        if state.slicing is not None:
            state.slicing.begin()
        values[0] = 0


def add_begin(linker: wasmtime.Linker, modules: SlicingModules) -> None:
    """Define the function that `FRONT` imports."""
    capi.add_core_function(linker, PRIVATE, "begin", modules.begin, Begin())
