"""Which request leads the next batch, when it is due, and what is in it. Not for several threads at a time.

At most `lanes` batches are computed at a time, and at most one of each kind unless another one would be full. A request
that arrives when there is a lane for it leads the next batch of its kind, unless a later one completes that batch: then
that one leads. After a batch, the next in turn leads.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Hashable, Sequence

from wasi_nn_torch.contract.batch import Batch
from wasi_nn_torch.serving.batching.company import Company
from wasi_nn_torch.serving.batching.queue import Entry, Member, Queue, State

#: The most kinds whose size is known to be too large.
_MOST_KINDS = 256


class Schedule:
    """The batches of one graph."""

    def __init__(self, batch: Batch, lanes: int) -> None:
        self._batch = batch
        self._lanes = lanes
        self._queue = Queue()
        self.company = Company(batch.max_delay)
        #: Those that lead the next batch of their kind, and the number of batches of each kind that are computed now.
        self._leaders: dict[Hashable, Entry] = {}
        self._computing: Counter[Hashable] = Counter()
        self._busy = 0
        #: The sizes that kinds are limited to, because more rows failed although each request by itself did not.
        self._limits: dict[Hashable, int] = {}

    @property
    def waiting(self) -> int:
        """The number of requests that wait."""
        return self._queue.length

    def enter(self, member: Member) -> bool:
        """Whether a member may compute at once, without the queue; then it calls `leave`.

        It may if there is a lane for each member that computes or is expected, for then there is nothing to gain from
        waiting for them.
        """
        wanted = self._busy + 1
        if wanted > self._lanes or self._leaders or self._queue.length:
            return False
        if self.company.kinds and wanted + self.company.others(member, time.perf_counter()) > self._lanes:
            return False
        self._busy = wanted
        return True

    def leave(self, member: Member, now: float) -> None:
        """End what `enter` allowed."""
        member.answered = now
        self._busy -= 1
        if self._queue.length:
            self._designate()

    def add(self, entry: Entry) -> None:
        """Add an entry, which leads if there is a lane for it, or if it completes the batch of its kind."""
        self.company.arrive(entry.member, entry.arrived)
        self._queue.add(entry)
        entry.state = State.WAITING
        leader = self._leaders.get(entry.kind)
        if leader is None:
            if self._may_start(entry.kind):
                self._appoint(entry)
        elif self._is_complete(entry.kind, self.company.count(entry.kind)):
            leader.state = State.WAITING
            self._appoint(entry)

    def withdraw(self, entry: Entry) -> bool:
        """Take out an entry that waits, and return whether it did."""
        if entry.state not in (State.WAITING, State.LEADING):
            return False
        self._queue.remove(entry)
        self._drop_leader(entry)
        entry.state = State.DONE
        self._designate()
        return True

    def pause(self, leader: Entry) -> float:
        """How long a leader waits for company, in seconds; 0 or less if its batch is due."""
        now = time.perf_counter()
        coming, until = self.company.expected(leader.kind, now)
        if self._is_complete(leader.kind, coming):
            return 0.0
        return min(until, leader.arrived + self._batch.max_delay) - now

    def take(self, leader: Entry) -> list[Entry]:
        """Begin the batch of a leader, which comes first in it."""
        taken = self._queue.take(leader, self._size(leader.kind, self._queue.rows(leader.kind)))
        self._drop_leader(leader)
        self._begin(leader.kind)
        for entry in taken:
            entry.state = State.TAKEN
        return taken

    def answer(self, entry: Entry, now: float) -> None:
        """Note that an entry was computed."""
        self.company.answer(entry.member, entry.kind, now)
        entry.state = State.DONE

    def put_back(self, batch: Sequence[Entry]) -> None:
        """Let those of a batch that were not computed wait again, before all others."""
        for entry in reversed(batch):
            if entry.state is State.TAKEN:
                entry.state = State.WAITING
                self._queue.put_back(entry)

    def end(self, kind: Hashable) -> None:
        """End a batch of a kind, and let the next in turn lead."""
        self._busy -= 1
        self._computing[kind] -= 1
        if self._computing[kind] <= 0:
            del self._computing[kind]
        if self._queue.length:
            self._designate()

    def limit(self, kind: Hashable, rows: int) -> None:
        """Let a batch of a kind have at most so many rows from now on."""
        self._limits.pop(kind, None)
        self._limits[kind] = rows
        while len(self._limits) > _MOST_KINDS:
            del self._limits[next(iter(self._limits))]

    def clear(self) -> None:
        """Forget all entries, and what is being computed."""
        self._queue.clear()
        self.company.clear()
        self._leaders.clear()
        self._computing.clear()
        self._busy = 0

    def _begin(self, kind: Hashable) -> None:
        self._busy += 1
        self._computing[kind] += 1

    def _has_lane(self) -> bool:
        return self._busy + len(self._leaders) < self._lanes

    def _may_start(self, kind: Hashable) -> bool:
        if not self._has_lane():
            return False
        return kind not in self._computing or self._queue.rows(kind) >= self._batch.max_size

    def _appoint(self, entry: Entry) -> None:
        entry.state = State.LEADING
        self._leaders[entry.kind] = entry

    def _designate(self) -> None:
        """Let those whose turn it is lead, while there are lanes."""
        for entry in self._queue:
            if not self._has_lane():
                return
            if entry.kind not in self._leaders and self._may_start(entry.kind):
                self._appoint(entry)
                entry.wake()

    def _drop_leader(self, entry: Entry) -> None:
        if self._leaders.get(entry.kind) is entry:
            del self._leaders[entry.kind]

    def _is_complete(self, kind: Hashable, coming: int) -> bool:
        """Whether the batch of a kind is as large as it can get, if so many more are coming."""
        rows = self._queue.rows(kind)
        return rows >= self._size(kind, rows + coming)

    def _size(self, kind: Hashable, rows: int) -> int:
        """The size of a batch if there are so many rows."""
        most = min(rows, self._limits.get(kind, self._batch.max_size))
        return max((size for size in self._batch.preferred if size <= most), default=most)
