"""Who computes, what, and when: of the callers that wait for one graph, one computes for all of them."""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from collections import Counter
from collections.abc import Hashable, Sequence
from itertools import pairwise

from wasi_nn_torch.contract.batch import Batch
from wasi_nn_torch.contract.batching import JoinsRequests, Request
from wasi_nn_torch.contract.deadline import Deadline
from wasi_nn_torch.contract.errors import ErrorCode, NnError
from wasi_nn_torch.contract.text import quote
from wasi_nn_torch.serving.batching.company import Company
from wasi_nn_torch.serving.batching.figures import Tally
from wasi_nn_torch.serving.batching.queue import Entry, Member, Queue, State, Turn

logger = logging.getLogger(__name__)

#: The kind of a computation that is made without the queue.
_LONE = "lone"
#: The longest wait without a look, in seconds; a caller that can still be stopped looks more often.
_LONG = 1.0
#: The most kinds whose size is known to be too large.
_MOST_KINDS = 256


class Batcher:
    """The batches of one graph, called `name`, for any number of threads.

    At most `lanes` batches are computed at a time, and at most one of each kind unless another one would be full. A
    request that arrives when there is a lane for it leads the next batch: its caller waits for company if some is
    expected, unless a later caller completes the batch, and computes it. After a batch, the next in turn leads.
    """

    def __init__(self, name: str, graph: JoinsRequests, batch: Batch, tally: Tally) -> None:
        self.name = name
        self._graph = graph
        self._batch = batch
        self._tally = tally
        self._lock = threading.Lock()
        self._queue = Queue()
        self._company = Company(batch.max_delay)
        #: Those that lead the next batch of their kind, and the number of batches of each kind that are computed now.
        self._leaders: dict[Hashable, Entry] = {}
        self._computing: Counter[Hashable] = Counter()
        #: The one that computes without the queue.
        self._lone: Turn | None = None
        #: The sizes that kinds are limited to, because more rows failed although each request by itself did not.
        self._limits: dict[Hashable, int] = {}
        _alive.add(self)

    @property
    def waiting(self) -> int:
        """The number of requests that wait now."""
        return len(self._queue)

    def enter(self, turn: Turn) -> bool:
        """Whether a member may compute at once, without the queue, because it has no company.

        Whatever the outcome, `leave` is called for this turn. Raises NnError `runtime-error` if the queue is full.
        """
        now = time.perf_counter()
        member = turn.member
        with self._lock:
            if len(self._queue) >= self._batch.max_queue:
                self._refuse(member)
            if self._computing or self._leaders or self._company.has_others(member, now):
                return False
            self._company.arrive(member, now)
            self._lone, turn.started = turn, now
            self._computing[_LONE] = 1
            return True

    def leave(self, turn: Turn) -> None:
        """End the computation that `enter` allowed; does nothing if it allowed none."""
        if self._lone is not turn:
            return
        now = time.perf_counter()
        member = turn.member
        with self._lock:
            self._lone = None
            self._end(_LONE)
            self._company.answer(member, member.kind, now)
            for tally in (self._tally, member.tally):
                tally.add_batch(turn.rows, now - turn.started)
                tally.add_request(0.0)
            self._designate()

    def compute(self, entry: Entry, deadline: Deadline) -> None:
        """Return when a request was computed, with others or alone, by this caller or another one.

        Whatever the outcome, `wake_next` is called for this entry.

        Raises NnError: `timeout` if the time of the guest ends while the request waits, which is then taken out of the
        queue, and `runtime-error` if the queue is full.
        """
        try:
            self._add(entry)
            while (pause := self._step(entry, deadline)) is not None:
                entry.gate.acquire(timeout=pause)
        except BaseException:
            self._withdraw(entry)
            raise

    def wake_next(self, entry: Entry) -> None:
        """Wake the next caller whose request was computed together with this one."""
        with self._lock:
            woken = entry.next
            entry.next = None
            if woken is not None:
                _open(woken)

    def forget(self, member: Member) -> None:
        """Do not expect a member any more, whose session has ended."""
        with self._lock:
            self._company.forget(member)

    def reset(self) -> None:
        """Forget all callers, in a process that was forked: their threads are not in it."""
        self._lock = threading.Lock()
        self._queue.clear()
        self._company.clear()
        self._leaders.clear()
        self._computing.clear()
        self._lone = None

    # --- the caller of one request ---

    def _add(self, entry: Entry) -> None:
        with self._lock:
            if len(self._queue) >= self._batch.max_queue:
                self._refuse(entry.member)
            self._company.arrive(entry.member, entry.arrived)
            self._queue.add(entry)
            entry.state = State.WAITING
            self._place(entry)

    def _step(self, entry: Entry, deadline: Deadline) -> float | None:
        """Do what there is to do for an entry, and return how long to wait for the next time; None if it is done."""
        with self._lock:
            if entry.state is State.DONE:
                return None
            if entry.state is State.TAKEN:
                return _LONG
            pause = self._pause(entry) if entry.state is State.LEADING else _LONG
            taken = self._take(entry) if pause <= 0 else []
        if not taken:
            return min(pause, deadline.patience())
        self._lead(taken)
        return 0.0

    def _withdraw(self, entry: Entry) -> None:
        """Take an entry out of the queue; if it is being computed, wait until it is not."""
        while True:
            try:
                with self._lock:
                    if entry.state in (State.WAITING, State.LEADING):
                        self._queue.remove(entry)
                        self._drop_leader(entry)
                        entry.state = State.DONE
                        self._tally.withdrawn += 1
                        entry.member.tally.withdrawn += 1
                        self._designate()
                    if entry.state is not State.TAKEN:
                        return
                entry.gate.acquire()
            except BaseException:  # noqa: BLE001  # the first exception is raised by the caller
                logger.debug("another exception arrived while a request was withdrawn", exc_info=True)

    # --- the next batch; the caller has the lock ---

    def _place(self, entry: Entry) -> None:
        """Let a new entry lead if there is a lane for it, or if it completes the batch of its kind."""
        leader = self._leaders.get(entry.kind)
        if leader is None:
            if self._may_start(entry.kind):
                self._appoint(entry)
        elif self._is_complete(entry.kind, self._company.count(entry.kind)):
            leader.state = State.WAITING
            self._appoint(entry)

    def _may_start(self, kind: Hashable) -> bool:
        if self._computing.total() + len(self._leaders) >= self._graph.lanes:
            return False
        return kind not in self._computing or self._queue.rows(kind) >= self._batch.max_size

    def _appoint(self, entry: Entry) -> None:
        entry.state = State.LEADING
        self._leaders[entry.kind] = entry

    def _designate(self) -> None:
        """Let those whose turn it is lead, while there are lanes."""
        if not len(self._queue):
            return
        for entry in self._queue:
            if self._computing.total() + len(self._leaders) >= self._graph.lanes:
                return
            if entry.kind not in self._leaders and self._may_start(entry.kind):
                self._appoint(entry)
                _open(entry)

    def _pause(self, leader: Entry) -> float:
        """How long a leader waits for company, in seconds; 0 or less if its batch is due."""
        now = time.perf_counter()
        coming, until = self._company.expected(leader.kind, now)
        if self._is_complete(leader.kind, coming):
            return 0.0
        return min(until, leader.arrived + self._batch.max_delay) - now

    def _is_complete(self, kind: Hashable, coming: int) -> bool:
        """Whether the batch of a kind is as large as it can get, if so many more are coming."""
        rows = self._queue.rows(kind)
        return rows >= self._size(kind, rows + coming)

    def _size(self, kind: Hashable, rows: int) -> int:
        """The size of a batch if there are so many rows."""
        most = min(rows, self._limits.get(kind, self._batch.max_size))
        return max((size for size in self._batch.preferred if size <= most), default=most)

    def _take(self, leader: Entry) -> list[Entry]:
        taken = self._queue.take(leader, self._size(leader.kind, self._queue.rows(leader.kind)))
        self._drop_leader(leader)
        self._computing[leader.kind] += 1
        for entry in taken:
            entry.state = State.TAKEN
        return taken

    def _drop_leader(self, entry: Entry) -> None:
        if self._leaders.get(entry.kind) is entry:
            del self._leaders[entry.kind]

    def _end(self, kind: Hashable) -> None:
        self._computing[kind] -= 1
        if self._computing[kind] <= 0:
            del self._computing[kind]

    def _refuse(self, member: Member) -> None:
        self._tally.refused += 1
        member.tally.refused += 1
        limit = self._batch.max_queue
        raise NnError(
            ErrorCode.RUNTIME_ERROR,
            f"the queue of the graph {quote(self.name)} is full: {limit} requests wait (limit {limit}); try again "
            "later, or ask the operator to raise `max_queue`",
        )

    # --- a batch ---

    def _lead(self, batch: list[Entry]) -> None:
        """Compute a batch; if this thread is interrupted, those that were not computed wait again."""
        started = time.perf_counter()
        kind = batch[0].kind
        try:
            self._run(batch, started)
        finally:
            self._settle(batch, kind)

    def _run(self, batch: list[Entry], started: float) -> None:
        if self._graph.compute_together([entry.request for entry in batch]):
            self._finish(batch, batch, started)
            return
        logger.info("%s: %d requests together failed; each is computed by itself", self.name, len(batch))
        self._count_failure(batch)
        rows = sum(entry.rows for entry in batch)
        kind, failed = batch[0].kind, 0
        for entry in list(batch):
            begun = time.perf_counter()
            self._graph.compute_together([entry.request])
            if entry.request.has_failed:
                failed += 1
                entry.member.is_apart = True
            self._finish([entry], batch, begun)
        if not failed:
            self._limit(kind, rows // 2)

    def _finish(self, done: Sequence[Entry], batch: Sequence[Entry], started: float) -> None:
        """Give the callers of `done`, a part of the batch that was computed since `started`, their answers."""
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
                self._company.answer(entry.member, entry.kind, now)
                entry.state = State.DONE
            for entry, following in pairwise(done):
                entry.next = following
            if done[0] is not batch[0]:
                _open(done[0])
        if logger.isEnabledFor(logging.DEBUG):
            longest = max(started - entry.arrived for entry in done)
            logger.debug(
                "%s: computed %d rows of %d requests in %.2f ms; they waited up to %.2f ms",
                self.name,
                rows,
                len(done),
                seconds * 1e3,
                longest * 1e3,
            )

    def _settle(self, batch: Sequence[Entry], kind: Hashable) -> None:
        """End a batch: whoever was not computed waits again, and the next in turn leads."""
        with self._lock:
            self._end(kind)
            for entry in reversed(batch):
                if entry.state is State.TAKEN:
                    entry.state = State.WAITING
                    self._queue.put_back(entry)
            self._designate()

    def _count_failure(self, batch: Sequence[Entry]) -> None:
        with self._lock:
            for tally in (self._tally, *(entry.member.tally for entry in batch)):
                tally.failed_together += 1

    def _limit(self, kind: Hashable, rows: int) -> None:
        """Limit the batches of a kind, because each of the requests succeeded by itself."""
        logger.warning(
            "%s: %d rows of one kind could not be computed together, but each request by itself; from now on at most "
            "%d are joined",
            self.name,
            2 * rows,
            max(rows, 1),
        )
        with self._lock:
            self._limits.pop(kind, None)
            self._limits[kind] = max(rows, 1)
            while len(self._limits) > _MOST_KINDS:
                del self._limits[next(iter(self._limits))]


def _open(entry: Entry) -> None:
    """Wake the caller of an entry; the lock of the batcher is held, so that nobody else does."""
    if entry.gate.locked():
        entry.gate.release()


#: The batchers of this process.
_alive: weakref.WeakSet[Batcher] = weakref.WeakSet()


def _forget_callers() -> None:
    for batcher in list(_alive):
        batcher.reset()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_callers)
