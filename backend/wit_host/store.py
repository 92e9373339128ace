"""One guest at work: its store, its linker, the time it may take, and what comes out when it does not get to its end.

In: a compiled component. Out: what its export returned, or an exception that says what happened. A store runs on one
thread at a time; stores of one engine run in parallel.
"""

from __future__ import annotations

import re
import time
from types import TracebackType

import wasmtime
from wasmtime import component

from wit_host import capi
from wit_host.errors import GuestError, GuestTimeout, GuestTrap, LinkError
from wit_host.linker import Linker
from wit_host.state import HostState
from wit_host.ticker import Ticker
from wit_host.transport import Transport, explain_trap

#: The interface that a command component exports; its version differs between guests.
RUN = re.compile(r"wasi:cli/run@0\.2\.\d+$")


class Store:
    """The memory, the tables and the resources of one guest.

    `engine` must have been configured with `epoch_interruption`. Closing a store drops every resource that the guest
    left behind; so does the end of a run, however it ends.
    """

    def __init__(
        self,
        engine: wasmtime.Engine,
        ticker: Ticker,
        wasi: wasmtime.WasiConfig,
        transport: Transport | None = None,
    ) -> None:
        self.state = HostState(transport)
        self.linker = Linker(engine, self.state)
        self._ticker = ticker
        self._store = wasmtime.Store(engine)
        self._deadline = Deadline(self.state)
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

    def run_command(self, guest: component.Component, timeout: float | None = None) -> int:
        """Instantiate `guest` and call its `wasi:cli/run`; the exit status, 0 to 255.

        `timeout` is in seconds, of wall-clock time, and covers the start of the guest too. Raises `LinkError`,
        `GuestTrap`, `GuestTimeout`, or whatever an implementation or a signal handler raised meanwhile.
        """
        self._deadline.start(timeout)
        with self._ticker.running():
            try:
                return self._call_run(self._instantiate(guest), guest)
            except wasmtime.ExitTrap as exit_trap:
                return exit_trap.code
            except wasmtime.WasmtimeError as error:
                failure = self.state.take_exception() or _trap(str(error))
            finally:
                self.state.table.sweep()
        try:
            raise failure
        finally:
            del failure  # its traceback leads here: without this, a cycle would keep it alive

    def _instantiate(self, guest: component.Component) -> component.Instance:
        try:
            return self.linker.linker.instantiate(self._store, guest)
        except wasmtime.ExitTrap:
            raise
        except wasmtime.WasmtimeError as error:
            link_error = _link_error(str(error))
            if link_error is None:
                raise
            raise link_error from None

    def _call_run(self, instance: component.Instance, guest: component.Component) -> int:
        names = [name for name in guest.type.exports(self._store.engine) if RUN.match(name)]
        if not names:
            raise LinkError("it exports no wasi:cli/run@0.2: build it as a command, a program with a main function")
        interface = instance.get_export_index(self._store, names[0])
        index = instance.get_export_index(self._store, "run", interface) if interface else None
        function = instance.get_func(self._store, index) if index else None
        if function is None or not _is_run(function.type(self._store)):
            raise LinkError(f"its {names[0]} is not what WASI defines: it has no `run: func() -> result`")
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
        self._state = state
        self._timeout: float | None = None
        self._end = float("inf")

    def start(self, timeout: float | None) -> None:
        """Let the guest run for `timeout` seconds from now, or without an end."""
        self._timeout = timeout
        self._end = float("inf") if timeout is None else time.monotonic() + timeout

    def tick(self) -> None:
        """Raise `GuestTimeout` where the time is over."""
        if time.monotonic() >= self._end:
            raise GuestTimeout(f"it did not end within {self._timeout:g} s")

    def fail(self, exception: BaseException) -> capi.ErrorAddress:
        """Keep `exception` for the caller of the guest."""
        return self._state.fail(exception, "the deadline")


def _trap(text: str) -> GuestError:
    """One line from the engine's report, which ends with the causes and has the guest's backtrace before them."""
    cause = text.rsplit("Caused by:", 1)[-1].strip()
    reason = " ".join(cause.split())
    reason = re.sub(r"^(\d+: )?(wasm trap: )?", "", reason)
    return GuestTrap(explain_trap(text) or f"it trapped: {reason}", backtrace=text)


_MISSING = re.compile(r"component imports (?P<sort>[a-z ]+) `(?P<name>[^`]+)`")


def _link_error(text: str) -> LinkError | None:
    """What is missing, where the engine's report says that an import was not satisfied; else nothing."""
    missing = _MISSING.search(text)
    if missing is None:
        return None
    causes = [" ".join(line.split()) for line in text.split("Caused by:")[-1].splitlines() if line.strip()]
    detail = f" ({'; '.join(causes)})" if "Caused by:" in text else ""
    return LinkError(f"it imports {missing['name']}, which this host does not provide{detail}", backtrace=text)
