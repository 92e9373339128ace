"""The requests that wait for a batch, and whose turn it is. Not for several threads at a time."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Hashable, Iterator
from enum import Enum
from typing import Protocol

from wasi_nn_torch.contract.batching import Request
from wasi_nn_torch.serving.batching.figures import Tally

#: The batches that may be computed before a request of low priority goes first.
PATIENCE = 8


class State(Enum):
    """The state of a request that was handed in."""

    NEW = "new"
    WAITING = "waiting"
    LEADING = "leading"  # its caller shall compute the next batch with it
    TAKEN = "taken"
    DONE = "done"


class Member:
    """One session's use of a graph: those with a higher `priority` go first, and those with the same take turns."""

    __slots__ = ("answered", "is_apart", "kind", "priority", "promptness", "tally", "waiting")

    def __init__(self, priority: int = 0) -> None:
        self.priority = priority
        self.waiting: deque[Entry] = deque()
        #: Whether a request of it has failed, so that its later ones are computed alone.
        self.is_apart = False
        #: When it last got an answer; None if it has asked again.
        self.answered: float | None = None
        #: How often it asks again within the longest delay, from 0 to 1; the last times count most.
        self.promptness = 0.5
        #: The kind of its last request.
        self.kind: Hashable = None
        self.tally = Tally()


class Gate(Protocol):
    """What a caller waits at until it is released: a lock, which a thread acquires, or a `Bell`."""

    def locked(self) -> bool:
        """Whether the caller has to wait."""
        ...

    def release(self) -> None:
        """Let the caller go on, from any thread."""
        ...


def _closed() -> threading.Lock:
    lock = threading.Lock()
    lock.acquire()
    return lock


class Entry:
    """A request that waits; `arrived` is the time when it came, and `gate` wakes its caller.

    One that has to be computed alone is of a kind of its own.
    """

    __slots__ = ("arrived", "gate", "kind", "member", "next", "passed_over", "request", "rows", "state")

    def __init__(self, member: Member, request: Request, gate: Gate | None = None) -> None:
        self.member = member
        self.request = request
        self.kind: Hashable = object() if member.is_apart or request.kind is None else request.kind
        self.rows = request.rows
        self.arrived = time.perf_counter()
        self.state = State.NEW
        #: The batches that were computed while it waited.
        self.passed_over = 0
        #: Whose caller is woken next.
        self.next: Entry | None = None
        self.gate: Gate = gate or _closed()

    def wake(self) -> None:
        """Wake its caller; who calls this has the lock of the batcher."""
        if self.gate.locked():
            self.gate.release()


class Queue:
    """The entries that wait, in the order of their turns: members with the highest priority first, in a circle.

    An entry that `PATIENCE` batches have passed over goes before all others. Entries of one member keep their order.
    """

    def __init__(self) -> None:
        #: The members that wait, by priority; the one whose turn it is comes first.
        self._circles: dict[int, dict[Member, None]] = {}
        self._rows: Counter[Hashable] = Counter()
        #: The number of entries.
        self.length = 0

    def __iter__(self) -> Iterator[Entry]:
        """The first entry of each member, in the order of their turns."""
        firsts = [member.waiting[0] for level in sorted(self._circles, reverse=True) for member in self._circles[level]]
        return iter(sorted(firsts, key=lambda entry: entry.passed_over < PATIENCE))

    def rows(self, kind: Hashable) -> int:
        """The rows of a kind that wait."""
        return self._rows[kind]

    def add(self, entry: Entry) -> None:
        """Add an entry at the end of those of its member."""
        member = entry.member
        member.waiting.append(entry)
        self._circles.setdefault(member.priority, {}).setdefault(member)
        self._rows[entry.kind] += entry.rows
        self.length += 1

    def put_back(self, entry: Entry) -> None:
        """Add an entry before all others of its member, which is the next in its circle."""
        member = entry.member
        member.waiting.appendleft(entry)
        circle = self._circles.setdefault(member.priority, {})
        self._circles[member.priority] = {member: None, **circle}
        self._rows[entry.kind] += entry.rows
        self.length += 1

    def remove(self, entry: Entry) -> None:
        """Remove an entry; its member, if it still waits, goes to the end of its circle."""
        member = entry.member
        member.waiting.remove(entry)
        circle = self._circles[member.priority]
        del circle[member]
        if member.waiting:
            circle[member] = None
        elif not circle:
            del self._circles[member.priority]
        self._rows[entry.kind] -= entry.rows
        if not self._rows[entry.kind]:
            del self._rows[entry.kind]
        self.length -= 1

    def take(self, leader: Entry, most: int) -> list[Entry]:
        """Remove `leader` and those that can join it, in their turns, up to `most` rows; all others are passed over."""
        taken, rows = [leader], leader.rows
        self.remove(leader)
        while rows < most:
            joining = [entry for entry in self if entry.kind == leader.kind and entry.rows <= most - rows]
            if not joining:
                break
            for entry in joining:
                if entry.rows <= most - rows:
                    self.remove(entry)
                    taken.append(entry)
                    rows += entry.rows
        for entry in self:
            entry.passed_over += 1
        return taken

    def clear(self) -> None:
        """Forget all entries."""
        for circle in self._circles.values():
            for member in circle:
                member.waiting.clear()
        self._circles.clear()
        self._rows.clear()
        self.length = 0
