"""The store of one component: its memory and its imports, and the start of the guest.

In: a compiled component. Out: an instance to call, or the status of a command. A store runs on one thread at a time;
stores of one engine run in parallel.
"""

from __future__ import annotations

import re

import wasmtime
from wasmtime import component

from .. import capi
from ..crossing.reservations import Starting
from ..errors import GuestExit, LinkError, ResultError
from ..running.failures import link_error, missing_import
from ..running.guest_store import GuestStore, StoreLimits
from ..running.ticker import Ticker
from ..values import Result
from .compiled import Component
from .exports import GuestFunction, Instance
from .imports import link, missing_hint
from .linker import Linker
from .resource_identities import ComponentIdentities

#: The interface that a command component exports; its version differs between guests.
RUN = re.compile(r"wasi:cli/run@0\.2\.\d+$")
#: The function of that interface.
_RUN = GuestFunction[object]("run", {}, Result(None, None, ResultError))


class Store(GuestStore):
    """The memory, the tables and the resources of one component; for the arguments, see `GuestStore`."""

    def __init__(
        self,
        engine: wasmtime.Engine,
        ticker: Ticker,
        wasi: wasmtime.WasiConfig,
        limits: StoreLimits,
    ) -> None:
        super().__init__(engine, ticker, wasi, limits)
        self.linker = Linker()

    def _forget(self) -> None:
        self.linker.close()

    def instantiate(self, guest: Component, name: str = "") -> Instance:
        """Start `guest`, whose name in messages is `name`, so that its exports can be called.

        Raises `LinkError` if its imports do not fit the definitions in `linker`, the exceptions of `Runner.run` if it
        does not start, and RuntimeError if this store already has a guest.
        """
        linker, identities = self._link(guest, name)
        return self._runner.run(lambda: self._start(linker, identities, guest), "did not start")

    def run_command(self, guest: Component, name: str = "") -> int:
        """Instantiate `guest`, call its `wasi:cli/run`, and return the exit status.

        Raises `LinkError`, `GuestTrap`, `GuestTimeout`, or the exception of an implementation or a signal handler, and
        RuntimeError if this store already has a guest.
        """
        linker, identities = self._link(guest, name)
        try:
            return self._runner.run(lambda: self._run(self._start(linker, identities, guest), guest), "did not end")
        except GuestExit as exit_:
            return exit_.status
        finally:
            self._runner.finish()

    def _link(self, guest: Component, name: str) -> tuple[component.Linker, ComponentIdentities]:
        name = name or guest.name
        self._begin(name, guest.engine)
        return link(self._engine, self.linker, self.state, guest, name)

    def _start(self, linker: component.Linker, identities: ComponentIdentities, guest: Component) -> Instance:
        with capi.Disposing(linker), Starting(self.state.memory, guest.helpers):
            try:
                instance = linker.instantiate(self._runner.store, guest.compiled)
            except wasmtime.ExitTrap:
                raise
            except wasmtime.WasmtimeError as error:
                missing = missing_import(str(error))
                if missing is None:
                    raise
                hint = missing_hint(missing, self.linker)
                failure = link_error(self._runner.name, missing, str(error), hint)
            else:
                self._is_used = True
                return Instance(instance, guest, self._runner, identities)
        try:
            raise failure
        finally:
            del failure  # its traceback leads here: without this, a cycle would keep it alive

    def _run(self, instance: Instance, guest: Component) -> int:
        name = self._runner.name
        exports = [export for export in guest.exports if RUN.match(export)]
        if not exports:
            raise LinkError(
                f"{name} exports no wasi:cli/run@0.2; build it as a command, a program with a main function"
            )
        try:
            instance.bind(exports[0], [_RUN])
        except LinkError:
            text = f"{name} exports {exports[0]} without the function `run: func() -> result` that WASI defines"
            raise LinkError(text) from None
        is_ok, _ = instance.functions[_RUN].call(instance, ())
        return 0 if is_ok else 1
