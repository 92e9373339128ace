"""What all stores share: the compiler, and the clock.

In: components. Out: what they are compiled to, and stores to run them in.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path

import wasmtime
from wasmtime import component

from . import capi
from .cache import CompileCache
from .component import InvalidComponent, prepare
from .component.pointers import Prepared, prepare_pointers
from .components import Component
from .errors import GuestError
from .memory import Reservations, unsupported
from .store import Store
from .ticker import Ticker

#: Everything that tells the engine from Wasmtime's default: attributes of its configuration, and what else is done to
#: it. Code that is compiled with other settings is other code, so the cache's keys are made from both.
_SETTINGS: Mapping[str, bool] = {
    "epoch_interruption": True,
    "wasm_component_model_map": True,
    "wasm_component_model_implements": True,
}
_CHANGES = (capi.allow_many_borrows,)


class Engine:
    """Compiles guests, and makes the stores that they run in, which may be in threads side by side.

    `cache` is where compiled guests are kept, by default nowhere. `config` is for settings of your own, to which those
    are added that a host needs; with it bytes cross as lists, and nothing is kept in a cache, because what is in a
    configuration cannot be seen.
    """

    def __init__(self, *, cache: CompileCache | None = None, config: wasmtime.Config | None = None) -> None:
        self._no_addresses = unsupported() if config is None else "the configuration of the engine is a custom one"
        self._cache = cache if config is None else None
        config = config or wasmtime.Config()
        self._fingerprint = _configure(config, reserve=not self._no_addresses)
        self._engine = wasmtime.Engine(config)
        self._ticker = Ticker(self._engine)

    def compile(
        self, guest: str | os.PathLike[str] | bytes, name: str | None = None, *, buffers: Collection[str] = ()
    ) -> Component:
        """Compile a component, given by its path or bytes, in the binary or the text format.

        Any number of stores may run it. `name` is what messages call it, by default the file's name. `buffers` are the
        interfaces whose `list<u8>` shall cross at the speed of memory: the constant `BUFFERS` of bindings. Raises
        OSError where the file cannot be read, GuestError where it is no component that is valid.
        """
        if isinstance(guest, bytes):
            wasm, file = guest, "the guest"
        else:
            wasm, file = Path(guest).read_bytes(), Path(guest).name
        try:
            if not wasm.startswith(b"\0asm"):
                wasm = bytes(wasmtime.wat2wasm(wasm))
            prepared = self._prepare(wasm, buffers)
            return Component(name or file, self._compile(prepared.wasm), prepared.functions, prepared.reasons)
        except (wasmtime.WasmtimeError, InvalidComponent) as error:
            raise GuestError(f"{name or file} is not a valid component: {' '.join(str(error).split())}") from None

    def _compile(self, wasm: bytes) -> component.Component:
        if self._cache is None:
            return component.Component(self._engine, wasm)
        return self._cache.compile(self._engine, self._fingerprint, wasm)

    def _prepare(self, wasm: bytes, buffers: Collection[str]) -> Prepared:
        wasm = prepare(wasm)
        if self._no_addresses:
            return Prepared(wasm, {}, dict.fromkeys(buffers, self._no_addresses))
        return prepare_pointers(wasm, buffers)

    def is_from_cache(self, guest: Component) -> bool:
        """Whether what `compile` returned was in the cache, rather than compiled."""
        return self._cache is not None and self._cache.supplied(guest.compiled)

    def store(
        self,
        *,
        wasi: wasmtime.WasiConfig | None = None,
        memory: int | None = None,
        timeout: float | None = None,
    ) -> Store:
        """A store for one guest; use it in a `with` block.

        `wasi` is what the guest sees of the host's system, by default nothing. `memory` is the most bytes that each of
        its linear memories may have, `timeout` the most seconds of wall-clock time that each call of it may take.
        """
        return Store(self._engine, self._ticker, wasi or wasmtime.WasiConfig(), memory=memory, timeout=timeout)


def _configure(config: wasmtime.Config, *, reserve: bool) -> str:
    """Add what a host needs; a fingerprint, which is another one for each other set of additions."""
    changes = (*_CHANGES, _reserve_memories) if reserve else _CHANGES
    for name, value in _SETTINGS.items():
        setattr(config, name, value)
    for change in changes:
        change(config)
    return repr((sorted(_SETTINGS.items()), [change.__name__ for change in changes]))


def _reserve_memories(config: wasmtime.Config) -> None:
    capi.create_memories(config, Reservations())
