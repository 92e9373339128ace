"""What the resources of `wasi:http` of one guest share: its counts, and its limits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..limits import Count
from .fields import Budget, Entry, Fields


class Hold:
    """One body that is counted, until it is released."""

    def __init__(self, count: Count) -> None:
        count.add()
        self._count: Count | None = count

    def release(self) -> None:
        """Count it no more; a second time does nothing."""
        count, self._count = self._count, None
        if count is not None:
            count.remove()


@dataclass(frozen=True)
class Surroundings:
    """The counts of handles and of bodies, the budget of fields, and the most bytes of one `read`."""

    handles: Count
    bodies: Count
    budget: Budget
    read: int

    def hold(self) -> Hold:
        """Count one more body; raises GuestLimit if they are too many."""
        return Hold(self.bodies)

    def fields(self, entries: Sequence[Entry], *, is_mutable: bool = True) -> Fields:
        """Make fields."""
        return Fields(self.handles, self.budget, entries, is_mutable=is_mutable)
