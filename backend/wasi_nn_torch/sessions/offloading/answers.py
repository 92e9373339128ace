"""Awaiting a job in an event loop: its answer, the cancelling of its caller, and the deadline of its guest."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Generic, TypeVar

from wasi_nn_torch.sessions.offloading.jobs import Guest, Job
from wasi_nn_torch.sessions.offloading.pulse import Pace, Pulse
from wasi_nn_torch.sessions.offloading.workers import Workers
from wit_host import awaiting_in

T = TypeVar("T")

#: The time, in seconds, that a guest has for ending by itself when its time is over. It takes less, unless the guest
#: is in a host function, such as the computation of a model.
_GRACE = 0.025
#: The least time, in seconds, between two looks at a guest that has not started yet.
_LEAST = 0.01


class Answer(Generic[T]):
    """What a job of `workers` returns or raises, for one coroutine of the running event loop.

    `guest` is the one that the function runs, and `timeout` the most seconds of each of its calls; None means no limit.
    A job without a guest runs in any case, even if the coroutine is cancelled. `unclaimed` is called with a result that
    the coroutine does not return, because it was cancelled or the guest's time was over.
    """

    def __init__(
        self,
        workers: Workers,
        function: Callable[[], T],
        guest: Guest | None = None,
        timeout: float | None = None,
        unclaimed: Callable[[T], object] | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        # The thread does not keep this alive, so that a coroutine that nobody awaits any more can be found out.
        end = partial(_post_end, self._loop, weakref.ref(self))
        self._workers = workers
        self._pulse = workers.pulse(self._loop)
        self.job = Job(partial(_awaiting, self._loop, self._pulse, workers, function), guest, end, unclaimed)
        self._timeout = timeout
        self._news = self._loop.create_future()
        self._has_ended = False
        self._timer: asyncio.TimerHandle | None = None

    async def wait(self, after: Job[object] | None = None) -> T:
        """Have the job run, and return its result, or raise its exception.

        It runs on the thread of the job `after`, once that ends, or else on one of the workers.

        Raises EngineBusy if the queue is full. If the task is cancelled, a job that waits never runs; one that runs has
        its guest stop, and this ends when the job has ended. When the guest's time is over, a job that does not end
        is left behind, and this raises GuestTimeout.
        """
        if after is None or not after.finish_with(self.job.run_and_report):
            self._submit()
        self._pulse.enter()
        try:
            if self._timeout is not None:
                self._look_after(self._timeout)
            await self._news
        except asyncio.CancelledError:
            self.job.abandon()
            await self._stop()
            raise
        finally:
            self._pulse.leave()
            self._stop_looking()
            if not self._has_ended and not self.job.is_overdue:  # nobody awaits it: the event loop was closed
                self.job.abandon()
                self._withdraw()
        guest = self.job.guest
        if guest is not None and not self._has_ended:
            raise guest.give_up()
        return self.job.result()

    def _submit(self) -> None:
        try:
            self._workers.submit(self.job)
        except BaseException:
            self.job.withdraw()
            raise

    async def _stop(self) -> None:
        """Return when the job has ended, or will never run, however often the task is cancelled meanwhile."""
        self._stop_looking()
        self._withdraw()
        while not self.job.has_ended:
            self._news = self._loop.create_future()
            with suppress(asyncio.CancelledError):
                await self._news

    def _withdraw(self) -> None:
        """Have the guest stop, or not start."""
        guest = self.job.guest
        if guest is None:
            return
        if self._workers.withdraw(self.job):
            self.job.withdraw()
        elif not self.job.has_ended:
            guest.cancel()

    def on_end(self) -> None:
        """Take notice that the job has ended."""
        self._has_ended = True
        self._wake()

    def _wake(self) -> None:
        if not self._news.done():
            self._news.set_result(None)

    def _look_after(self, seconds: float) -> None:
        self._timer = self._loop.call_later(seconds, self._look)

    def _look(self) -> None:
        """Let the guest end if its time is over; look again when it may be, since a guest may not have started yet."""
        guest = self.job.guest
        left = None if guest is None else guest.time_left
        if guest is None or left is None:
            self._look_after(max(self._timeout or 0.0, _LEAST))
        elif left > 0:
            self._look_after(left)
        else:
            guest.stop_if_late()
            self._timer = self._loop.call_later(_GRACE, self._leave)

    def _leave(self) -> None:
        """Answer the caller now, and leave the job behind."""
        if self.job.leave_behind():
            self._wake()

    def _stop_looking(self) -> None:
        if self._timer is not None:
            self._timer.cancel()


def _awaiting(loop: asyncio.AbstractEventLoop, pulse: Pulse, workers: Workers, function: Callable[[], T]) -> T:
    """Call `function` on the thread of a job, with coroutines of the host awaited in `loop`, which comes first."""
    with awaiting_in(loop, Pace(pulse), workers.rest):
        return function()


def _post_end(loop: asyncio.AbstractEventLoop, answer: weakref.ref[Answer[T]]) -> None:
    """Tell the event loop that a job has ended, on the thread of the job."""
    with suppress(RuntimeError):  # the loop was closed
        loop.call_soon_threadsafe(_end, answer)


def _end(answer: weakref.ref[Answer[T]]) -> None:
    found = answer()
    if found is not None:
        found.on_end()
