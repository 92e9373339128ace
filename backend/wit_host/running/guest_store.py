"""The common part of the stores of components and of core modules: one guest, its limits, and its end."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from types import TracebackType
from typing import NamedTuple, Self

import wasmtime

from .. import capi, forked
from ..crossing.bounds import UNBOUNDED, Bounds
from ..crossing.state import HostState
from ..errors import GuestTimeout
from .runner import CallObserver, Runner
from .ticker import Ticker
from .wasi import WasiConfig, share_bound, wait_for


class StoreLimits(NamedTuple):
    """The limits of one guest; None means no limit.

    `memory` is the most bytes of all its memories together, `timeout` the most seconds of wall-clock time that each
    call of it may take, `resources` the most that it may hold at a time. `counts_memory` says that the host makes the
    memories of the engine; otherwise, `memory` is for each memory. `counts_fuel` says that the engine counts fuel.
    """

    memory: int | None = None
    timeout: float | None = None
    resources: int | None = None
    bounds: Bounds = UNBOUNDED
    counts_memory: bool = False
    counts_fuel: bool = False


class GuestStore(ABC):
    """The store of one guest, and of its resources.

    `engine` must have been configured with `epoch_interruption`. Closing a store drops every remaining resource of the
    guest; so does the end of a run, and a trap. `data` is for `per_store`.
    """

    def __init__(
        self,
        engine: wasmtime.Engine,
        ticker: Ticker,
        wasi: wasmtime.WasiConfig | None,
        limits: StoreLimits,
        data: object = None,
    ) -> None:
        store = capi.new_store(engine)
        self.state = self._new_state(capi.store_context(store), limits, data)
        self._is_used = False
        self._is_closed = False
        self._outputs = tuple(wasi.outputs) if isinstance(wasi, WasiConfig) else ()
        for output in self._outputs:
            output.kept = self.state.kept
        share_bound(self._outputs, limits.bounds)
        _set_limits(store, limits)
        self._has_wasi = False
        if wasi is not None:
            self._set_wasi(wasi)
        self._engine = engine
        self._runner = Runner(store, self.state, ticker, limits.timeout)
        self._runner.counts_fuel = limits.counts_fuel
        for output in self._outputs:
            output.stop_on(self._runner.check_time)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exception: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def cancel(self) -> None:
        """Stop the guest, from any thread or handler of signals. The caller of the guest gets `GuestCancelled`.

        WebAssembly code stops within a moment, and so does waiting in WASI, but a host function or a receiver of output
        returns first. A guest that was not started yet never starts; one that has ended is not affected.
        """
        self._runner.cancel()

    def observe(self, observer: CallObserver, owner: str = "store") -> None:
        """Have `observer` see every later call of the guest, and call this store `owner` in messages about the guest.

        The store keeps the observer alive, so the observer must not refer to the store.
        """
        self._runner.observer = observer
        self._runner.owner = owner

    @property
    def is_over(self) -> bool:
        """Whether the guest cannot be called any more."""
        return self._runner.is_over

    @property
    def is_running(self) -> bool:
        """Whether a thread is in the guest, or in a host function that it called."""
        return self._runner.is_inside

    @property
    def fuel(self) -> int:
        """The fuel that the guest has consumed in all its calls; 0 if the engine does not count it."""
        return self._runner.fuel

    def retire(self) -> None:
        """Never call the guest again, as the first step of `close`; raises RuntimeError while it runs."""
        self._runner.retire()

    @property
    def time_left(self) -> float | None:
        """The seconds that the guest may still run, for any thread; None outside a call, and without a limit.

        It is not positive from the end of the guest's time on, also after the call that this has ended.
        """
        return self._runner.time_left

    def stop_if_late(self) -> None:
        """Have the guest check its time now, from any thread, instead of within 50 ms."""
        self._runner.stop_if_late()

    def give_up(self) -> GuestTimeout:
        """Return the error for a caller who waits no longer for a guest whose time is over.

        The guest ends with the same error as soon as it can; `close` the store after that.
        """
        return self._runner.give_up()

    def on_memory_refusal(self, receive: Callable[[str], None]) -> None:
        """Have `receive` called with the reason whenever a memory of the guest cannot grow because of the limit."""
        self.state.memory.budget.on_refusal = receive

    @property
    def data(self) -> object:
        """The data of this store for host functions that are shared: see `per_store`."""
        return self.state.data

    @data.setter
    def data(self, data: object) -> None:
        self.state.data = data

    def on_error(self, receive: Callable[[str, object], None]) -> None:
        """Have `receive` called with the name of each host function that answers `err`, and the value of the error.

        An exception that it raises traps the guest.
        """
        self.state.on_error = receive

    def on_pass(self, check: Callable[[object, bool], None]) -> None:
        """Have `check` called with each object that a call of the guest passes to it as a resource of the host.

        Its second argument is whether the guest would own an object of which it has a handle already. A ValueError that
        it raises refuses the object; the caller gets it with the names of the function and the argument.
        """
        self.state.on_pass = check

    def has(self, item: object) -> bool:
        """Whether the guest has a handle of this very object, which implements a resource."""
        return self.state.table.has(item)

    def close(self) -> None:
        """Drop the remaining resources of the guest and free its memory; closing it again does nothing.

        Returns when the last of its output has been received. Raises the exception that the receiver of an output
        raised after the guest ended, and RuntimeError while the guest runs, which changes nothing.
        """
        if self._is_closed:
            return
        self._runner.retire()
        try:
            self._runner.close()
        finally:
            self._forget()
            self.state.close()
        wait_for(self._outputs)
        self._is_closed = True
        exception = self.state.kept.take()
        if exception is not None and not self._runner.was_stopped_by(exception):
            raise exception

    def _new_state(self, context: int, limits: StoreLimits, data: object) -> HostState:
        """Return the state for the store with this context."""
        return HostState(context, limits.memory, limits.resources, limits.bounds, data)

    @abstractmethod
    def _forget(self) -> None:
        """Release the definitions for the guest, and its memory."""

    def _set_wasi(self, wasi: wasmtime.WasiConfig) -> None:
        try:
            capi.set_wasi(self.state.context, wasi)
        except ValueError:
            raise ValueError("this WasiConfig belongs to another store; make a new one for each store") from None
        self._has_wasi = True

    def _begin(self, name: str, engine: wasmtime.Engine, imports_wasi: bool) -> None:
        """Prepare to link a guest of `engine`, whose name in messages is `name`.

        If it imports WASI but was granted nothing of the host's system, it gets a configuration with nothing.

        Raises RuntimeError if this store already has a guest, or if the guest imports WASI and this process was forked
        after others had used it; ValueError for a guest of another engine.
        """
        if self._is_used:
            raise RuntimeError("a store has one guest; make another store for another guest")
        if engine is not self._engine:
            raise ValueError(f"{name} was compiled by another Engine; compile it with the one that made this store")
        self._runner.check()
        self._runner.name = name
        if imports_wasi:
            forked.use_wasi()
            if not self._has_wasi:
                self._set_wasi(WasiConfig())


def _set_limits(store: wasmtime.Store, limits: StoreLimits) -> None:
    """Set the limits that the engine checks."""
    bounds = limits.bounds
    capi.set_limits(
        store,
        memory=_or_default(None if limits.counts_memory else limits.memory),
        table_elements=_or_default(bounds.table_elements),
        instances=_or_default(bounds.instances),
        tables=_or_default(bounds.tables),
        memories=_or_default(bounds.memories),
    )


def _or_default(limit: int | None) -> int:
    """Return `limit` as the engine takes it; a negative number stands for its default."""
    return -1 if limit is None else limit
