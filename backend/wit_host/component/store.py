"""The store of one component: its memory and its imports, and the start of the guest.

In: a compiled component. Out: an instance to call, or the status of a command. A store runs on one thread at a time;
stores of one engine run in parallel.
"""

from __future__ import annotations

import wasmtime
from wasmtime import component

from .. import capi
from ..crossing.reservations import Starting
from ..errors import GuestExit, LinkError, ResultError
from ..running.failures import link_error, may_wait, missing_import
from ..running.guest_store import GuestStore, StoreLimits
from ..running.ticker import Ticker
from ..values import Result
from .compiled import Component
from .exports import GuestFunction, Instance
from .imports import link, missing_hint
from .linked import LinkedComponent
from .linker import Linker

#: The function of `wasi:cli/run`.
_RUN = GuestFunction[object]("run", {}, Result(None, None, ResultError))


class Store(GuestStore):
    """The memory, the tables and the resources of one component; for the arguments, see `GuestStore`."""

    def __init__(
        self,
        engine: wasmtime.Engine,
        ticker: Ticker,
        wasi: wasmtime.WasiConfig | None,
        limits: StoreLimits,
        data: object = None,
    ) -> None:
        super().__init__(engine, ticker, wasi, limits, data)
        self._linker: Linker | None = None

    @property
    def linker(self) -> Linker:
        """The definitions for a guest that is not linked yet."""
        if self._linker is None:
            self._linker = Linker()
        return self._linker

    def _forget(self) -> None:
        if self._linker is not None:
            self._linker.close()

    def instantiate(self, guest: Component | LinkedComponent, name: str = "") -> Instance:
        """Start `guest` so that its exports can be called.

        A guest that is not linked yet gets the definitions in `linker`, and is called `name` in messages. Raises
        `LinkError` if its imports do not fit them, the exceptions of `Runner.run` if it does not start, and
        RuntimeError if this store already has a guest.
        """
        linked = self._link(guest, name)
        return self._runner.run(lambda: self._start(linked), "did not start")

    def run_command(self, guest: Component | LinkedComponent, name: str = "") -> int:
        """Instantiate `guest` as `instantiate` does, call its `wasi:cli/run`, and return the exit status.

        Raises `LinkError`, `GuestTrap`, `GuestTimeout`, or the exception of an implementation or a signal handler, and
        RuntimeError if this store already has a guest.
        """
        linked = self._link(guest, name)
        try:
            return self._runner.run(lambda: self._run(self._start(linked), linked), "did not end")
        except GuestExit as exit_:
            return exit_.status
        finally:
            self._runner.finish()

    def _link(self, guest: Component | LinkedComponent, name: str) -> LinkedComponent:
        """Prepare to start a guest, with the definitions of this store if it is not linked yet."""
        if isinstance(guest, LinkedComponent):
            self._begin(guest.name, guest.guest.engine, guest.guest.imports_wasi)
            linked = guest
        else:
            name = name or guest.name
            self._begin(name, guest.engine, guest.imports_wasi)
            linked = link(self.linker, guest, name)
        self.state.type_ids = linked.type_ids
        self.state.traps = linked.traps
        return linked

    def _start(self, linked: LinkedComponent) -> Instance:
        guest = linked.guest
        with Starting(self.state.memory, guest.helpers, guest.image):
            try:
                instance = self._instantiate(linked)
            except wasmtime.ExitTrap:
                raise
            except wasmtime.WasmtimeError as error:
                missing = missing_import(str(error))
                if missing is None:
                    raise
                hint = missing_hint(missing, linked.offered)
                failure = link_error(self._runner.name, missing, str(error), hint)
            else:
                self._is_used = True
                return Instance(instance, linked, self._runner)
        try:
            raise failure
        finally:
            del failure  # its traceback leads here: without this, a cycle would keep it alive

    def _instantiate(self, linked: LinkedComponent) -> component.Instance:
        guest = linked.guest
        try:
            return linked.linker.instantiate(self._runner.store, guest.compiled)
        except wasmtime.WasmtimeError as error:
            if not may_wait(str(error)):
                raise
        self.state.may_wait = True
        clock = self.state.clock
        return capi.instantiate_async(linked.linker, self.state.context, guest.compiled, self.state.kept, clock.tick)

    def _run(self, instance: Instance, linked: LinkedComponent) -> int:
        name = self._runner.name
        command = linked.guest.command
        if command is None:
            raise LinkError(
                f"{name} exports no wasi:cli/run@0.2; build it as a command, a program with a main function"
            )
        try:
            instance.bind(command, [_RUN])
        except LinkError:
            text = f"{name} exports {command} without the function `run: func() -> result` that WASI defines"
            raise LinkError(text) from None
        is_ok, _ = instance.functions[_RUN].call(instance, ())
        return 0 if is_ok else 1
