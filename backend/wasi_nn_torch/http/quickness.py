"""Which computations are so quick that the event loop makes them itself: a worker thread would take longer to reach.

The time of a computation depends on the sizes of its inputs, so each combination of sizes is judged by itself.
"""

from __future__ import annotations

from collections.abc import Hashable

#: The seconds that a quick computation takes at most, on average.
QUICK = 0.0005
#: What a longer wait counts in that average: in most cases it is one for a processor, on a busy machine.
_MOST_WAIT = 8 * QUICK
#: The weight of the last computation in that average.
_WEIGHT = 1 / 16
#: The computations on other threads that are observed before the event loop computes: at first, and at most.
_FIRST, _MOST = 8, 4096
#: The most combinations of sizes that are remembered.
_MOST_KINDS = 256


class Quickness:
    """What is known about the computations of one graph; `kind` stands for the sizes of the inputs."""

    def __init__(self) -> None:
        self._records: dict[Hashable, _Record] = {}

    def is_quick(self, kind: Hashable) -> bool:
        """Whether the event loop may compute inputs of a kind itself."""
        record = self._records.get(kind)
        return record is not None and record.is_quick

    def add_in_loop(self, kind: Hashable, seconds: float, computed: float) -> None:
        """Take note of a computation in the event loop, which `is_quick` allowed, and of its processor time."""
        record = self._records.get(kind)
        if record is not None:
            record.add_in_loop(max(computed, min(seconds, _MOST_WAIT)))

    def add_on_thread(self, kind: Hashable, seconds: float) -> None:
        """Take note of a computation on another thread."""
        record = self._records.get(kind)
        if record is None:
            if len(self._records) >= _MOST_KINDS:
                del self._records[next(iter(self._records))]
            record = self._records[kind] = _Record()
        record.add_on_thread(seconds)

    def clear(self) -> None:
        """Forget everything, because the graph is another one."""
        self._records.clear()


class _Record:
    """The computations of inputs of one kind.

    On another thread, a computation also waits for its turns of Python's lock, so the shortest of some counts. In the
    event loop, the average counts, which a single slow one raises above the limit. Each time that this happens, the
    next trial has to wait for twice as many computations on other threads; long good conduct halves the number.
    """

    def __init__(self) -> None:
        self.is_quick = False
        self._needed = _FIRST
        self._observed = 0
        self._least = float("inf")
        self._mean = 0.0

    def add_on_thread(self, seconds: float) -> None:
        self._observed += 1
        self._least = min(self._least, seconds)
        if self._observed >= self._needed and not self.is_quick:
            self._begin(is_quick=self._least <= QUICK)

    def add_in_loop(self, seconds: float) -> None:
        self._observed += 1
        self._mean += _WEIGHT * (seconds - self._mean)
        if self._mean > QUICK:
            self._needed = min(2 * self._needed, _MOST)
            self._begin(is_quick=False)
        elif self._observed >= 16 * self._needed:
            self._needed = max(self._needed // 2, _FIRST)
            self._observed = 0

    def _begin(self, is_quick: bool) -> None:
        self.is_quick = is_quick
        self._observed = 0
        self._mean, self._least = min(self._least, QUICK), float("inf")
