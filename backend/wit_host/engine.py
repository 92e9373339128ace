"""The engine, which all stores share: it compiles guests, and has the clock for running them.

In: components and core modules. Out: their compiled forms, and stores to run them in.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Collection, Mapping
from functools import partial
from pathlib import Path

import wasmtime
from wasmtime import component

from . import capi, forked, versions
from .cache import CompileCache
from .compiling import Compiler, CompileTask, Compiling
from .component.compiled import Component
from .component.imports import link
from .component.linked import LinkedComponent
from .component.linker import Linker
from .component.store import Store
from .core import CoreLinker, CoreModule, CoreStore, LinkedModule
from .core.imports import link as link_module
from .core.slicing import SlicingModules, memory_of, slicing_modules, waits
from .crossing.bounds import UNBOUNDED, Bounds
from .crossing.memory import unsupported
from .crossing.memory_image import MemoryImage
from .crossing.reservations import Reservations
from .errors import GuestError
from .private_copy import Compiled
from .rewrite import (
    InvalidComponent,
    Obstacle,
    Rewritten,
    Sliced,
    WithExports,
    export_by_address,
    pass_as_strings,
    pass_by_address,
    replace_fixed_length_lists,
    slice_waits,
    take_image,
)
from .running import handlers
from .running.guest_store import StoreLimits
from .running.ticker import Ticker

logger = logging.getLogger(__name__)

#: Changes a configuration.
Change = Callable[[wasmtime.Config], None]

#: All differences from Wasmtime's default configuration: its attributes, and functions that change it. Other settings
#: lead to other code, so the keys of the cache depend on both.
_SETTINGS: Mapping[str, bool] = {
    "epoch_interruption": True,
    "wasm_component_model_map": True,
    "wasm_component_model_implements": True,
}
#: The functions that change the configuration.
_CHANGES: tuple[Change, ...] = (capi.allow_many_borrows,)

#: The ways in which bytes may cross, apart from lists, the faster one first.
TRANSPORTS = ("pointer", "latin-1")


class Engine:
    """Compiles guests, and makes the stores that they run in. The stores may be used in several threads in parallel.

    `cache` keeps compiled guests; by default they are not kept. `compiler` compiles them, such as by calling
    `precompile` in another process; by default the engine does. `config` is for custom settings, to which the engine
    adds those that it needs; with it bytes do not cross by address, and the cache is not used, because the settings in
    a configuration cannot be read. `transports` are the ways in which bytes may cross if a guest allows it, of
    `pointer` and `latin-1`; all other bytes cross as lists. `fuel` counts the fuel that guests consume, so that it can
    be bounded (`Bounds.fuel`); their code is slower with it. With `async_types`, guests may have streams, futures and
    async functions in their types, and async functions that they export can be called, unless a stream or a future is
    in their type; in exchange, a guest that passes more than one borrowed resource in a call of the host traps.

    Raises ValueError for an unknown way, and for a `compiler` with a `config`, which `precompile` does not know.
    """

    def __init__(
        self,
        *,
        cache: CompileCache | None = None,
        compiler: Compiler | None = None,
        config: wasmtime.Config | None = None,
        transports: Collection[str] = TRANSPORTS,
        fuel: bool = False,
        async_types: bool = False,
    ) -> None:
        for each in transports:
            if each not in TRANSPORTS:
                raise ValueError(f"{each!r} is not a transport; use {' or '.join(TRANSPORTS)}")
        if compiler is not None and config is not None:
            raise ValueError("a compiler cannot have the settings of `config`; leave one of them out")
        self._no_addresses = _why_no_addresses(config, transports)
        self._no_strings = "" if "latin-1" in transports else "the engine uses no strings"
        self._cache = cache if config is None else None
        self._counts_fuel = fuel
        self._async_types = async_types
        reserves = not self._no_addresses
        self._engine = wasmtime.Engine(_configured(config or wasmtime.Config(), self._changes()))
        handlers.note()
        self._compiling = Compiling(self._engine, compiler, reserves, True, fuel, async_types)
        #: Compiles without optimization; the settings in a custom configuration cannot be read.
        quickly = Compiling(self._engine, compiler or precompile, reserves, False, fuel, async_types)
        self._quickly = None if config else quickly
        self._ticker = Ticker(self._engine)
        #: The modules for guests that wait, by the kinds of their memories.
        self._slicings: dict[str, SlicingModules] = {}

    def compile(
        self,
        guest: str | os.PathLike[str] | bytes,
        name: str | None = None,
        *,
        buffers: Collection[str] = (),
        optimize: bool = True,
    ) -> Component:
        """Compile a component, given by its path or bytes, in the binary or the text format.

        Any number of stores may run it. `name` is its name in messages, by default that of the file. `buffers` are the
        interfaces whose `list<u8>` shall cross without boxing each byte: the constant `BUFFERS` of bindings. If
        `wasi:io/streams` is one of them, the host implements the waits of WASI, not the engine, and must return from
        them in time: see `pause`. Without `optimize` it is compiled in less than half the time, to slower code: that is
        for guests under development, not for those that you do not trust. Raises OSError if the file cannot be read,
        GuestError if it is not a valid component, ValueError if an engine with a custom configuration shall not
        optimize.
        """
        wasm, file = _read(guest)
        try:
            wasm, image = self._with_image(_binary(wasm))
            pointers = self._with_pointers(replace_fixed_length_lists(wasm), buffers)
            strings = self._with_strings(pointers)
            exported = WithExports(strings.wasm) if self._no_addresses else export_by_address(strings.wasm)
            sliced = Sliced(exported.wasm) if _serves_streams(buffers) else slice_waits(exported.wasm)
            compiled = self._compile(sliced.wasm, component.Component, name or file, optimize)
            capi.require_few_externs(compiled.type, self._engine, name or file)
        except Obstacle as obstacle:
            raise GuestError(
                f"{name or file} imports functions that wait, and {obstacle}, so it could not be interrupted; make the "
                "component with the usual tools"
            ) from None
        except (wasmtime.WasmtimeError, InvalidComponent) as error:
            raise _invalid(name or file, str(error)) from None
        no_addresses = {each: self._reason(pointers, each) for each in strings.functions}
        lists = {
            each: why if "#" in each else "; ".join(dict.fromkeys([self._reason(pointers, each), why]))
            for each, why in strings.reasons.items()
            if each not in pointers.functions
        }
        return Component(
            name or file,
            self._engine,
            compiled,
            pointers.functions,
            strings.functions,
            lists,
            no_addresses,
            sliced.helpers,
            image,
            exported.functions,
            exported.names,
        )

    def compile_module(
        self, guest: str | os.PathLike[str] | bytes, name: str | None = None, *, optimize: bool = True
    ) -> CoreModule:
        """Compile a core module, as `compile` compiles a component."""
        wasm, file = _read(guest)
        try:
            wasm, image = self._with_image(_binary(wasm))
            compiled = self._compile(wasm, wasmtime.Module, name or file, optimize)
        except wasmtime.WasmtimeError as error:
            raise _invalid(name or file, str(error), "core module") from None
        return CoreModule(name or file, self._engine, compiled, slicing=self._slicing(compiled), image=image)

    def _slicing(self, guest: wasmtime.Module) -> SlicingModules | None:
        """Return the modules for a guest that waits, which are compiled once."""
        memory = memory_of(guest) if waits(guest) else None
        if memory is not None and memory not in self._slicings:
            compile_ = partial(self._compile, kind=wasmtime.Module, name="a part of the host")
            self._slicings[memory] = slicing_modules(compile_, memory)
        return None if memory is None else self._slicings[memory]

    def _compile(self, wasm: bytes, kind: type[Compiled], name: str, optimize: bool = True) -> Compiled:
        compiling = self._compiling if optimize else self._quickly
        if compiling is None:
            raise ValueError("an engine with a `config` compiles as that says; leave out `optimize`")
        if self._cache is None:
            return compiling.compile(wasm, kind)[0]
        fingerprint = _fingerprint(self._changes(optimize))
        return self._cache.compile(compiling, fingerprint, wasm, kind, name)

    def _changes(self, optimize: bool = True) -> tuple[Change, ...]:
        return _changes(not self._no_addresses, optimize, self._counts_fuel, self._async_types)

    def _with_image(self, wasm: bytes) -> tuple[bytes, MemoryImage | None]:
        """Take the image of its memory out of a guest, unless the engine makes the memories, and images of them."""
        if self._no_addresses:
            return wasm, None
        imaged = take_image(wasm)
        if imaged.image is None:
            return wasm, None
        try:
            return imaged.wasm, MemoryImage(imaged.image)
        except OSError as error:
            logger.info("a guest fills its memory itself, which takes longer to start: %s", error)
            return wasm, None

    def _with_pointers(self, wasm: bytes, buffers: Collection[str]) -> Rewritten:
        if self._no_addresses:
            return Rewritten(wasm, reasons=dict.fromkeys(buffers, self._no_addresses))
        return pass_by_address(wasm, buffers)

    def _with_strings(self, pointers: Rewritten) -> Rewritten:
        """Rewrite the imports whose bytes do not cross by address, so that they cross as strings."""
        if self._no_strings:
            return Rewritten(pointers.wasm, reasons=dict.fromkeys(pointers.reasons, self._no_strings))
        return pass_as_strings(pointers.wasm, pointers.reasons)

    def _reason(self, pointers: Rewritten, name: str) -> str:
        """Return why the bytes of an import do not cross by address."""
        return self._no_addresses or pointers.reasons.get(name, "")

    def link(self, guest: Component, linker: Linker, name: str = "") -> LinkedComponent:
        """Give a component the definitions in `linker`, once for all stores that start it.

        The implementations are shared by all these stores, in any threads, unless they come from `per_store`. `name` is
        its name in messages. What is defined later has no effect. Raises `LinkError` if its imports do not fit.
        """
        return link(linker, guest, name or guest.name)

    def link_module(self, guest: CoreModule, linker: CoreLinker, name: str = "") -> LinkedModule:
        """Give a core module the definitions in `linker`, as `link` does for a component."""
        return link_module(linker, guest, name or guest.name)

    def is_from_cache(self, guest: Component | CoreModule) -> bool:
        """Return whether `compile` loaded this guest from the cache."""
        return self._cache is not None and self._cache.supplied(guest.compiled)

    def store(
        self,
        *,
        wasi: wasmtime.WasiConfig | None = None,
        memory: int | None = None,
        timeout: float | None = None,
        resources: int | None = None,
        bounds: Bounds = UNBOUNDED,
        data: object = None,
    ) -> Store:
        """Make a store for one guest; use it in a `with` block.

        `wasi` is the guest's access to the host's system, by default none. `memory` is the most bytes that all its
        memories together may have, `timeout` the most seconds of wall-clock time that each call of it may take,
        `resources` the most resources of the host that it may hold at a time, and `bounds` has the other limits. With a
        custom configuration, `memory` is for each memory. `data` is for host functions that stores share: see
        `per_store`.
        """
        limits = self._limits(memory, timeout, resources, bounds)
        return Store(self._engine, self._ticker, wasi, limits, data)

    def core_store(
        self,
        *,
        wasi: wasmtime.WasiConfig | None = None,
        memory: int | None = None,
        timeout: float | None = None,
        resources: int | None = None,
        bounds: Bounds = UNBOUNDED,
        data: object = None,
    ) -> CoreStore:
        """Make a store for one core module, with the same arguments as `store`."""
        limits = self._limits(memory, timeout, resources, bounds)
        return CoreStore(self._engine, self._ticker, wasi, limits, data)

    def _limits(self, memory: int | None, timeout: float | None, resources: int | None, bounds: Bounds) -> StoreLimits:
        if bounds.fuel is not None and not self._counts_fuel:
            raise ValueError("this engine does not count fuel, so it cannot bound it; make it with `Engine(fuel=True)`")
        return StoreLimits(memory, timeout, resources, bounds, not self._no_addresses, self._counts_fuel)


def precompile(task: CompileTask) -> bytearray:
    """Compile a guest for the engines of this host, such as in another process; return its serialized form.

    Raises `wasmtime.WasmtimeError` if it is not valid.
    """
    forked.use_compiler()
    changes = _changes(task.reserves, task.optimize, task.counts_fuel, task.async_types)
    engine = wasmtime.Engine(_configured(wasmtime.Config(), changes))
    kind = component.Component if task.is_component else wasmtime.Module
    return kind(engine, task.wasm).serialize()


def _serves_streams(buffers: Collection[str]) -> bool:
    """Return whether the host has streams of its own, and so also pollables."""
    return versions.find("wasi:io/streams@0.2.0", buffers) is not None


#: What to do about refusals of the engine, by words in them.
_HINTS = {
    "component model async feature": "`Engine(async_types=True)` accepts it",
    "a wasm module with a component parser": "it is a core module, which `compile_module` compiles",
    "was given a WebAssembly component": "it is a component, which `compile` compiles",
}


def _invalid(name: str, report: str, kind: str = "component") -> GuestError:
    """Return the error for a component or a core module, which is a `kind`, that the engine refuses."""
    hint = next((f"; {hint}" for words, hint in _HINTS.items() if words in report), "")
    return GuestError(f"{name} is not a valid {kind}: {' '.join(report.split())}{hint}")


def _read(guest: str | os.PathLike[str] | bytes) -> tuple[bytes, str]:
    """Return the content of a guest's file, and its name for messages."""
    if isinstance(guest, bytes):
        return guest, "the guest"
    return Path(guest).read_bytes(), Path(guest).name


