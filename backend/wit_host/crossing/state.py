"""The state that the host functions of one store share: its resources, its memory, and the way to end its guest.

It does not refer to the store itself, so the callbacks that the engine keeps alive do not keep the store alive.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, cast

from .. import capi
from ..errors import GuestTrap
from ..misfits import Misfit
from .awaiting import Clock, Pace, Waiting
from .bounds import UNBOUNDED, Bounds, MemoryBudget
from .memory import GuestMemory
from .per_store import StoreMethod
from .resources import Resource, ResourceTable

if TYPE_CHECKING:
    from .outgoing import Outgoing


class HostState:
    """The state of one store, used by one thread at a time; the guest may hold at most `resources`, within `bounds`.

    `memory` is the most bytes of all its memories.

    `ending` is the way in which an exception ends the guest, `call_ending` the way from a host function, which is
    `by_trap` in a core module. `data` is for implementations that are shared by several stores.
    """

    def __init__(
        self,
        context: int,
        memory: int | None = None,
        resources: int | None = None,
        bounds: Bounds = UNBOUNDED,
        data: object = None,
        *,
        by_trap: bool = False,
    ) -> None:
        #: The address of the store's context, the same in all calls.
        self.context = context
        self.kept = capi.Kept()
        self.ending = capi.Ending(self.kept)
        self.call_ending = capi.Ending(self.kept, by_trap=True) if by_trap else self.ending
        self.bounds = bounds
        #: The elements of lists and the bytes of strings that may still be lifted in the current call.
        self.elements, self.text = bounds.elements, bounds.text
        self.memory = GuestMemory(self.ending, MemoryBudget(memory, bounds))
        self.table = ResourceTable(resources, bounds)
        self.data = data
        #: The time of the guest; the runner sets it.
        self.clock: Clock = unlimited()
        #: Called at the begin of each call of a host function.
        self.pace: Pace | None = None
        #: What the guest waits for, if an implementation is a coroutine function.
        self.waiting = Waiting()
        #: Whether the guest imports async functions, so that plain calls of it are not possible.
        self.may_wait = False
        #: The engine's number of each resource type of the host; the linker of the guest has them.
        self.type_ids: Mapping[Resource[object], int] = {}
        #: The functions that the host defined as traps, each with the reason; the linker of the guest has them.
        self.traps: Mapping[str, str] = {}
        #: Implementations of this store for host functions that are shared.
        self._implementations: dict[Callable[..., object], Callable[..., object]] = {}
        #: The answers of functions that the guest calls twice.
        self.answers: dict[object, object] = {}
        #: The arguments of the current call of such a function, as far as they can be compared later.
        self.asked: list[object] = []
        self.calls: dict[str, int] = defaultdict(int)
        #: Called with the name of a function and the value of the error that it returns.
        self.on_error: Callable[[str, object], None] | None = None
        #: Called with each object that a call of the guest passes as a resource, and whether the guest would own it
        #: twice; a ValueError refuses it.
        self.on_pass: Callable[[object, bool], None] | None = None
        #: The representations of resources that are being lifted and were passed by `own`.
        self.taken: list[int] = []
        #: The resources of the current call of a guest, while its arguments are lowered or its result is lifted.
        self.outgoing: Outgoing | None = None

    def implementation(self, shared: Callable[..., object]) -> Callable[..., object]:
        """Return the method of this store's own host that `shared`, a `StoreMethod`, stands for."""
        found = self._implementations.get(shared)
        if found is None:
            found = self._implementations[shared] = cast(StoreMethod, shared).of(self.data)
        return found

    def begin_lifting(self) -> None:
        """Allow as many elements and as much text as one call may have."""
        self.elements, self.text = self.bounds.elements, self.bounds.text

    def count_elements(self, count: int) -> None:
        """Count the elements of a list before they are lifted; raises `Misfit` if one call has too many."""
        self.elements -= count
        if self.elements < 0:
            raise _too_much(f"a list of {count} elements", f"{self.bounds.elements} elements of lists")

    def count_text(self, size: int) -> None:
        """Count the bytes of a string before it is lifted; raises `Misfit` if one call has too many."""
        self.text -= size
        if self.text < 0:
            raise _too_much(f"a string of {size} bytes", f"{self.bounds.text} bytes of strings")

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
        """Release the memory, the endings and the implementations; closing it again does nothing."""
        self._implementations.clear()
        self.answers.clear()
        self.data = None
        self.memory.close()
        self.ending.close()
        self.call_ending.close()


class _Unlimited:
    """The time of a guest that nobody stops."""

    left: float | None = None

    def tick(self) -> None:
        pass


def unlimited() -> Clock:
    """Return the time of a guest that nobody stops."""
    return _Unlimited()


def _too_much(given: str, most: str) -> Misfit:
    """Return the misfit for a list or a string that is too large to be lifted."""
    return Misfit(GuestTrap, f"the guest passed {given}, and one call may have {most} in all; pass less in each call")
