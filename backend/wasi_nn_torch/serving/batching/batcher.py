"""Who computes: of the callers that wait for one graph, one computes for all of them."""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from collections.abc import Awaitable, Callable, Hashable, Sequence
from contextlib import suppress
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, cast

from wasi_nn_torch.contract.batch import Batch
from wasi_nn_torch.contract.batching import JoinsRequests
from wasi_nn_torch.contract.deadline import Deadline
from wasi_nn_torch.contract.errors import ErrorCode, NnError
from wasi_nn_torch.contract.text import quote
from wasi_nn_torch.serving.batching.figures import Tally
from wasi_nn_torch.serving.batching.queue import Entry, Member, State
from wasi_nn_torch.serving.batching.schedule import Schedule

if TYPE_CHECKING:
    from wasi_nn_torch.serving.batching.bell import Bell

OnThread = Callable[[Callable[[], object]], Awaitable[object]]
"""Calls a function on another thread, and returns when that has ended or will never begin."""

logger = logging.getLogger(__name__)

#: The longest wait without a look, in seconds; a caller that can still be stopped looks more often.
_LONG = 1.0


class Batcher:
    """The batches of one graph, called `name`, for any number of threads.

    A caller whose request leads a batch waits for company, if some is expected, and computes the batch. It gives the
    others their answers, which then wake each other, one after the other: if all woke at once, they would only wait for
    Python's lock.
    """

    def __init__(self, name: str, graph: JoinsRequests, batch: Batch, tally: Tally) -> None:
        self.name = name
        self._graph = graph
        self._max_queue = batch.max_queue
        self._tally = tally
        self._lock = threading.Lock()
        self._schedule = Schedule(batch, graph.lanes)
        #: The callers that compute without the queue, and since when.
        self._direct: dict[object, float] = {}
        _alive.add(self)

    @property
    def waiting(self) -> int:
        """The number of requests that wait now."""
        return self._schedule.waiting

    def enter(self, caller: object, member: Member) -> bool:
        """Whether a member may compute at once, without the queue, because it has no company that is worth waiting for.

        Whatever the outcome, `leave` is called for this caller.
        """
        with self._lock:
            if not self._schedule.enter(member):
                return False
            self._direct[caller] = time.perf_counter()
            return True

    def leave(self, caller: object, member: Member, rows: int) -> None:
        """End the computation of `rows` that `enter` allowed; does nothing if it allowed none."""
        began = self._direct.pop(caller, None)
        if began is None:
            return
        now = time.perf_counter()
        with self._lock:
            self._schedule.leave(member, now)
            seconds = now - began
            self._tally.add_lone(rows, seconds)
            member.tally.add_lone(rows, seconds)

    def require_room(self, member: Member) -> None:
        """Raise NnError `runtime-error` if the queue is full."""
        if self._schedule.waiting >= self._max_queue:
            with self._lock:
                self._refuse(member)

    def compute(self, entry: Entry, deadline: Deadline) -> None:
        """Return when a request was computed, with others or alone, by this caller or another one.

        Whatever the outcome, `wake_next` is called for this entry.

        Raises NnError: `timeout` if the time of the guest ends while the request waits, which is then taken out of the
        queue, and `runtime-error` if the queue is full.
        """
        try:
            self._add(entry)
            while (pause := self._step(entry, deadline)) is not None:
                _wait(entry, pause)
        except BaseException:
            self._withdraw(entry)
            raise

    async def compute_async(self, entry: Entry, bell: Bell, deadline: Deadline, on_thread: OnThread) -> None:
        """Do the same as `compute` in an event loop, with the batches that the request leads computed by `on_thread`.

        The gate of the entry is `bell`. If the task is cancelled, this ends when the request is not computed any more.
        """
        try:
            self._add(entry)
            while entry.state is not State.DONE:
                pause = self._pause(entry)
                if pause <= 0:
                    await on_thread(partial(self._step, entry, deadline))
                else:
                    await bell.wait(min(pause, deadline.patience()))
        except BaseException:
            await self._withdraw_async(entry, bell)
            raise

    def wake_next(self, entry: Entry) -> None:
        """Wake the next caller whose request was computed together with this one."""
        following, entry.next = entry.next, None
        if following is not None:
            with self._lock:
                following.wake()

    def forget(self, member: Member) -> None:
        """Do not expect a member any more, whose session has ended."""
        with self._lock:
            self._schedule.company.forget(member)

    def reset(self) -> None:
        """Forget all callers, in a process that was forked: their threads are not in it."""
        self._lock = threading.Lock()
        self._schedule.clear()
        self._direct.clear()

    # --- the caller of one request ---

    def _add(self, entry: Entry) -> None:
        with self._lock:
            if self._schedule.waiting >= self._max_queue:
                self._refuse(entry.member)
            self._schedule.add(entry)

    def _pause(self, entry: Entry) -> float:
        """How long to wait for the next time; 0 or less if a batch is due that the entry leads."""
        with self._lock:
            return self._schedule.pause(entry) if entry.state is State.LEADING else _LONG

    def _step(self, entry: Entry, deadline: Deadline) -> float | None:
        """Do what there is to do for an entry, and return how long to wait for the next time; None if it is done."""
        with self._lock:
            if entry.state is State.DONE:
                return None
            if entry.state is State.TAKEN:
                return _LONG
            pause = self._schedule.pause(entry) if entry.state is State.LEADING else _LONG
            taken = self._schedule.take(entry) if pause <= 0 else []
        if not taken:
            return min(pause, deadline.patience())
        self._lead(taken)
        return 0.0

    def _withdraw(self, entry: Entry) -> None:
        """Take an entry out of the queue; if it is being computed, wait until it is not."""
        while True:
            try:
                if self._is_withdrawn(entry):
                    return
                _wait(entry, -1)
            except BaseException:  # the first exception is raised by the caller
                logger.debug("another exception arrived while a request was withdrawn", exc_info=True)

    async def _withdraw_async(self, entry: Entry, bell: Bell) -> None:
        """Do the same in an event loop, however often the task is cancelled meanwhile."""
        import asyncio  # which takes a while, and is there already

        while not self._is_withdrawn(entry):
            with suppress(asyncio.CancelledError):
                await bell.wait(_LONG)

    def _is_withdrawn(self, entry: Entry) -> bool:
        """Take an entry out of the queue, and return whether it is not being computed."""
        with self._lock:
            if self._schedule.withdraw(entry):
                self._tally.withdrawn += 1
                entry.member.tally.withdrawn += 1
            return entry.state is not State.TAKEN

    def _refuse(self, member: Member) -> None:
        self._tally.refused += 1
        member.tally.refused += 1
        raise NnError(
            ErrorCode.RUNTIME_ERROR,
            f"the queue of the graph {quote(self.name)} is full: {self._max_queue} requests wait (limit "
            f"{self._max_queue}); try again later, or ask the operator to raise `max_queue`",
        )

    # --- the leader of a batch ---

    def _lead(self, batch: list[Entry]) -> None:
        """Compute a batch; if this thread is interrupted, those that were not computed wait again."""
        kind = batch[0].kind
        try:
            self._run(batch)
        finally:
            with self._lock:
                self._schedule.put_back(batch)
                self._schedule.end(kind)

    def _run(self, batch: list[Entry]) -> None:
        started = time.perf_counter()
        if self._graph.compute_together([entry.request for entry in batch]):
            self._answer(batch, started)
            return
        logger.info("%s: %d requests together failed; each is computed by itself", self.name, len(batch))
        with self._lock:
            for tally in (self._tally, *(entry.member.tally for entry in batch)):
                tally.failed_together += 1
        if not self._run_apart(batch):
            self._limit(batch)

    def _run_apart(self, batch: Sequence[Entry]) -> bool:
        """Compute each request by itself, and return whether one failed; others are not joined with its member again.

        The leader's own request comes last, so that nobody waits for its caller to go on.
        """
        has_failed = False
        for entry in reversed(batch):
            started = time.perf_counter()
            self._graph.compute_together([entry.request])
            if entry.request.has_failed:
                has_failed = entry.member.is_apart = True
            self._answer([entry], started)
            if entry is not batch[0]:
                with self._lock:
                    entry.wake()
        return has_failed

    def _answer(self, done: Sequence[Entry], started: float) -> None:
        """Give entries that were computed together since `started` their answers; each wakes the next one."""
        now = time.perf_counter()
        rows = sum(entry.rows for entry in done)
        seconds = now - started
        with self._lock:
            self._tally.add_batch(rows, seconds)
            for entry in done:
                waited = started - entry.arrived
                self._tally.add_request(waited)
                entry.member.tally.add_batch(rows, seconds)
                entry.member.tally.add_request(waited)
                self._schedule.answer(entry, now)
            for entry, following in pairwise(done):
                entry.next = following
        if logger.isEnabledFor(logging.DEBUG):
            longest = max(started - entry.arrived for entry in done)
            text = "%s: computed %d rows of %d requests in %.2f ms; they waited up to %.2f ms"
            logger.debug(text, self.name, rows, len(done), seconds * 1e3, longest * 1e3)

    def _limit(self, batch: Sequence[Entry]) -> None:
        """Join fewer rows of a kind, because each of the requests succeeded by itself."""
        kind: Hashable = batch[0].kind
        rows = sum(entry.rows for entry in batch)
        most = max(rows // 2, 1)
        text = "%s: %d rows could not be computed together, but each request by itself; from now on at most %d are"
        logger.warning(text, self.name, rows, most)
        with self._lock:
            self._schedule.limit(kind, most)


def _wait(entry: Entry, seconds: float) -> None:
    """Have the thread of an entry wait; -1 means without an end."""
    cast("threading.Lock", entry.gate).acquire(timeout=seconds)


#: The batchers of this process.
_alive: weakref.WeakSet[Batcher] = weakref.WeakSet()


def _forget_callers() -> None:
    for batcher in list(_alive):
        batcher.reset()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_callers)
