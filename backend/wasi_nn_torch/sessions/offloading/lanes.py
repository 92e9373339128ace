"""The jobs of one session, which run one at a time, and its end."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from wasi_nn_torch.sessions.offloading.jobs import Guest, Job
from wasi_nn_torch.sessions.offloading.workers import Workers

if TYPE_CHECKING:
    from wasi_nn_torch.sessions.offloading.answers import Answer

T = TypeVar("T")


class Lane:
    """The jobs of a session, whose guest may take `timeout` seconds for each call.

    They run on `workers`. The session is closed on `closers`, so that it need not wait for guests that run.
    """

    def __init__(self, workers: Workers, closers: Workers, timeout: float | None) -> None:
        self._workers = workers
        self._closers = closers
        self._timeout = timeout
        self._job: Job[Any] | None = None

    @property
    def overdue(self) -> int:
        """The number of jobs that run on although the guest's time is over and the caller has been answered: 0 or 1."""
        job = self._job
        return int(job is not None and job.is_overdue and not job.has_ended)

    async def run(self, function: Callable[[], T], guest: Guest, unclaimed: Callable[[T], object] | None = None) -> T:
        """Call `function`, which runs `guest`, on a worker thread, and return its result.

        `unclaimed` is called with a result that this does not return.

        Raises RuntimeError if another task awaits the session; for the other exceptions, see `Answer.wait`.
        """
        if self._is_busy():
            raise RuntimeError("a session serves one call at a time; await the other one first, or use another session")
        answer = _answer(self._workers, function, guest, self._timeout, unclaimed)
        self._job = answer.job
        try:
            return await answer.wait()
        finally:
            if answer.job.has_ended:  # what it raised may lead to the session, which has this lane
                self._job = None

    async def close(self, function: Callable[[], object], guest: Guest) -> None:
        """Stop `guest` if it runs, and call `function`, which closes the session, on a thread.

        Does not wait for a job that is overdue: its thread calls `function` at the end.
        """
        if self.closes_later(function):
            return
        if self._is_busy():
            guest.cancel()
        await _answer(self._closers, function).wait(self._job)

    async def finish(self, function: Callable[[], object]) -> None:
        """Call `function`, which ends something, on one of the threads for that, even if the task is cancelled."""
        await _answer(self._closers, function).wait()

    def close_unawaited(self, function: Callable[[], object], guest: Guest) -> None:
        """Do the same for a coroutine that nobody awaits any more, such as one whose event loop was closed."""
        if self._is_busy():
            guest.cancel()
        if self._job is None or not self._job.finish_with(function):
            function()

    def closes_later(self, function: Callable[[], object]) -> bool:
        """Have `function`, which closes the session, called at the end of a job that is overdue; return whether."""
        job = self._job
        return job is not None and job.is_overdue and job.finish_with(function)

    def _is_busy(self) -> bool:
        return self._job is not None and not self._job.has_ended


def _answer(
    workers: Workers,
    function: Callable[[], T],
    guest: Guest | None = None,
    timeout: float | None = None,
    unclaimed: Callable[[T], object] | None = None,
) -> Answer[T]:
    """The answer of a new job; asyncio, which takes a while to import, is imported by whoever has an event loop."""
    from wasi_nn_torch.sessions.offloading.answers import Answer

    return Answer(workers, function, guest, timeout, unclaimed)
