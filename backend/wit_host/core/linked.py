"""A core module with its imports, ready to be started in any number of stores."""

from __future__ import annotations

import sys
from collections.abc import Callable

import wasmtime

from .. import capi
from .compiled import CoreModule
from .slicing import Slicing
from .state import CoreState


class LinkedModule:
    """A core module whose imports were compared and defined, by `Engine.link`; any stores of its engine may start it.

    `name` is its name in messages. `has_wasi` is whether the host offers WASI.
    """

    def __init__(self, guest: CoreModule, name: str, linker: wasmtime.Linker, has_wasi: bool) -> None:
        self.guest = guest
        self.name = name
        self._linker = linker
        self._slices = guest.slicing if has_wasi else None

    def __del__(self, is_ending: Callable[[], bool] = sys.is_finalizing) -> None:
        if not is_ending():
            capi.dispose(self._linker)

    def instantiate(self, store: wasmtime.Store, state: CoreState) -> wasmtime.Instance:
        """Start the guest in `store`, whose state is `state`; raises the errors of the engine."""
        if self._slices is None:
            return capi.instantiate_module(self._linker, store, self.guest.compiled)
        # The functions that wait belong to one store.
        with capi.Disposing(capi.clone_linker(self._linker)) as linker:
            slicing = state.slicing = Slicing(store, linker, self._slices)
            instance = capi.instantiate_module(linker, store, self.guest.compiled)
        slicing.guest = instance
        return instance
