"""The store of one core module: its memory and its imports, and the start of the guest.

In: a compiled module. Out: an instance to call, or the status of a command. A store runs on one thread at a time;
stores of one engine run in parallel.
"""

from __future__ import annotations

import ctypes
import operator
import re
from collections.abc import Mapping, Sequence

import wasmtime

from .. import capi
from ..crossing.reservations import Starting
from ..errors import GuestExit, LinkError
from ..lazy import lazy
from ..running.guest_store import GuestStore, StoreLimits
from ..running.runner import Runner
from ..running.ticker import Ticker
from .caller_memory import CallerMemory
from .compiled import COMMAND, REACTOR, CoreModule
from .imports import link
from .linked import LinkedModule
from .linker import CoreLinker
from .state import CoreState

#: The engine's report if an import that the host does not define, such as a function of WASI, has another type.
_MISFIT = re.compile(r"incompatible import type for `([^`]*)`(.*)", re.DOTALL)


class CoreStore(GuestStore):
    """The memory and the resources of one core module; for the arguments, see `GuestStore`.

    `memory` is for the functions in `linker`. `resources` is for the objects that they give to the guest by number;
    they are dropped when the run ends, with success or not, and when the store is closed.
    """

    state: CoreState

    def __init__(
        self,
        engine: wasmtime.Engine,
        ticker: Ticker,
        wasi: wasmtime.WasiConfig | None,
        limits: StoreLimits,
        data: object = None,
    ) -> None:
        super().__init__(engine, ticker, wasi, limits, data)
        self._linker: CoreLinker | None = None
        self.resources = self.state.table

    def _new_state(self, context: int, limits: StoreLimits, data: object) -> CoreState:
        return CoreState(context, limits.memory, limits.resources, limits.bounds, data)

    @property
    def memory(self) -> CallerMemory:
        """The memory of the guest during a call of a function in `linker`."""
        return self.state.caller_memory

    @property
    def linker(self) -> CoreLinker:
        """The definitions for a guest that is not linked yet."""
        if self._linker is None:
            self._linker = CoreLinker()
        return self._linker

    def _forget(self) -> None:
        if self._linker is not None:
            self._linker.close()

    def instantiate(self, guest: CoreModule | LinkedModule, name: str = "") -> CoreInstance:
        """Start `guest`, a reactor or a library, so that its exports can be called.

        Calls its `_initialize`, if there is one. A guest that is not linked yet gets the definitions in `linker`, and
        is called `name` in messages. Raises `LinkError` if its imports do not fit them, the exceptions of `Runner.run`
        if it does not start, and RuntimeError if this store already has a guest.
        """
        linked = self._link(guest, name)
        return self._runner.run(lambda: self._start(linked), "did not start")

    def run_command(self, guest: CoreModule | LinkedModule, name: str = "") -> int:
        """Call the `_start` of `guest`, or the `_initialize` of a reactor, and return the exit status.

        Raises `LinkError`, also if it has neither, `GuestTrap`, `GuestTimeout`, or the exception of an implementation
        or a signal handler, and RuntimeError if this store already has a guest.
        """
        linked = self._link(guest, name)
        if not linked.guest.is_program:
            raise LinkError(
                f"{self._runner.name} exports neither {COMMAND} nor {REACTOR}; build it as a command, a program with a "
                "main function"
            )
        try:
            self._runner.run(lambda: self._start(linked).enter(COMMAND), "did not end")
        except GuestExit as exit_:
            return exit_.status
        finally:
            self._runner.finish()
        return 0

    def _link(self, guest: CoreModule | LinkedModule, name: str) -> LinkedModule:
        """Prepare to start a guest, with the definitions of this store if it is not linked yet."""
        if isinstance(guest, LinkedModule):
            self._begin(guest.name, guest.guest.engine, guest.guest.imports_wasi)
            linked = guest
        else:
            name = name or guest.name
            self._begin(name, guest.engine, guest.imports_wasi)
            linked = link(self.linker, guest, name)
        self._is_used = True
        return linked

    def _start(self, linked: LinkedModule) -> CoreInstance:
        instance = CoreInstance(self._instantiate(linked), linked.guest, self._runner)
        if not linked.guest.is_command:
            instance.enter(REACTOR)
        return instance

    def _instantiate(self, linked: LinkedModule) -> wasmtime.Instance:
        try:
            with Starting(self.state.memory, image=linked.guest.image):
                return linked.instantiate(self._runner.store, self.state)
        except wasmtime.WasmtimeError as error:
            misfit = _MISFIT.search(str(error))
            if misfit is None:
                raise
            text = f"{self._runner.name} imports {misfit[1]} with another type: {' '.join(misfit[2].split())}"
        raise LinkError(text)


