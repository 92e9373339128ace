"""Host functions that wait: a guest that is in one of them can still be stopped.

In: a look at what the guest waits for. Out: the return, as soon as it is there, or an exception: that of the guest's
time, of its cancelling, or of a handler of signals.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import Protocol

from .. import capi
from .awaiting import Clock, Waiting
from .state import HostState, unlimited

Look = Callable[[], float | None]
"""Returns how many seconds to wait at most before the next look, 0 or less for none, or None for any number."""


class Woken(Protocol):
    """A thread that waits."""

    def wake(self) -> None:
        """Have it look again now; from any thread."""
        ...


class Signal:
    """Wakes the guests that wait for something, from any thread."""

    def __init__(self) -> None:
        self._waiting: set[Woken] = set()

    def notify(self) -> None:
        """Have all guests look again that wait for this."""
        for each in tuple(self._waiting):
            each.wake()

    def add(self, woken: Woken) -> None:
        """Wake it from now on."""
        self._waiting.add(woken)

    def remove(self, woken: Woken) -> None:
        """Wake it no more."""
        self._waiting.discard(woken)


def pause(look: Look, signals: Iterable[Signal] = ()) -> None:
    """Wait in a host function until `look` returns 0 or less; each of `signals` has it looked again at once.

    Raises `GuestTimeout` or `GuestCancelled` if the guest has to stop meanwhile, and the exceptions of handlers of
    signals. Outside a host function nothing limits the wait.
    """
    guest = capi.entered.guest
    if isinstance(guest, HostState):
        _pause(guest.waiting, guest.clock, look, signals)
    else:
        _pause(Waiting(), unlimited(), look, signals)


def _pause(waiting: Waiting, clock: Clock, look: Look, signals: Iterable[Signal]) -> None:
    with waiting.resting() as news, ExitStack() as stack:
        for signal in signals:
            signal.add(news)
            stack.callback(signal.remove, news)
        while True:
            clock.tick()
            most = look()
            if most is not None and most <= 0:
                return
            news.wait(_shorter(most, clock.left))


def _shorter(one: float | None, other: float | None) -> float | None:
    if one is None or other is None:
        return one if other is None else other
    return min(one, other)
