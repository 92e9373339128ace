"""The state of one store that runs a core module."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..crossing.bounds import UNBOUNDED, Bounds
from ..crossing.state import HostState
from .caller_memory import CallerMemory

if TYPE_CHECKING:
    from .slicing import Slicing


class CoreState(HostState):
    """See `HostState`; `caller_memory` is the memory of the guest, as host functions see it.

    `slicing` has the functions of WASI that wait, if the guest imports any.
    """

    def __init__(
        self,
        context: int,
        memory: int | None = None,
        resources: int | None = None,
        bounds: Bounds = UNBOUNDED,
        data: object = None,
    ) -> None:
        super().__init__(context, memory, resources, bounds, data, by_trap=True)
        self._caller_memory: CallerMemory | None = None
        self.slicing: Slicing | None = None

    @property
    def caller_memory(self) -> CallerMemory:
        """The memory of the guest."""
        if self._caller_memory is None:
            self._caller_memory = CallerMemory()
        return self._caller_memory

    def close(self) -> None:
        """Release everything, also the view of the guest's memory."""
        if self._caller_memory is not None:
            self._caller_memory.close()
        self.slicing = None
        super().close()