class CoreInstance:
    """A core module that was started."""

    def __init__(self, instance: wasmtime.Instance, guest: CoreModule, runner: Runner) -> None:
        self._instance = instance
        self._guest = guest
        self._runner = runner

    @lazy
    def exports(self) -> Mapping[str, object]:
        """The exports by name, as objects of wasmtime's package."""
        return dict(self._instance.exports(self._runner.store).items())

    @property
    def store(self) -> wasmtime.Store:
        """The engine's store, for using the objects in `exports`; raises ValueError if it is closed."""
        return self._runner.store

    def call(self, name: str, *arguments: float) -> object:
        """Call the export `name`.

        Raises LinkError if there is no such function, ValueError for a whole number that its parameter cannot have, and
        the exceptions of `Runner.run`.
        """
        if not isinstance(name, str):
            raise TypeError(f"the name of an export takes a str, not {type(name).__name__}")
        function = self.exports.get(name)
        if not isinstance(function, wasmtime.Func):
            raise LinkError(f"{self._runner.name} exports no function {name}")
        if any(isinstance(argument, int) and not _LEAST <= argument <= _MOST for argument in arguments):
            _require_fit(name, function.type(self.store).params, arguments)
        return self._runner.run(lambda: self.enter(name, *arguments), f"did not return from {name}")

    def enter(self, name: str, *arguments: float) -> object:
        """Call the export `name` inside `Runner.run`; return None if there is no such function."""
        if not arguments and name in self._guest.procedures:
            capi.call_procedure(self._instance, self._runner.context, name)
            return None
        function = self.exports.get(name)
        if not isinstance(function, wasmtime.Func):
            return None
        result: object = function(self._runner.store, *arguments)
        return result

    def read(self, address: int, length: int) -> bytes:
        """Copy bytes out of the guest's exported memory.

        Raises ValueError if not all of them are in it, TypeError for what is not a whole number, LinkError if the guest
        exports no `memory`, and the errors of `Runner.check`, because nobody may use the memory while the guest runs.
        """
        length = _whole("length", length)
        return ctypes.string_at(self._place(address, length), length)

    def write(self, address: int, data: bytes) -> None:
        """Copy bytes into the guest's exported memory; raises the same as `read`, and TypeError for another object."""
        if not isinstance(data, bytes | bytearray | memoryview):
            raise TypeError(f"`data` takes bytes, not {type(data).__name__}")
        content = bytes(data)
        ctypes.memmove(self._place(address, len(content)), content, len(content))

    def _place(self, address: int, length: int) -> int:
        """Return the host's address of so many bytes of the exported memory."""
        address = _whole("address", address)
        self._runner.check()
        memory = self.exports.get("memory")
        if not isinstance(memory, wasmtime.Memory):
            raise LinkError(f"{self._runner.name} exports no memory of its own as `memory`")
        size = memory.data_len(self.store)
        if not 0 <= address <= address + length <= size:
            raise ValueError(f"{length} bytes at address {address} are not all in the guest's memory of {size} bytes")
        return ctypes.addressof(memory.data_ptr(self.store).contents) + address


#: The whole numbers that every parameter can have.
_LEAST, _MOST = -(1 << 31), (1 << 32) - 1


def _require_fit(name: str, params: Sequence[wasmtime.ValType], arguments: Sequence[float]) -> None:
    """Raise ValueError for an argument beyond its parameter, of which the engine would take the lowest bits."""
    for place, (param, argument) in enumerate(zip(params, arguments, strict=False), 1):
        bits = {"i32": 32, "i64": 64}.get(str(param))
        if bits and isinstance(argument, int) and not -(1 << bits - 1) <= argument < 1 << bits:
            raise ValueError(f"argument {place} of {name} is {argument}, which is not a number of {bits} bits")


def _whole(name: str, value: object) -> int:
    """The value as an int; raises TypeError if it is not a whole number."""
    if isinstance(value, bool) or not hasattr(type(value), "__index__"):
        raise TypeError(f"`{name}` takes a whole number, not {type(value).__name__}")
    return operator.index(value)  # type: ignore[arg-type]  # it has `__index__`
