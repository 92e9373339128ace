"""Worker threads: a bounded number of them, made on demand, and a bounded queue."""

from __future__ import annotations

import _thread
import atexit
import os
import threading
import weakref
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from wasi_nn_torch.sessions.offloading.jobs import Job
from wasi_nn_torch.sessions.offloading.pulse import Pulse

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

#: The stack of each thread, in bytes; the system reserves it, and provides what is used.
_STACK = 8 << 20
#: The time, in seconds, after which a thread without a job ends.
_PATIENCE = 10.0
#: The most jobs that are not counted because they rest.
_MOST_RESTING = 32


class EngineBusy(Exception):
    """As many guests as may run are running, and as many as may wait are waiting; the text says what to raise."""


class Workers:
    """Threads that run at most `threads` jobs at a time, while at most `queue` wait; None means no limit of the queue.

    A job that rests, because it waits for something else, is not counted: one that waits can be run meanwhile. At most
    32 jobs rest in this sense. Threads are made when there is a job and no thread is free, and end when they have had
    none for ten seconds. When the interpreter ends, it cancels the guests and waits for the threads. After a fork, the
    child has none of the jobs, and makes threads of its own.
    """

    def __init__(self, name: str, threads: int, queue: int | None = None) -> None:
        self._name = name
        self._most = threads
        self._longest = queue
        self._has_changed = threading.Condition(threading.Lock())
        self._waiting: deque[Job[Any]] = deque()
        self._running: set[Job[Any]] = set()
        self._threads = self._idle = self._resting = self._made = 0
        self._is_closed = self._is_over = False
        #: The event loops that await jobs.
        self._pulses: weakref.WeakKeyDictionary[AbstractEventLoop, Pulse] = weakref.WeakKeyDictionary()
        _register(self)

    @property
    def overdue(self) -> int:
        """The number of jobs that run on although their guests' time is over and their callers have been answered."""
        with self._has_changed:
            return sum(job.is_overdue for job in self._running)

    def submit(self, job: Job[Any]) -> None:
        """Have a thread run `job`; raises EngineBusy if the queue is full, RuntimeError if there can be no thread."""
        with self._has_changed:
            if self._is_over:
                raise RuntimeError("no guest can be started any more, because the interpreter ends")
            if self._longest is not None and len(self._waiting) >= self._longest + max(self._free, 0):
                raise self._busy()
            self._waiting.append(job)
            try:
                self._have_run()
            except RuntimeError:
                self._waiting.remove(job)
                raise

    @contextmanager
    def rest(self) -> Iterator[None]:
        """Let another job run while the one that calls this waits in this block, on the thread of that one."""
        with self._has_changed:
            is_counted = self._resting < _MOST_RESTING
            self._resting += is_counted
            self._have_run()
        try:
            yield
        finally:
            with self._has_changed:
                self._resting -= is_counted

    def pulse(self, loop: AbstractEventLoop) -> Pulse:
        """The pulse of an event loop, which calls this."""
        pulse = self._pulses.get(loop)
        if pulse is None:
            pulse = self._pulses[loop] = Pulse(loop)
        return pulse

    def withdraw(self, job: Job[Any]) -> bool:
        """Take `job` out of the queue, so that it never runs; return whether it was there."""
        with self._has_changed:
            try:
                self._waiting.remove(job)
            except ValueError:
                return False
            return True

    def close(self) -> None:
        """Let the threads end as soon as they have no job, without waiting for them; later jobs are run as well."""
        with self._has_changed:
            self._is_closed = True
            self._has_changed.notify_all()

    def finish(self) -> None:
        """Cancel every job, and return when the last thread has ended."""
        with self._has_changed:
            self._is_closed = self._is_over = True
            self._waiting.clear()
            running = list(self._running)
            self._has_changed.notify_all()
        for job in running:
            if job.guest is not None:
                job.guest.cancel()
        with self._has_changed:
            self._has_changed.wait_for(lambda: self._threads == 0)

    def go_on_in_child(self) -> None:
        """Continue in the child of a fork, which has only the thread that forked."""
        self._has_changed = threading.Condition(threading.Lock())  # another thread may have held the old one
        self._waiting.clear()
        self._running.clear()
        self._threads = self._idle = self._resting = 0

    @property
    def _free(self) -> int:
        """The number of jobs that may be run now; it may be negative when jobs go on that rested."""
        return self._most - (len(self._running) - self._resting)

    def _have_run(self) -> None:
        """Wake or start a thread for a job that waits and that may run now, with the lock held."""
        if not self._waiting or self._free <= 0:
            return
        if self._idle < min(len(self._waiting), self._free):
            self._start()
        else:
            self._has_changed.notify()

    def _start(self) -> None:
        """Start one more thread, with the lock held; raises RuntimeError if there is none and can be none.

        Not by `threading`, which waits until the new thread runs: beside busy threads that may take a second, and this
        one may be the thread of the event loop.
        """
        try:
            with _own_stacks():
                _thread.start_new_thread(self._begin, (f"{self._name}-{self._made + 1}",))
        except RuntimeError:  # the system has no more threads
            if not self._threads:
                raise
        else:
            self._threads += 1
            self._made += 1

    def _begin(self, name: str) -> None:
        """Start a thread that `threading` knows, with a name; or else be one without a name."""
        try:
            with _own_stacks():
                threading.Thread(target=self._work, name=name, daemon=True).start()
        except RuntimeError:
            self._work()

    def _work(self) -> None:
        """Run jobs until there are none; the target of each thread."""
        with self._has_changed:
            self._idle += 1
        try:
            while (job := self._next()) is not None:
                job.run()
                with self._has_changed:  # first, so that whoever is told can have another job run at once
                    self._running.discard(job)
                    self._idle += 1
                on_end = job.on_end
                del job  # before anyone is told, so that nothing of the job stays
                on_end()
        finally:
            with self._has_changed:
                self._threads -= 1
                self._has_changed.notify_all()

    def _next(self) -> Job[Any] | None:
        """Return the next job; None if there is none for some time, or if the workers are closed."""
        with self._has_changed:
            self._has_changed.wait_for(lambda: self._may_run() or self._is_closed, _PATIENCE)
            self._idle -= 1
            if not self._may_run():
                return None
            job = self._waiting.popleft()
            self._running.add(job)
            return job

    def _may_run(self) -> bool:
        """Whether there is a job to be run now."""
        return bool(self._waiting) and self._free > 0

    def _busy(self) -> EngineBusy:
        return EngineBusy(
            f"this engine already runs {len(self._running)} guests for asyncio, and {len(self._waiting)} wait; raise "
            "`async_queue` or `async_threads` of `Engine`, or try again later"
        )


@contextmanager
def _own_stacks() -> Iterator[None]:
    """Give the threads that are started in this block the stack that guests need."""
    with _stacks:
        before = threading.stack_size(_STACK)
        try:
            yield
        finally:
            wanted = threading.stack_size(before)
            if wanted != _STACK:  # the program has changed it meanwhile
                threading.stack_size(wanted)


#: Held while new threads have other stacks than the program wants.
_stacks = threading.Lock()
#: All workers of this process.
_all: weakref.WeakSet[Workers] = weakref.WeakSet()


def _register(workers: Workers) -> None:
    _all.add(workers)
    # Again, to be called before the functions that other modules, such as PyTorch, have registered meanwhile.
    atexit.unregister(_finish)
    atexit.register(_finish)


def _finish() -> None:
    """Before the interpreter ends: a thread that was stopped by that inside the engine or PyTorch would abort."""
    for workers in list(_all):
        workers.finish()


def _after_fork() -> None:
    _stacks.release()
    for workers in list(_all):
        workers.go_on_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_stacks.acquire, after_in_parent=_stacks.release, after_in_child=_after_fork)
