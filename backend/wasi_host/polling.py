"""`wasi:io/poll`: waiting for streams and clocks.

In: objects that say when they are ready. Out: the resource `pollable`, and a wait that ends when the guest has to stop.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

from wasi_bindings import poll
from wit_host import GuestTrap, Signal, pause

from .limits import Count, exceeded


class Awaited(Protocol):
    """Something that a guest can wait for."""

    @property
    def signal(self) -> Signal:
        """Notified when it may have become ready."""
        ...

    def left(self) -> float | None:
        """Return the seconds until it may be ready, 0 or less if it is, and None if only `signal` tells."""
        ...

    def expect(self) -> None:
        """A guest is about to wait, and of all that it waits for, this will be ready first."""
        ...


class Ready:
    """Something that is always ready."""

    signal = Signal()

    def left(self) -> float:
        """Return 0."""
        return 0

    def expect(self) -> None:
        """Nothing waits for it."""


class Pollable(poll.Pollable):
    """The resource `pollable`."""

    def __init__(self, awaited: Awaited, count: Count) -> None:
        count.add()
        self.awaited = awaited
        self._count = count

    def ready(self) -> bool:
        """Return whether it is ready."""
        return is_ready(self.awaited)

    def block(self) -> None:
        """Return when it is ready."""
        wait_for([self.awaited])

    def drop(self) -> None:
        """Count one handle less."""
        self._count.remove()


class Polling(poll.Host[Pollable]):
    """The function of the interface; one call takes `most` pollables at most."""

    def __init__(self, most: int) -> None:
        self._most = most

    def poll(self, in_: list[Pollable]) -> Sequence[int]:
        """Return the places of those that are ready, when there are some."""
        if not in_:
            raise GuestTrap("the guest polls nothing: empty poll list")
        if len(in_) > self._most:
            raise exceeded("handles", f"the guest polls {len(in_)} pollables at once, and may poll {self._most}")
        all_ = [each.awaited for each in in_]
        wait_for(all_)
        return [place for place, each in enumerate(all_) if is_ready(each)]


def is_ready(awaited: Awaited) -> bool:
    """Return whether it is ready now."""
    left = awaited.left()
    return left is not None and left <= 0


def wait_for(all_: Sequence[Awaited]) -> None:
    """Return when at least one of them is ready; raises the exceptions of `pause`."""
    if any(map(is_ready, all_)):
        return
    min(all_, key=_time).expect()
    pause(lambda: _soonest(all_), {each.signal for each in all_})


def _soonest(all_: Sequence[Awaited]) -> float | None:
    soonest = min(map(_time, all_))
    return None if soonest == math.inf else soonest


def _time(awaited: Awaited) -> float:
    left = awaited.left()
    return math.inf if left is None else left
