"""Host functions and resource types, as the engine calls them.

In: values of the engine. Out: a call of an implementation, and its answer as a value. Everything that can be known
before a call is worked out when the function is defined.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from . import capi
from .misfits import Misfit
from .state import HostState
from .values import Codec, Result


class HostFunction:
    """One host function: all that can be known before it is called."""

    def __init__(
        self,
        state: HostState,
        name: str,
        implementation: Callable[..., object],
        parameters: Iterable[Codec],
        result: Codec | Result | None,
    ) -> None:
        self.state = state
        self.name = name
        self.implementation = implementation
        self.lifts = tuple((index, parameter.lift) for index, parameter in enumerate(parameters))
        self.result = result

    def call(self, context: int, arguments: capi.Values, results: capi.Values) -> None:
        """Lift the arguments, call the implementation, lower what it returns or raises."""
        state, result = self.state, self.result
        state.context = context
        state.calls[self.name] += 1
        lifted = self._lift(arguments)
        if result is None:
            self.implementation(*lifted)
        elif isinstance(result, Result):
            try:
                answer = self.implementation(*lifted)
            except result.error as error:
                self._answer(result.lower_error, "error", results, error.value)
            else:
                self._answer(result.lower, "result", results, answer)
        else:
            self._answer(result.lower, "result", results, self.implementation(*lifted))

    def _lift(self, arguments: capi.Values) -> list[object]:
        """What was passed by `own` leaves the table only when all is lifted, so nothing is lost on the way."""
        state = self.state
        state.taken.clear()
        lifted = [lift(state, arguments[index]) for index, lift in self.lifts]
        for representation in state.taken:
            state.table.take(representation)
        return lifted

    def _answer(
        self,
        lower: Callable[[HostState, capi.Value, object], None],
        what: str,
        results: capi.Values,
        item: object,
    ) -> None:
        try:
            lower(self.state, results[0], item)
        except Misfit as misfit:
            raise misfit.error(self.name, what) from None

    def fail(self, exception: BaseException) -> capi.ErrorAddress:
        """Keep `exception` for the caller of the guest."""
        return self.state.fail(exception, f"in the host function {self.name}")


class ResourceDefinition:
    """One resource type: what happens when a guest drops a handle."""

    def __init__(self, state: HostState, name: str) -> None:
        self.state = state
        self.name = name

    def drop(self, representation: int) -> None:
        """Take the object out of the table and let it go."""
        self.state.table.take(representation).drop()

    def fail(self, exception: BaseException) -> capi.ErrorAddress:
        """Keep `exception` for the caller of the guest."""
        return self.state.fail(exception, f"in the drop of a {self.name}")
