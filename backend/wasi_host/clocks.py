"""`wasi:clocks`: the clocks of the system, and one that a test moves."""

from __future__ import annotations

import time
from typing import Protocol

from wasi_bindings import monotonic_clock, wall_clock
from wasi_bindings.wall_clock import Datetime
from wit_host import Signal

from .limits import Count
from .polling import Pollable

#: Nanoseconds of a second.
SECOND = 1_000_000_000
#: The last moment that a guest can name.
_LAST = (1 << 64) - 1


class Clock(Protocol):
    """The time that a guest sees, in nanoseconds."""

    @property
    def signal(self) -> Signal:
        """Notified when the time was changed."""
        ...

    def monotonic(self) -> int:
        """Return the time since an unknown moment."""
        ...

    def wall(self) -> int:
        """Return the time since 1970 in UTC."""
        ...

    def resolution(self) -> int:
        """Return the time between two ticks."""
        ...

    def left(self, instant: int) -> float | None:
        """Return the seconds until `instant`, at most 0 from then on; None if only `signal` tells."""
        ...

    def expect(self, instant: int) -> None:
        """A guest is about to wait for `instant`, and for nothing before it."""
        ...


class SystemClock:
    """The clocks of the system."""

    signal = Signal()

    def monotonic(self) -> int:
        """Return the time since an unknown moment."""
        return time.monotonic_ns()

    def wall(self) -> int:
        """Return the time since 1970 in UTC."""
        return time.time_ns()

    def resolution(self) -> int:
        """Return the time between two ticks of the monotonic clock."""
        return max(1, round(time.get_clock_info("monotonic").resolution * SECOND))

    def left(self, instant: int) -> float:
        """Return the seconds until `instant`."""
        return (instant - time.monotonic_ns()) / SECOND

    def expect(self, instant: int) -> None:
        """Do nothing: this clock goes by itself."""


class TestClock:
    """A clock that only goes when a test moves it, or, if it `jumps`, also to whatever time a guest waits for.

    `wall` is the time of day at which it begins, in seconds since 1970 in UTC.
    """

    __test__ = False

    def __init__(self, wall: float = 0.0, *, jumps: bool = True) -> None:
        self.signal = Signal()
        self._now = 0
        self._began = round(wall * SECOND)
        self._jumps = jumps

    @property
    def elapsed(self) -> float:
        """The seconds since its begin."""
        return self._now / SECOND

    def advance(self, seconds: float) -> None:
        """Move the clock, from any thread; guests go on that wait for a time up to the new one."""
        if seconds < 0:
            raise ValueError(f"a clock cannot go back, as by {seconds} s")
        self._now += round(seconds * SECOND)
        self.signal.notify()

    def monotonic(self) -> int:
        """Return the time since its begin."""
        return self._now

    def wall(self) -> int:
        """Return the time of day."""
        return self._began + self._now

    def resolution(self) -> int:
        """Return one nanosecond."""
        return 1

    def left(self, instant: int) -> float | None:
        """Return the seconds of this clock until `instant`; None if only the test moves it there."""
        if instant <= self._now:
            return 0
        return (instant - self._now) / SECOND if self._jumps else None

    def expect(self, instant: int) -> None:
        """Jump to `instant`, or leave it to the test."""
        if self._jumps and instant > self._now:
            self._now = instant
            self.signal.notify()


class _Instant:
    """A moment that a guest waits for."""

    def __init__(self, clock: Clock, instant: int) -> None:
        self._clock = clock
        self._instant = instant
        self.signal = clock.signal

    def left(self) -> float | None:
        return self._clock.left(self._instant)

    def expect(self) -> None:
        self._clock.expect(self._instant)


class MonotonicClock(monotonic_clock.Host):
    """The functions of `wasi:clocks/monotonic-clock`."""

    def __init__(self, clock: Clock, handles: Count) -> None:
        self._clock = clock
        self._handles = handles

    def now(self) -> int:
        """Return the time."""
        return self._clock.monotonic()

    def resolution(self) -> int:
        """Return the time between two ticks."""
        return self._clock.resolution()

    def subscribe_instant(self, when: int) -> Pollable:
        """Return what is ready from `when` on."""
        return Pollable(_Instant(self._clock, when), self._handles)

    def subscribe_duration(self, when: int) -> Pollable:
        """Return what is ready after `when` nanoseconds."""
        return self.subscribe_instant(min(self._clock.monotonic() + when, _LAST))


class WallClock(wall_clock.Host):
    """The functions of `wasi:clocks/wall-clock`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def now(self) -> Datetime:
        """Return the time of day."""
        return datetime(self._clock.wall())

    def resolution(self) -> Datetime:
        """Return the time between two ticks."""
        return datetime(self._clock.resolution())


def datetime(nanoseconds: int) -> Datetime:
    """Return a time since 1970 as WASI has it; times before that are 1970."""
    seconds, rest = divmod(max(nanoseconds, 0), SECOND)
    return Datetime(seconds, rest)
