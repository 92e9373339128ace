"""Host functions of core modules, as the engine calls them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import capi
from ..misfits import Misfit
from ..state import HostState
from .linker import CoreDefinition
from .memory import CallerMemory

if TYPE_CHECKING:
    from ..capi.core import RawValues


class CoreFunction:
    """One host function: all that can be known before it is called."""

    def __init__(self, state: HostState, memory: CallerMemory, definition: CoreDefinition) -> None:
        self._state = state
        self._memory = memory
        self._name = definition.label
        self._implementation = definition.implementation
        self._arguments = slice(0, len(definition.parameters) * capi.RAW_STRIDE, capi.RAW_STRIDE)

    def call(self, caller: int, values: RawValues) -> None:
        """Call the implementation; what it raises comes out when the views that it was lent are unusable."""
        memory = self._memory
        memory.caller = caller
        self._state.calls[self._name] += 1
        try:
            answer = self._implementation(*values[self._arguments])
        except Misfit as misfit:
            memory.take_back()
            raise misfit.error(self._name, "") from None
        except BaseException:
            memory.take_back()
            raise
        if not memory.take_back():
            raise BufferError(
                f"{self._name} kept a view of the guest's memory beyond the call; copy what is to be kept"
            )
        values[0] = answer

    def fail(self, exception: BaseException) -> capi.ErrorAddress:
        """Keep `exception` for the caller of the guest."""
        return capi.new_trap(self._state.keep(exception, f"in the host function {self._name}"))
