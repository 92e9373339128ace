"""The only way into a guest: one call at a time, within its time, with a reason if it does not return.

In: a function that makes the engine run the guest. Out: its result, or an exception. A guest that did not return once
cannot be trusted: it is over, its resources are dropped, and it is never entered again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Protocol, TypeVar

import wasmtime

from .. import capi
from ..crossing.awaiting import current_pace, has_loop
from ..crossing.state import HostState
from ..errors import GuestCancelled, GuestError, GuestExit, GuestTimeout, GuestTrap
from . import handlers, stack
from .failures import trap
from .ticker import INTERVAL, PATIENCE, Ticker

T = TypeVar("T")


class CallObserver(Protocol):
    """Sees every call of a guest, on the thread that calls it; it must not raise."""

    def begin(self) -> None:
        """The guest is about to be entered."""
        ...

    def end(self, failure: BaseException | None) -> None:
        """The guest was left; `failure` is the exception that ended it, or None if it can be called again."""
        ...


class Runner:
    """Runs the guest of one store; of the objects that refer to the guest, it knows only the engine's store.

    `owner` is the word in messages for what a guest is started in, by default its store.
    """

    def __init__(self, store: wasmtime.Store, state: HostState, ticker: Ticker, timeout: float | None) -> None:
        self.state = state
        self.name = "the guest"
        self.owner = "store"
        #: Sees every call from now on.
        self.observer: CallObserver | None = None
        #: The guest's own resources that the host does not have any more, and the guest does not know about yet.
        self.forgotten: list[capi.ResourceHandle] = []
        #: Whether the engine counts fuel, and how much the guest has consumed.
        self.counts_fuel = False
        self.fuel = 0
        self._store: wasmtime.Store | None = store
        self._ticker = ticker
        self._timeout = timeout
        self._deadline = state.clock = Deadline(state)
        self._inside = threading.Lock()
        self._reason = ""
        self._trapped = False
        self._retired = False
        self._given_up = False
        self._stop: type[GuestError] | None = None
        capi.on_epoch(store, self._deadline)

    @property
    def store(self) -> wasmtime.Store:
        """The engine's store; raises ValueError if it is closed."""
        if self._store is None:
            raise self._closed()
        return self._store

    @property
    def context(self) -> int:
        """The address of the store's context; raises ValueError if the store is closed."""
        if self._store is None:
            raise self._closed()
        return self.state.context

    @property
    def is_over(self) -> bool:
        """Whether the guest cannot be entered any more."""
        return self._retired or bool(self._reason)

    @property
    def is_inside(self) -> bool:
        """Whether a thread is in the guest, or in a host function that it called."""
        return self._inside.locked()

    def check(self) -> None:
        """Raise the error that `run` would raise at once: GuestError if the guest is over, ValueError, RuntimeError."""
        self._check_alive()
        stack.require_stack()
        if self._inside.locked():
            raise _nested()

    def run(self, action: Callable[[], T], what: str) -> T:
        """Call `action`, which enters the guest, and return its result; `what` says in messages what timed out.

        Raises the exception of an implementation or a signal handler, `GuestTrap`, `GuestTimeout`, `GuestCancelled`, or
        GuestError if the guest exits; RuntimeError if the stack of this thread is too small. Any other exception of
        `action` is raised too, and does not end the guest.
        """
        self._check_alive()
        stack.require_stack()
        _require_depth(_DEPTH)
        if not self._inside.acquire(blocking=False):
            raise _nested()
        handlers.keep()
        stack.enter()
        before, capi.entered.guest = capi.entered.guest, self.state
        try:
            self._check_alive()  # another thread may have closed or ended the guest meanwhile
            if self.counts_fuel:
                action = partial(self._with_fuel, action)
            if self.observer is None:
                return self._run(action, what)
            return self._run_observed(self.observer, action, what)
        finally:
            capi.entered.guest = before
            if self._stop is not GuestTimeout:
                self._deadline.stop()
            stack.leave()
            self._inside.release()

    def _with_fuel(self, action: Callable[[], T]) -> T:
        """Call `action` with the fuel that each call has."""
        most = self.state.bounds.fuel
        fuel = _MOST_FUEL if most is None else most
        capi.set_fuel(self.context, fuel)
        try:
            return action()
        finally:
            self.fuel += fuel - capi.fuel_left(self.context)

    def _run_observed(self, observer: CallObserver, action: Callable[[], T], what: str) -> T:
        failure: BaseException | None = None
        observer.begin()
        try:
            return self._run(action, what)
        except BaseException as error:
            failure = error if self._reason else None
            raise
        finally:
            observer.end(failure)
            del failure

    def _run(self, action: Callable[[], T], what: str) -> T:
        deadline = self._deadline
        deadline.start(f"{self.name} {what}", self._timeout, is_patient=has_loop())
        self.state.pace = current_pace()
        if deadline.ticks != 1:
            deadline.ticks = 1
            capi.call_at_next_tick(self.store)
        with self._ticker:
            try:
                while self.forgotten:
                    handle = self.forgotten.pop()
                    if self.state.may_wait:
                        handle.close()
                    else:
                        handle.drop(self.context)
                answer = action()
            except wasmtime.ExitTrap as error:
                failure: BaseException | None = self._kept() or GuestExit(self.name, error.code)
            except (wasmtime.WasmtimeError, wasmtime.Trap) as error:  # `Trap` is raised by core modules
                failure = self._kept() or trap(self.name, str(error), self.state)
            except BaseException:
                kept = self._kept()
                if kept is not None:  # the guest was stopped, and then another exception arrived
                    self._end(kept)
                raise
            else:
                failure = self._kept()
            if self._given_up:
                failure = deadline.timed_out()
            if failure is None:
                return answer
            self._end(failure)
        try:
            raise failure
        finally:
            del failure  # its traceback leads here: without this, a cycle would keep it alive

    def cancel(self) -> None:
        """Stop the guest at its next step, or as soon as it is entered, from any thread or handler of signals."""
        self._deadline.is_cancelled = True
        self._ticker.advance()
        self.state.waiting.wake()

    @property
    def time_left(self) -> float | None:
        """The seconds that the guest may still run; None outside a call, and without a limit.

        It is not positive from the end of the guest's time on, also after the call that this has ended.
        """
        return self._deadline.left

    def stop_if_late(self) -> None:
        """Have the guest stop at its next step if its time is over, from any thread; the next tick does so too."""
        self._ticker.advance()

    def give_up(self) -> GuestTimeout:
        """Return the error for a caller who waits no longer for a guest whose time is over.

        The guest ends with the same error when the host function returns that it is in.
        """
        self._given_up = True
        return self._deadline.timed_out()

    def check_time(self) -> None:
        """Raise GuestTimeout or GuestCancelled if the guest has to stop; from any thread."""
        self._deadline.tick()

    def was_stopped_by(self, exception: BaseException) -> bool:
        """Return whether the guest has ended for the same reason as `exception`, of `check_time`."""
        return self._stop is not None and isinstance(exception, self._stop)

    def finish(self) -> None:
        """Drop the resources of the guest, which has done its work."""
        self._reason = self._reason or "it ran to completion"
        self.state.table.sweep()

    def retire(self) -> None:
        """Never enter the guest again; raises RuntimeError while it runs. Retiring it again does nothing."""
        if not self._inside.acquire(blocking=False):
            raise RuntimeError(
                f"a {self.owner} cannot be closed while its guest runs; call `cancel` first, and let it return"
            )
        self._retired = True
        self._inside.release()

    def close(self) -> None:
        """Drop the resources of the guest, which was retired, and free its memory; a second call does nothing."""
        try:
            self.state.table.sweep()
        finally:
            store, self._store = self._store, None
            if store is not None:
                capi.dispose(store)

    def _check_alive(self) -> None:
        if self._retired:
            raise self._closed()
        if self._given_up and not self._reason:
            raise GuestError(f"{self.name} cannot be called any more: {self._deadline.timed_out()}")
        if self._reason:
            kind = GuestTrap if self._trapped else GuestError
            raise kind(f"{self.name} cannot be called any more: {self._reason}; start it in a new {self.owner}")
        if self._deadline.is_cancelled:
            raise GuestCancelled(f"{self.name} was cancelled before it was called")

    def _closed(self) -> ValueError:
        return ValueError(f"the {self.owner} of this guest is closed")

    def _kept(self) -> BaseException | None:
        """Return the exception of a callback, which has priority over the engine's report."""
        return self.state.kept.take()

    def _end(self, failure: BaseException) -> None:
        self._trapped = issubclass(type(failure), GuestTrap)
        self._reason = _reason(failure)
        self._stop = next((kind for kind in (GuestTimeout, GuestCancelled) if issubclass(type(failure), kind)), None)
        try:
            self.state.table.sweep()
        except BaseExceptionGroup as drops:
            with suppress(Exception):  # an exception may refuse to be changed
                failure.__context__ = drops


