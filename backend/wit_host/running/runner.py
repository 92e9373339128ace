"""The one way into a guest: one call at a time, within its time, with a reason where it does not return.

In: something that makes the engine run the guest. Out: what that returned, or an exception. Once a guest did not
return, nothing of it can be trusted: it is over, what it held is dropped, and it is never entered again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

import wasmtime

from .. import capi
from ..crossing.state import HostState
from ..errors import GuestCancelled, GuestError, GuestExit, GuestTimeout, GuestTrap
from . import stack
from .failures import trap
from .ticker import Ticker

T = TypeVar("T")


class Runner:
    """Runs the guest of one store. It knows the engine's store, and nothing that knows it."""

    def __init__(self, store: wasmtime.Store, state: HostState, ticker: Ticker, timeout: float | None) -> None:
        self.state = state
        self.name = "the guest"
        self._store: wasmtime.Store | None = store
        self._ticker = ticker
        self._timeout = timeout
        self._deadline = Deadline(state)
        self._inside = threading.Lock()
        self._reason = ""
        self._trapped = False
        capi.on_epoch(store, self._deadline)

    @property
    def store(self) -> wasmtime.Store:
        """The engine's store; raises ValueError if it is closed."""
        if self._store is None:
            raise ValueError("the store of this guest is closed")
        return self._store

    @property
    def is_over(self) -> bool:
        """Whether the guest cannot be entered any more."""
        return self._store is None or bool(self._reason)

    def check(self) -> None:
        """Raise what `run` would raise at once: GuestError if the guest is over, ValueError, RuntimeError."""
        self._check_alive()
        stack.require_stack()
        if self._inside.locked():
            raise _nested()

    def run(self, action: Callable[[], T], what: str) -> T:
        """What `action` returns, which enters the guest; `what` says what it did not do in time.

        Raises what an implementation or a signal handler raised meanwhile, `GuestTrap`, `GuestTimeout`,
        `GuestCancelled`, or GuestError if the guest exits; RuntimeError if the stack of this thread is too small.
        Whatever else `action` raises comes out as well, and leaves the guest as it is.
        """
        self._check_alive()
        stack.require_stack()
        _require_depth(_DEPTH)
        if not self._inside.acquire(blocking=False):
            raise _nested()
        stack.enter()
        try:
            self._deadline.start(f"{self.name} {what}", self._timeout)
            with self._ticker:
                try:
                    answer = action()
                except wasmtime.ExitTrap as error:
                    failure: BaseException | None = self._kept() or GuestExit(self.name, error.code)
                except (wasmtime.WasmtimeError, wasmtime.Trap) as error:  # the latter by core modules
                    failure = self._kept() or trap(self.name, str(error))
                except BaseException:
                    kept = self._kept()
                    if kept is not None:  # the guest was stopped, and then something else came between
                        self._end(kept)
                    raise
                else:
                    failure = self._kept()
                if failure is None:
                    return answer
                self._end(failure)
        finally:
            stack.leave()
            self._inside.release()
        try:
            raise failure
        finally:
            del failure  # its traceback leads here: without this, a cycle would keep it alive

    def cancel(self) -> None:
        """Stop the guest at its next tick, or as soon as it is entered; for any thread, and for handlers of signals."""
        self._deadline.is_cancelled = True

    def finish(self) -> None:
        """The guest did all that it was started for: drop what it holds."""
        self._reason = self._reason or "it ran to its end"
        self.state.table.sweep()

    def close(self) -> None:
        """Drop what the guest holds, and free its memory; the second time is fine."""
        if not self._inside.acquire(blocking=False):
            raise RuntimeError("a store cannot be closed while its guest runs; call `cancel` first, and let it return")
        try:
            self.state.table.sweep()
        finally:
            self._inside.release()
            store, self._store = self._store, None
            if store is not None:
                capi.dispose(store)

    def _check_alive(self) -> None:
        if self._store is None:
            raise ValueError("the store of this guest is closed")
        if self._reason:
            kind = GuestTrap if self._trapped else GuestError
            raise kind(f"{self.name} cannot be called any more: {self._reason}; instantiate it in a new store")
        if self._deadline.is_cancelled:
            raise GuestCancelled(f"{self.name} was cancelled before it was called")

    def _kept(self) -> BaseException | None:
        """What a callback raised, which comes first whatever the engine says."""
        return self.state.kept.take()

    def _end(self, failure: BaseException) -> None:
        self._trapped = issubclass(type(failure), GuestTrap)
        self._reason = _reason(failure)
        try:
            self.state.table.sweep()
        except BaseExceptionGroup as drops:
            with suppress(Exception):  # an exception may refuse this as well
                failure.__context__ = drops


class Deadline:
    """Asked at every tick whether the guest may go on."""

    where = "while the guest ran"

    def __init__(self, state: HostState) -> None:
        self.ending = state.ending
        self.kept = state.kept
        self.is_cancelled = False
        self._message = ""
        self._end = float("inf")

    def start(self, message: str, timeout: float | None) -> None:
        """Let the guest run for `timeout` seconds from now, or without an end."""
        if timeout is not None:
            self._message = f"{message} within {timeout:g} s"
            self._end = time.monotonic() + timeout

    def tick(self) -> None:
        """Raise if the guest was cancelled or its time is over; Python runs the handlers of signals meanwhile."""
        if self.is_cancelled:
            raise GuestCancelled("the guest was cancelled")
        if time.monotonic() >= self._end:
            raise GuestTimeout(self._message)


#: As many calls of Python functions must be possible yet when a guest is entered, so that its callbacks can begin.
_DEPTH = 20


def _require_depth(calls: int) -> None:
    """Raise RecursionError if so many calls, each of them through C, are not possible here."""
    if calls:
        next(map(_require_depth, (calls - 1,)))


def _nested() -> RuntimeError:
    return RuntimeError("a host function cannot call the guest that called it, nor can two threads call one guest")


def _reason(failure: BaseException) -> str:
    """What `failure` says, if it is ours, or what it is, for those who call later."""
    kind = type(failure)
    if issubclass(kind, GuestError):
        return f"it trapped before ({failure})" if issubclass(kind, GuestTrap) else str(failure)
    return f"it was stopped before by {_NAME(kind)}"


#: The name of a class, whatever its metaclass has under `__name__`.
_NAME: Callable[[type], str] = type.__dict__["__name__"].__get__
