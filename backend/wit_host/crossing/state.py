"""What the host functions of one store share: its resources, its memory, and how an exception ends it.

It knows nothing of the store itself, so nothing that the engine keeps alive keeps the store alive.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

from .. import capi
from .memory import GuestMemory
from .resources import Resource, ResourceTable

if TYPE_CHECKING:
    from .outgoing import Outgoing


class HostState:
    """Used by one thread at a time, like the store that it belongs to, whose guest may hold so many `resources`.

    `ending` is how an exception ends the guest, `call_ending` how it does so from a call of the host: `by_trap` in a
    core module.
    """

    def __init__(self, context: int, resources: int | None = None, *, by_trap: bool = False) -> None:
        #: The address of the store's context, the same in all calls.
        self.context = context
        self.kept = capi.Kept()
        self.ending = capi.Ending(self.kept)
        self.call_ending = capi.Ending(self.kept, by_trap=True) if by_trap else self.ending
        self.memory = GuestMemory(self.ending)
        self.table = ResourceTable(resources)
        self.type_ids: dict[Resource[object], int] = {}
        self.calls: Counter[str] = Counter()
        #: Is told the name of a function and the value of the error that it answers with.
        self.on_error: Callable[[str, object], None] | None = None
        #: What is being lifted was passed by `own`, by its representations.
        self.taken: list[int] = []
        #: What a call of a guest hands over: while its arguments are lowered and its result is lifted, else nothing.
        self.outgoing: Outgoing | None = None

    def type_id(self, resource: Resource[object]) -> int:
        """The number by which the engine knows a resource type of ours in this store."""
        return self.type_ids.setdefault(resource, len(self.type_ids) + 1)

    def take_over(self) -> None:
        """Take what was passed by `own` out of the table, now that all is lifted and nothing can be lost on the way."""
        for representation in self.taken:
            self.table.take(representation)
        self.taken.clear()

    def end_call(self) -> bool:
        """Forget what was lifted, and make what was lent unusable; whether nobody keeps a view of it."""
        self.taken.clear()
        return self.memory.take_back()

    def close(self) -> None:
        """Free what was made for the guest's end; the second time is fine."""
        self.memory.close()
        self.ending.close()
        self.call_ending.close()
