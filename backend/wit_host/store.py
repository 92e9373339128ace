"""One guest at work: its store, its linker, the time it may take, and what comes out when it does not get to its end.

In: a compiled component. Out: what its export returned, or an exception that says what happened. A store runs on one
thread at a time; stores of one engine run in parallel.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from difflib import get_close_matches
from types import TracebackType

import wasmtime
from wasmtime import component

from wit_host import capi
from wit_host.errors import GuestError, GuestTimeout, GuestTrap, LinkError
from wit_host.linker import Linker
from wit_host.signals import PendingSignals
from wit_host.state import HostState
from wit_host.ticker import Ticker
from wit_host.transport import Transport, explain_trap

#: The interface that a command component exports; its version differs between guests.
RUN = re.compile(r"wasi:cli/run@0\.2\.\d+$")


class Store:
    """The memory, the tables and the resources of one guest.

    `engine` must have been configured with `epoch_interruption`; `memory` is the most bytes that each linear memory may
    have. Closing a store drops every resource that the guest left behind; so does the end of a run, however it ends.
    """

    def __init__(
        self,
        engine: wasmtime.Engine,
        ticker: Ticker,
        wasi: wasmtime.WasiConfig,
        transport: Transport | None = None,
        memory: int | None = None,
    ) -> None:
        self.state = HostState(transport)
        self.linker = Linker(engine, self.state)
        self._ticker = ticker
        self._store = wasmtime.Store(engine)
        self._deadline = Deadline(self.state)
        if memory is not None:
            self._store.set_limits(memory_size=memory)
        self._store.set_wasi(wasi)
        capi.on_epoch(self._store, self._deadline)

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exception: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Drop what the guest left behind and free its memory; the second time is fine."""
        try:
            self.state.table.sweep()
        finally:
            self._store.close()
            self.linker.close()

    def run_command(self, guest: component.Component, name: str, timeout: float | None = None) -> int:
        """Instantiate `guest` and call its `wasi:cli/run`; the exit status.

        `name` is what messages call the guest. `timeout` is in seconds of wall-clock time and covers the start of the
        guest. Raises `LinkError`, `GuestTrap`, `GuestTimeout`, or whatever an implementation or a signal handler
        raised meanwhile.
        """
        self._deadline.start(name, timeout)
        with self._ticker.running(), self._deadline.signals.deferred():
            try:
                return self._call_run(self._instantiate(guest, name), guest, name)
            except wasmtime.ExitTrap as exit_trap:
                return exit_trap.code
            except wasmtime.WasmtimeError as error:
                failure = self.state.take_exception() or _trap(name, str(error))
            finally:
                self.state.table.sweep()
        try:
            raise failure
        finally:
            del failure  # its traceback leads here: without this, a cycle would keep it alive

    def _instantiate(self, guest: component.Component, name: str) -> component.Instance:
        try:
            return self.linker.linker.instantiate(self._store, guest)
        except wasmtime.ExitTrap:
            raise
        except wasmtime.WasmtimeError as error:
            link_error = _link_error(name, str(error), self.linker.instances)
            if link_error is None:
                raise
        raise link_error

    def _call_run(self, instance: component.Instance, guest: component.Component, name: str) -> int:
        exports = [export for export in guest.type.exports(self._store.engine) if RUN.match(export)]
        if not exports:
            raise LinkError(
                f"{name} exports no wasi:cli/run@0.2; build it as a command, a program with a main function"
            )
        interface = instance.get_export_index(self._store, exports[0])
        index = instance.get_export_index(self._store, "run", interface) if interface else None
        function = instance.get_func(self._store, index) if index else None
        if function is None or not _is_run(function.type(self._store)):
            raise LinkError(
                f"{name} exports {exports[0]} without the function `run: func() -> result` that WASI defines"
            )
        outcome: component.Variant = function(self._store)
        function.post_return(self._store)
        return 0 if outcome.tag == "ok" else 1


def _is_run(signature: component.FuncType) -> bool:
    result = signature.result
    return (
        not signature.params and isinstance(result, component.ResultType) and result.ok is None and result.err is None
    )


class Deadline:
    """Asked at every tick whether the guest may go on."""

    def __init__(self, state: HostState) -> None:
        self.signals = PendingSignals()
        self._state = state
        self._message = ""
        self._end = float("inf")

    def start(self, name: str, timeout: float | None) -> None:
        """Let the guest run for `timeout` seconds from now, or without an end."""
        if timeout is not None:
            self._message = f"{name} did not end within {timeout:g} s"
            self._end = time.monotonic() + timeout

    def tick(self) -> None:
        """Raise what a handler of a signal raises, or `GuestTimeout` where the time is over."""
        self.signals.run()
        if time.monotonic() >= self._end:
            raise GuestTimeout(self._message)

    def fail(self, exception: BaseException) -> capi.ErrorAddress:
        """Keep `exception` for the caller of the guest."""
        return self._state.fail(exception, "the deadline")


def _trap(name: str, text: str) -> GuestError:
    """One line from the engine's report, which ends with the causes and has the guest's backtrace before them."""
    explained = explain_trap(text)
    if explained is None:
        cause = " ".join(text.rsplit("Caused by:", 1)[-1].split())
        explained = re.sub(r"^(\d+: )?(wasm trap: )?", "", cause)
    return GuestTrap(f"{name} trapped: {explained}", backtrace=text)


_MISSING = re.compile(r"component imports (?P<sort>[a-z ]+) `(?P<name>[^`]+)`")


def _link_error(name: str, text: str, known: Sequence[str]) -> LinkError | None:
    """What is missing, where the engine's report says that an import was not satisfied; else nothing."""
    missing = _MISSING.search(text)
    if missing is None:
        return None
    causes = [" ".join(line.split()) for line in text.split("Caused by:")[-1].splitlines() if line.strip()]
    detail = f" ({'; '.join(causes)})" if "Caused by:" in text else ""
    near = get_close_matches(missing["name"], set(known) - {missing["name"]}, n=1, cutoff=0.8)
    hint = f"; it provides {near[0]}" if near else ""
    message = f"{name} imports {missing['name']}, which this host does not provide{detail}{hint}"
    return LinkError(message, backtrace=text)
