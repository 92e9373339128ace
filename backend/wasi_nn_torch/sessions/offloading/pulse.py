"""The pulse of an event loop, by which the threads beside it notice that it is late.

Python code runs on one thread at a time. A thread that needs its turn waits for the others, several milliseconds for
each of them, so an event loop beside many threads would wait very long. In: a loop with guests. Out: a function for
their threads, which has each of them wait a moment when the loop is late.
"""

from __future__ import annotations

import time
import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

#: The seconds between two beats, and those by which a beat may be late.
_INTERVAL, _TOLERANCE = 0.005, 0.002
#: The seconds that a thread waits for a beat that is late, once.
_MOMENT = 0.001
_NEVER = float("inf")


class Pulse:
    """Beats in `loop` while guests run for it."""

    def __init__(self, loop: AbstractEventLoop) -> None:
        #: When the loop is late, on the clock of `time.monotonic`.
        self.due = _NEVER
        self._loop = weakref.ref(loop)
        self._guests = 0
        self._is_beating = False

    def enter(self) -> None:
        """One more guest runs for the loop, which calls this."""
        self._guests += 1
        if not self._is_beating:
            self._is_beating = True
            self._beat()

    def leave(self) -> None:
        """One guest less runs for the loop, which calls this."""
        self._guests -= 1

    def _beat(self) -> None:
        loop = self._loop()
        if loop is None or not self._guests:
            self._is_beating = False
            self.due = _NEVER
        else:
            self.due = time.monotonic() + _INTERVAL + _TOLERANCE
            loop.call_later(_INTERVAL, self._beat)


class Pace:
    """Lets an event loop go first, on one thread beside it, whenever this is called and the loop is late."""

    def __init__(self, pulse: Pulse) -> None:
        self._pulse = pulse
        self._seen = _NEVER

    def __call__(self) -> None:
        """Wait a moment if the loop is late, once for each beat: it may be the loop itself that is busy."""
        due = self._pulse.due
        if due != self._seen and time.monotonic() > due:
            self._seen = due
            time.sleep(_MOMENT)
