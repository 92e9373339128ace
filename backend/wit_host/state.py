"""What the host functions of one store share: its resources, its memory, and the exception on its way out.

It knows nothing of the store itself, so nothing that the engine keeps alive keeps the store alive.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from . import capi
from .memory import GuestMemory
from .resources import Resource, ResourceTable

if TYPE_CHECKING:
    from .guest import Outgoing


class HostState:
    """Used by one thread at a time, like the store that it belongs to."""

    def __init__(self) -> None:
        self.memory = GuestMemory()
        self.table = ResourceTable()
        self.type_ids: dict[Resource[object], int] = {}
        self.calls: Counter[str] = Counter()
        self.context = 0
        self.taken: list[int] = []
        #: What a call of a guest hands over: while its arguments are lowered and its result is lifted, else nothing.
        self.outgoing: Outgoing | None = None
        self._exception: BaseException | None = None

    def type_id(self, resource: Resource[object]) -> int:
        """The number by which the engine knows a resource type of ours in this store."""
        return self.type_ids.setdefault(resource, len(self.type_ids) + 1)

    def fail(self, exception: BaseException, where: str) -> capi.ErrorAddress:
        """Keep `exception`, raised `where`, until the guest is unwound, and make the error that traps it."""
        exception.add_note(f"raised {where}")
        self._exception = exception
        return capi.new_error(f"{type(exception).__name__} was raised {where}")

    def take_exception(self) -> BaseException | None:
        """The exception that trapped the guest, if it was one; a second call gets nothing."""
        exception, self._exception = self._exception, None
        return exception