class Deadline:
    """Decides at every tick whether the guest may continue."""

    where = "while the guest ran"

    def __init__(self, state: HostState) -> None:
        self.ending = state.ending
        self.is_cancelled = False
        #: The number of ticks until the next check.
        self.ticks = 1
        self._is_patient = False
        self._message = ""
        self._end = _NEVER

    @property
    def left(self) -> float | None:
        """The seconds that are left; None without a limit."""
        end = self._end
        return None if end == _NEVER else end - time.monotonic()

    def start(self, message: str, timeout: float | None, *, is_patient: bool = False) -> None:
        """Let the guest run for `timeout` seconds from now, or without a limit.

        A patient one checks its time less often, because no signals are handled on its thread, and others need Python
        at the same time. It still ends in time.
        """
        self._is_patient = is_patient
        if timeout is not None:
            self._message = f"{message} within {timeout:g} s"
            self._end = time.monotonic() + timeout

    def stop(self) -> None:
        """Let the time of the next call be its own."""
        self._end = _NEVER

    def timed_out(self) -> GuestTimeout:
        """Return the error for a guest that did not end in time."""
        return GuestTimeout(self._message)

    def tick(self) -> None:
        """Raise if the guest was cancelled or its time is over; Python runs the handlers of signals meanwhile."""
        if self.is_cancelled:
            raise GuestCancelled("the guest was cancelled")
        left = self._end - time.monotonic()
        if left <= 0:
            raise self.timed_out()
        if self._is_patient:
            self.ticks = int(min(left / INTERVAL + 1, PATIENCE))


#: The fuel of a call without a bound.
_MOST_FUEL = (1 << 64) - 1
#: The end of a time without a limit.
_NEVER = float("inf")
#: The nested calls that must be possible when a guest is entered, so that its callbacks can run: of 20 functions in
#: Python, each through C, which counts as well.
_DEPTH = 40


def _require_depth(calls: int) -> None:
    """Raise RecursionError if so many nested calls are not possible here."""
    if calls:
        _require_depth(calls - 1)


def _nested() -> RuntimeError:
    return RuntimeError("a host function cannot call the guest that called it, nor can two threads call one guest")


def _reason(failure: BaseException) -> str:
    """Return the reason for later callers: the text of `failure` if it is a GuestError, or its class."""
    kind = type(failure)
    if issubclass(kind, GuestError):
        return f"it trapped before ({failure})" if issubclass(kind, GuestTrap) else str(failure)
    return f"it was stopped before by {_NAME(kind)}"


#: Returns the name of a class, even if its metaclass redefines `__name__`.
_NAME: Callable[[type], str] = type.__dict__["__name__"].__get__
