"""The state that the host functions of one store share: its resources, its memory, and the way to end its guest.

It does not refer to the store itself, so the callbacks that the engine keeps alive do not keep the store alive.
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
    """The state of one store, used by one thread at a time; the guest may hold at most `resources`.

    `ending` is the way in which an exception ends the guest, `call_ending` the way from a host function, which is
    `by_trap` in a core module.
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
        #: Called with the name of a function and the value of the error that it returns.
        self.on_error: Callable[[str, object], None] | None = None
        #: The representations of resources that are being lifted and were passed by `own`.
        self.taken: list[int] = []
        #: The resources of the current call of a guest, while its arguments are lowered or its result is lifted.
        self.outgoing: Outgoing | None = None

    def type_id(self, resource: Resource[object]) -> int:
        """Return the engine's number of a resource type of the host in this store."""
        return self.type_ids.setdefault(resource, len(self.type_ids) + 1)

    def take_over(self) -> None:
        """Remove resources that were passed by `own` from the table, now that all arguments are lifted."""
        for representation in self.taken:
            self.table.take(representation)
        self.taken.clear()

    def end_call(self) -> bool:
        """Forget the lifted resources and release borrowed views; return whether no view of them is left."""
        self.taken.clear()
        return self.memory.take_back()

    def close(self) -> None:
        """Release the memory and the endings; closing it again does nothing."""
        self.memory.close()
        self.ending.close()
        self.call_ending.close()
