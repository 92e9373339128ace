"""What the stores of components and of core modules have in common: one guest, its limits, and its end."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self

import wasmtime

from .. import capi
from ..crossing.state import HostState
from .runner import Runner
from .ticker import Ticker
from .wasi import WasiConfig, wait_for


class GuestStore(ABC):
    """The store of one guest, and what it holds.

    `engine` must have been configured with `epoch_interruption`; `memory` is the most bytes that each linear memory may
    have, `timeout` the most seconds of wall-clock time that each call of the guest may take, `resources` the most that
    the guest may hold at a time. Closing a store drops every resource that the guest left behind; so does the end of a
    run, and a trap.
    """

    def __init__(
        self,
        engine: wasmtime.Engine,
        ticker: Ticker,
        wasi: wasmtime.WasiConfig,
        memory: int | None = None,
        timeout: float | None = None,
        resources: int | None = None,
    ) -> None:
        store = wasmtime.Store(engine)
        self.state = HostState(capi.store_context(store), resources, by_trap=self.ends_by_trap)
        self._is_used = False
        self._outputs = tuple(wasi.outputs) if isinstance(wasi, WasiConfig) else ()
        for output in self._outputs:
            output.kept = self.state.kept
        if memory is not None:
            store.set_limits(memory_size=memory)
        try:
            store.set_wasi(wasi)
        except ValueError:
            raise ValueError("this WasiConfig belongs to another store; make a new one for each store") from None
        self._engine = engine
        self._runner = Runner(store, self.state, ticker, timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exception: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def cancel(self) -> None:
        """Stop the guest; for any thread, and for handlers of signals. Whoever runs it gets `GuestCancelled`.

        What WebAssembly computes ends within a moment, a host function first returns, and a call of WASI that waits
        cannot be interrupted. Before a guest is run, it will not be; after it has ended, nothing happens.
        """
        self._runner.cancel()

    def close(self) -> None:
        """Drop what the guest left behind and free its memory; the second time is fine.

        Returns when the last of its output was taken. Raises what taking it raised since the guest ended.
        """
        try:
            self._runner.close()
        finally:
            self._forget()
            self.state.close()
        wait_for(self._outputs)
        exception = self.state.kept.take()
        if exception is not None:
            raise exception

    #: Whether what a host function raises is a trap to the engine, rather than an error.
    ends_by_trap = False

    @abstractmethod
    def _forget(self) -> None:
        """Let go of what was defined for the guest, and of its memory."""

    def _begin(self, name: str, engine: wasmtime.Engine) -> None:
        """A guest of `engine` that messages call `name` is to be linked.

        Raises RuntimeError if this store has one already, ValueError for a guest of another engine.
        """
        if self._is_used:
            raise RuntimeError("a store has one guest; make another store for another guest")
        if engine is not self._engine:
            raise ValueError(f"{name} was compiled by another Engine; compile it with the one that made this store")
        self._runner.check()
        self._runner.name = name
