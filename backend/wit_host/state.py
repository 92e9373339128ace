"""What the host functions of one store share: its resources, its transport, and the exception on its way out.

It knows nothing of the store itself, so nothing that the engine keeps alive keeps the store alive.
"""

from __future__ import annotations

from collections import Counter

from wit_host import capi
from wit_host.resources import Resource, ResourceTable
from wit_host.transport import ListTransport, Transport


class HostState:
    """Used by one thread at a time, like the store that it belongs to."""

    def __init__(self, transport: Transport | None = None) -> None:
        self.transport: Transport = transport or ListTransport()
        self.table = ResourceTable()
        self.type_ids: dict[Resource[object], int] = {}
        self.calls: Counter[str] = Counter()
        self.context = 0
        self.taken: list[int] = []
        self._exception: BaseException | None = None

    def fail(self, exception: BaseException, where: str) -> capi.ErrorAddress:
        """Keep `exception` until the guest is unwound, and make the error that traps it."""
        exception.add_note(f"raised in the host function {where}")
        self._exception = exception
        return capi.new_error(f"{where} raised {type(exception).__name__}")

    def take_exception(self) -> BaseException | None:
        """The exception that trapped the guest, if it was one; a second call gets nothing."""
        exception, self._exception = self._exception, None
        return exception
