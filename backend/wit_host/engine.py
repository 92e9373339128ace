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
from .cache import CompileCache, Compiled
from .component.compiled import Component
from .component.store import Store
from .core import CoreModule, CoreStore
from .crossing.memory import Reservations, unsupported
from .errors import GuestError
from .rewrite import InvalidComponent, Rewritten, pass_as_strings, pass_by_address, replace_fixed_length_lists
from .running.ticker import Ticker
from .running.wasi import WasiConfig

#: Everything that tells the engine from Wasmtime's default: attributes of its configuration, and what else is done to
#: it. Code that is compiled with other settings is other code, so the cache's keys are made from both.
_SETTINGS: Mapping[str, bool] = {
    "epoch_interruption": True,
    "wasm_component_model_map": True,
    "wasm_component_model_implements": True,
}
_CHANGES = (capi.allow_many_borrows,)

#: The ways besides lists in which bytes may cross, the better one first.
TRANSPORTS = ("pointer", "latin-1")


class Engine:
    """Compiles guests, and makes the stores that they run in, which may be in threads side by side.

    `cache` is where compiled guests are kept, by default nowhere. `config` is for settings of your own, to which those
    are added that a host needs; with it bytes do not cross by address, and nothing is kept in a cache, because what is
    in a configuration cannot be seen. `transports` are the ways in which bytes may cross where a guest allows it, of
    `pointer` and `latin-1`; all else crosses as lists. Raises ValueError for another way.
    """

    def __init__(
        self,
        *,
        cache: CompileCache | None = None,
        config: wasmtime.Config | None = None,
        transports: Collection[str] = TRANSPORTS,
    ) -> None:
        for each in transports:
            if each not in TRANSPORTS:
                raise ValueError(f"{each!r} is no transport; there are {' and '.join(TRANSPORTS)}")
        self._no_addresses = _why_no_addresses(config, transports)
        self._no_strings = "" if "latin-1" in transports else "the engine uses no strings"
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
        OSError if the file cannot be read, GuestError if it is no component that is valid.
        """
        wasm, file = _read(guest)
        try:
            wasm = _binary(wasm)
            pointers = self._with_pointers(replace_fixed_length_lists(wasm), buffers)
            strings = self._with_strings(pointers)
            compiled = self._compile(strings.wasm, component.Component, name or file)
        except (wasmtime.WasmtimeError, InvalidComponent) as error:
            raise GuestError(f"{name or file} is not a valid component: {' '.join(str(error).split())}") from None
        no_addresses = {each: self._reason(pointers, each) for each in strings.functions}
        lists = {
            each: why if "#" in each else "; ".join(dict.fromkeys([self._reason(pointers, each), why]))
            for each, why in strings.reasons.items()
            if each not in pointers.functions
        }
        return Component(
            name or file, self._engine, compiled, pointers.functions, strings.functions, lists, no_addresses
        )

    def compile_module(self, guest: str | os.PathLike[str] | bytes, name: str | None = None) -> CoreModule:
        """Compile a core module, as `compile` does a component."""
        wasm, file = _read(guest)
        try:
            compiled = self._compile(_binary(wasm), wasmtime.Module, name or file)
        except wasmtime.WasmtimeError as error:
            raise GuestError(f"{name or file} is not a valid core module: {' '.join(str(error).split())}") from None
        return CoreModule(name or file, self._engine, compiled)

    def _compile(self, wasm: bytes, kind: type[Compiled], name: str) -> Compiled:
        if self._cache is None:
            return kind(self._engine, wasm)
        return self._cache.compile(self._engine, self._fingerprint, wasm, kind, name)

    def _with_pointers(self, wasm: bytes, buffers: Collection[str]) -> Rewritten:
        if self._no_addresses:
            return Rewritten(wasm, reasons=dict.fromkeys(buffers, self._no_addresses))
        return pass_by_address(wasm, buffers)

    def _with_strings(self, pointers: Rewritten) -> Rewritten:
        """What was not prepared to cross by address, prepared to cross as strings."""
        if self._no_strings:
            return Rewritten(pointers.wasm, reasons=dict.fromkeys(pointers.reasons, self._no_strings))
        return pass_as_strings(pointers.wasm, pointers.reasons)

    def _reason(self, pointers: Rewritten, name: str) -> str:
        """Why the bytes of an import do not cross by address."""
        return self._no_addresses or pointers.reasons.get(name, "")

    def is_from_cache(self, guest: Component | CoreModule) -> bool:
        """Whether what `compile` returned was in the cache, rather than compiled."""
        return self._cache is not None and self._cache.supplied(guest.compiled)

    def store(
        self,
        *,
        wasi: wasmtime.WasiConfig | None = None,
        memory: int | None = None,
        timeout: float | None = None,
        resources: int | None = None,
    ) -> Store:
        """A store for one guest; use it in a `with` block.

        `wasi` is what the guest sees of the host's system, by default nothing. `memory` is the most bytes that each of
        its linear memories may have, `timeout` the most seconds of wall-clock time that each call of it may take,
        `resources` the most resources of the host that it may hold at a time.
        """
        return Store(self._engine, self._ticker, wasi or WasiConfig(), memory, timeout, resources)

    def core_store(
        self,
        *,
        wasi: wasmtime.WasiConfig | None = None,
        memory: int | None = None,
        timeout: float | None = None,
        resources: int | None = None,
    ) -> CoreStore:
        """A store for one core module; otherwise like `store`."""
        return CoreStore(self._engine, self._ticker, wasi or WasiConfig(), memory, timeout, resources)


def _read(guest: str | os.PathLike[str] | bytes) -> tuple[bytes, str]:
    """What is in a guest's file, and what messages call it."""
    if isinstance(guest, bytes):
        return guest, "the guest"
    return Path(guest).read_bytes(), Path(guest).name


def _binary(wasm: bytes) -> bytes:
    return wasm if wasm.startswith(b"\0asm") else bytes(wasmtime.wat2wasm(wasm))


def _configure(config: wasmtime.Config, *, reserve: bool) -> str:
    """Add what a host needs; a fingerprint, which is another one for each other set of additions."""
    changes = (*_CHANGES, _reserve_memories) if reserve else _CHANGES
    for name, value in _SETTINGS.items():
        setattr(config, name, value)
    for change in changes:
        change(config)
    return repr((sorted(_SETTINGS.items()), [change.__name__ for change in changes]))


def _why_no_addresses(config: wasmtime.Config | None, transports: Collection[str]) -> str:
    if "pointer" not in transports:
        return "the engine uses no addresses"
    return unsupported() if config is None else "the configuration of the engine is a custom one"


def _reserve_memories(config: wasmtime.Config) -> None:
    capi.create_memories(config, Reservations())