def _binary(wasm: bytes) -> bytes:
    if not wasm.strip():
        raise wasmtime.WasmtimeError("it is empty")
    return wasm if wasm.startswith(b"\0asm") else bytes(wasmtime.wat2wasm(wasm))


def _changes(reserves: bool, optimize: bool, counts_fuel: bool, async_types: bool) -> tuple[Change, ...]:
    """Return the functions that change the configuration of an engine, or of one that compiles for it."""
    chosen = (
        (_reserve_memories, reserves),
        (capi.compile_quickly, not optimize),
        (capi.count_fuel, counts_fuel),
        (capi.allow_async_types, async_types),
    )
    always = (change for change in _CHANGES if not (async_types and change is capi.allow_many_borrows))
    return (*always, *(change for change, is_chosen in chosen if is_chosen))


def _configured(config: wasmtime.Config, changes: Collection[Change]) -> wasmtime.Config:
    """Add the settings that a host needs to a configuration, and return it."""
    for name, value in _SETTINGS.items():
        setattr(config, name, value)
    for change in changes:
        change(config)
    return config


def _fingerprint(changes: Collection[Change]) -> str:
    """Return a text that differs between sets of settings."""
    return repr((sorted(_SETTINGS.items()), [change.__name__ for change in changes]))


def _why_no_addresses(config: wasmtime.Config | None, transports: Collection[str]) -> str:
    if "pointer" not in transports:
        return "the engine uses no addresses"
    return unsupported() if config is None else "the configuration of the engine is a custom one"


def _reserve_memories(config: wasmtime.Config) -> None:
    capi.create_memories(config, Reservations())
