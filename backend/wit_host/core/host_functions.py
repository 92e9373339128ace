"""Host functions of core modules, as the engine calls them."""

from __future__ import annotations

from types import CoroutineType
from typing import TYPE_CHECKING

from .. import capi
from ..crossing.per_store import StoreMethod
from ..misfits import Misfit
from .linker import CoreDefinition
from .state import CoreState

if TYPE_CHECKING:
    from ..capi import RawValues


def _not_a_number(name: str, answer: object) -> TypeError:
    return TypeError(f"{name} returned a value of type {type(answer).__name__}; it must return a number")


class CoreFunction:
    """One host function, with all that is known before it is called."""

    def __init__(self, definition: CoreDefinition) -> None:
        self._name = definition.label
        self.where = f"in the host function {self._name}"
        self._implementation = definition.implementation
        self._is_per_store = isinstance(definition.implementation, StoreMethod)
        count = len(definition.parameters)
        # Without an end, ctypes would return one element.
        self._arguments = slice(0, count * capi.RAW_STRIDE, capi.RAW_STRIDE) if count else slice(0, 0)

    def call(self, state: CoreState, caller: int, values: RawValues) -> None:
        """Call the implementation; its exception is raised after the views that it borrowed were released."""
        if state.pace is not None:
            state.pace()
        memory = state.caller_memory
        memory.begin(caller)
        state.calls[self._name] += 1
        try:
            implementation = state.implementation(self._implementation) if self._is_per_store else self._implementation
            answer = implementation(*values[self._arguments])
            if type(answer) is CoroutineType:
                answer = state.waiting.wait(self._name, answer, state.clock)
        except Misfit as misfit:
            memory.take_back()
            raise misfit.error(self._name, "") from None
        except BaseException:
            memory.take_back()
            raise
        if not memory.take_back():
            raise BufferError(f"{self._name} kept a view of the guest's memory beyond the call; copy the bytes instead")
        if not isinstance(answer, int):
            raise _not_a_number(self._name, answer)
        values[0] = answer
