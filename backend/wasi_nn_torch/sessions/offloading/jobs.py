"""Jobs: functions that are run once, on a worker thread, and that can be stopped from outside."""

from __future__ import annotations

import contextvars
import logging
import threading
from collections.abc import Callable
from functools import partial
from typing import Generic, Protocol, TypeVar

from wit_host import GuestTimeout

logger = logging.getLogger(__name__)

T = TypeVar("T")


class Guest(Protocol):
    """A guest that runs in a job, for other threads; no method waits."""

    @property
    def time_left(self) -> float | None:
        """The seconds that the guest may still run; None while it does not run, and without a limit.

        It is not positive from the end of the guest's time on, until the job ends.
        """
        ...

    def cancel(self) -> None:
        """Have the guest stop at its next step, or not start."""
        ...

    def stop_if_late(self) -> None:
        """Have the guest stop at its next step if its time is over."""
        ...

    def give_up(self) -> GuestTimeout:
        """The error for a caller who waits no longer for a guest whose time is over, and who gets no other answer."""
        ...


class Job(Generic[T]):
    """A function that is run once, in the context (`contextvars`) of the caller who made the job.

    `on_end` is called after the end, on any thread; it may not raise. `unclaimed` is called with a result that the
    caller does not get, because it was answered before.
    """

    def __init__(
        self,
        function: Callable[[], T],
        guest: Guest | None,
        on_end: Callable[[], object],
        unclaimed: Callable[[T], object] | None = None,
    ) -> None:
        #: The guest that the function runs; None if it runs none.
        self.guest = guest
        #: Whether the caller was answered before the end, because the guest's time was over.
        self.is_overdue = False
        #: Tells the caller that the job has ended; to be called after `run`.
        self.on_end = on_end
        self._function: Callable[[], T] | None = function
        self._context = contextvars.copy_context()
        self._unclaimed = unclaimed
        self._lock = threading.Lock()
        self._has_ended = self._has_result = self._is_abandoned = False
        self._result: T
        self._exception: BaseException | None = None
        self._last: list[Callable[[], object]] = []

    @property
    def has_ended(self) -> bool:
        """Whether the function has returned or raised, or will never be called."""
        return self._has_ended

    def run(self) -> None:
        """Call the function, keep what it returns or raises, and then do what was asked for with `finish_with`."""
        function, self._function = self._function, None
        try:
            if function is not None:
                self._result = self._context.run(function)
        except BaseException as exception:  # noqa: BLE001  # it is for the caller
            self._exception = exception
        finally:
            del function  # it may have the last reference to what a guest holds
        if self._is_unclaimed():
            self._drop_result()
        while (last := self._next()) is not None:
            _try(last)

    def _next(self) -> Callable[[], object] | None:
        """Return the next function to be called at the end; if there is none, this is the end."""
        with self._lock:
            if self._last:
                return self._last.pop(0)
            self._has_ended = True
        if self._is_abandoned:
            self._exception = None  # its traceback leads to the session, which has this job
        return None

    def _is_unclaimed(self) -> bool:
        """Whether the caller was answered already; if not, the result is kept for the caller from now on."""
        with self._lock:
            self._has_result = not self._is_abandoned
            return self._is_abandoned

    def _drop_result(self) -> None:
        if self._unclaimed is not None and self._exception is None:
            _try(partial(self._unclaimed, self._result))

    def withdraw(self) -> None:
        """End a job that will never run."""
        self._function = None
        self._next()
        self.on_end()

    def run_and_report(self) -> None:
        """Run the job on the thread of another one."""
        self.run()
        self.on_end()

    def finish_with(self, function: Callable[[], object]) -> bool:
        """Have `function` called on the worker thread after the end, if the job has not ended; return whether it will.

        Its exceptions are logged.
        """
        with self._lock:
            if not self._has_ended:
                self._last.append(function)
            return not self._has_ended

    def leave_behind(self) -> bool:
        """Let the caller be answered before the end, if the job has not ended; return whether it has not."""
        with self._lock:
            self.is_overdue = self._is_abandoned = not self._has_result and not self._has_ended
            return self.is_overdue

    def abandon(self) -> None:
        """Let the caller be answered with something else than the result, which is dropped."""
        with self._lock:
            has_result, self._has_result, self._is_abandoned = self._has_result, False, True
        if has_result:
            self._drop_result()

    def result(self) -> T:
        """What the function returned; raises what it raised. May be called once, after the end."""
        exception, self._exception = self._exception, None
        if exception is None:
            return self._result
        try:
            raise exception
        finally:
            del exception  # its traceback leads here: without this, a cycle would keep it alive


def _try(function: Callable[[], object]) -> None:
    try:
        function()
    except BaseException:
        logger.exception("what a guest left behind could not be closed, after its caller had been answered")
