"""Implementations that are coroutine functions: they run in an event loop, while the thread of the guest waits.

In: a coroutine that a host function returned. Out: its result, or its exception. The guest's time and its cancelling
end the wait: then the coroutine is cancelled. It has always ended when the guest goes on, so it may use what it was
lent, such as a view of the guest's memory, up to its end.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from contextvars import ContextVar
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, Task

T = TypeVar("T")

#: The seconds between two checks whether an event loop still runs.
_INTERVAL = 0.1
#: The most seconds of one wait, which the system's functions can take.
_LONGEST = 1e6

Pace = Callable[[], object]
"""Called at the begin of each call of a host function; it may wait a moment."""

Rest = Callable[[], AbstractContextManager[object]]
"""Makes the block in which a thread waits for a coroutine."""

_loop: ContextVar[AbstractEventLoop | None] = ContextVar("wit_host.loop", default=None)
_pace: ContextVar[Pace | None] = ContextVar("wit_host.pace", default=None)
_rest: ContextVar[Rest] = ContextVar("wit_host.rest", default=nullcontext)


class Clock(Protocol):
    """The time of a guest."""

    @property
    def left(self) -> float | None:
        """The seconds that are left; None without a limit."""
        ...

    def tick(self) -> None:
        """Raise if the guest has to stop."""
        ...


@contextmanager
def awaiting_in(loop: AbstractEventLoop, pace: Pace | None = None, rest: Rest = nullcontext) -> Iterator[None]:
    """Await the coroutines that implementations return in `loop`, for guests that are called in this block.

    The loop has to run on another thread. A coroutine sees the context variables of the block. Between two checks of
    its time, a guest of the block leaves Python to others for up to a second; `cancel` and timeouts are as prompt as
    without. `pace` is called at the begin of each call of a host function, and may wait a moment. `rest` makes a
    context manager, in whose block the thread waits for a coroutine.
    """
    token, pace_token, rest_token = _loop.set(loop), _pace.set(pace), _rest.set(rest)
    try:
        yield
    finally:
        _loop.reset(token)
        _pace.reset(pace_token)
        _rest.reset(rest_token)


async def in_thread(call: Callable[[], T], cancel: Callable[[], None]) -> T:
    """Return the result of `call`, which runs a guest, from a thread of the event loop's executor.

    Coroutines that implementations return are awaited in the event loop. When the task is cancelled, `cancel` is to
    stop the guest; CancelledError comes out when it has stopped.
    """
    import asyncio  # whoever awaits this has it, all others need not

    loop = asyncio.get_running_loop()

    def run() -> T:
        with awaiting_in(loop):
            return call()

    done = loop.run_in_executor(None, contextvars.copy_context().run, run)
    try:
        await asyncio.wait([done])
    except asyncio.CancelledError:
        cancel()
        while not done.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([done])
        if not done.cancelled():
            done.exception()  # its end is that of the task
        raise
    return done.result()


def current_pace() -> Pace | None:
    """Return what is to be called at each call of a host function here."""
    return _pace.get()


def has_loop() -> bool:
    """Return whether coroutines are awaited in an event loop here."""
    return _loop.get() is not None


class News:
    """Wakes the thread of one guest that waits."""

    def __init__(self, queue: SimpleQueue[Task[object] | None]) -> None:
        self._queue = queue

    def wake(self) -> None:
        """Have the thread look again now; from any thread or handler of signals."""
        self._queue.put(None)

    def wait(self, timeout: float | None) -> None:
        """Return when the thread was woken, or after `timeout` seconds."""
        _get(self._queue, None if timeout is None else min(max(timeout, 0.0), _LONGEST))


class Waiting:
    """What one guest waits for: the end of a coroutine, or anything else."""

    def __init__(self) -> None:
        self._news: SimpleQueue[Task[object] | None] | None = None

    @contextmanager
    def resting(self) -> Iterator[News]:
        """Let the thread of the guest wait in the block; `wake` wakes it."""
        news: SimpleQueue[Task[object] | None] = SimpleQueue()
        self._news = news
        try:
            with _rest.get()():
                yield News(news)
        finally:
            self._news = None

    def wake(self) -> None:
        """Have the guest look at its time now, if it waits; from any thread or handler of signals."""
        news = self._news
        if news is not None:
            news.put(None)

    def wait(self, name: str, coroutine: Coroutine[Any, Any, object], clock: Clock) -> object:
        """Return the result of the coroutine of the function `name`, or raise its exception.

        Raises TypeError if this thread has no event loop to await it in, and the exceptions of `clock`.
        """
        loop = _loop.get()
        if loop is None:
            raise _no_loop(name, coroutine)
        news: SimpleQueue[Task[object] | None] = SimpleQueue()
        self._news = news
        try:
            return _result(name, _ended(loop, coroutine, news, clock))
        finally:
            self._news = None


class _Awaited:
    """A coroutine in an event loop; when it has ended, `news` gets its task."""

    def __init__(
        self, loop: AbstractEventLoop, coroutine: Coroutine[Any, Any, object], news: SimpleQueue[Task[object] | None]
    ) -> None:
        self._loop = loop
        self._coroutine = coroutine
        self._news = news
        self._task: Task[object] | None = None
        try:
            loop.call_soon_threadsafe(self._start)
        except RuntimeError:  # the loop is closed
            coroutine.close()
            raise

    def _start(self) -> None:
        self._task = self._loop.create_task(self._coroutine)
        self._task.add_done_callback(self._news.put)

    def finish(self) -> None:
        """Cancel the coroutine if it has not ended, and return when it has, or when its event loop does not run."""
        if not self._has_ended():
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._cancel)
            while not self._has_ended() and self._loop.is_running():
                _get(self._news, _INTERVAL)
        if self._task is None:
            self._coroutine.close()
        self._task = None  # its exception leads here: without this, a cycle would keep it alive

    def _has_ended(self) -> bool:
        return self._task is not None and self._task.done()

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()


def _ended(
    loop: AbstractEventLoop,
    coroutine: Coroutine[Any, Any, object],
    news: SimpleQueue[Task[object] | None],
    clock: Clock,
) -> Task[object]:
    """Run the coroutine in the event loop, and return its task when it has ended; raises the exceptions of `clock`."""
    with _rest.get()():
        awaited = _Awaited(loop, coroutine, news)
        try:
            return _wait(news, clock)
        finally:
            awaited.finish()


def _wait(news: SimpleQueue[Task[object] | None], clock: Clock) -> Task[object]:
    """Return the task when it has ended; raises the exceptions of `clock`."""
    while True:
        clock.tick()
        left = clock.left
        task = _get(news, None if left is None else max(left, 0.0))
        if task is not None:
            return task


def _get(news: SimpleQueue[Task[object] | None], timeout: float | None) -> Task[object] | None:
    try:
        return news.get(timeout=timeout)
    except Empty:
        return None


def _result(name: str, task: Task[object]) -> object:
    try:
        if task.cancelled():
            raise RuntimeError(f"the coroutine of {name} was cancelled before it had a result")
        return task.result()
    finally:
        del task  # it has the exception, whose traceback leads here: without this, a cycle would keep both alive


def _no_loop(name: str, coroutine: Coroutine[Any, Any, object]) -> TypeError:
    coroutine.close()
    return TypeError(
        f"{name} is a coroutine function, which needs an event loop: run the guest with `run_async`, or make it a "
        "plain function"
    )
