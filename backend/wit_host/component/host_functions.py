"""Host functions and resource types, as the engine calls them.

In: a guest and values of the engine. Out: a call of an implementation, and its answer as a value. Everything that does
not depend on the call is computed when the function is defined. A function is shared by all guests of a linker, so it
keeps nothing between calls; the state of each guest does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import CoroutineType
from typing import cast

from .. import capi
from ..crossing import transport
from ..crossing.per_store import StoreMethod
from ..crossing.state import HostState
from ..crossing.transport import ByteSource
from ..errors import GuestTrap, ResultError
from ..misfits import Misfit, unexpected
from ..rewrite import NO_PLACE, TOO_LONG, TOO_LONG_BITS
from ..values import ByteList, Codec, Result
from ..values.placed import Placed
from .linker import FunctionDefinition


class HostFunction:
    """One host function, with all that is known before it is called."""

    def __init__(self, definition: FunctionDefinition) -> None:
        self.name = definition.name
        self.where = f"in the host function {self.name}"
        self.implementation = definition.implementation
        self.is_per_store = isinstance(definition.implementation, StoreMethod)
        self.parameters = tuple(definition.parameters)
        self.lifts = tuple((index, codec.lift) for index, codec in enumerate(definition.parameters.values()))
        self.result = definition.result

    def call(self, state: HostState, arguments: capi.Values, results: capi.Values) -> None:
        """Lift the arguments, call the implementation, lower its result or its error."""
        if state.pace is not None:
            state.pace()
        state.calls[self.name] += 1
        try:
            self._call(state, self._lift(state, arguments), results)
        except BaseException:
            state.end_call()
            raise
        if state.memory.lent:
            self._take_back(state)

    def _call(self, state: HostState, lifted: list[object], results: capi.Values) -> None:
        result = self.result
        try:
            implementation = state.implementation(self.implementation) if self.is_per_store else self.implementation
            answer = implementation(*lifted)
            if type(answer) is CoroutineType:
                answer = state.waiting.wait(self.name, answer, state.clock)
        except ResultError as error:
            if not isinstance(result, Result) or not isinstance(error, result.error):
                raise _wrong_error(self.name, result, error) from error
            if state.on_error is not None:
                state.on_error(self.name, error.value)
            self._answer(state, result.lower_error, "error", results, error.value)
            return
        if result is not None:
            self._answer(state, result.lower, "result", results, answer)
        elif answer is not None:
            raise unexpected(self.name, answer)

    def _lift(self, state: HostState, arguments: capi.Values) -> list[object]:
        state.begin_lifting()
        index = 0
        lifted = []
        try:
            for index, lift in self.lifts:
                lifted.append(lift(state, arguments[index]))
        except Misfit as misfit:
            raise misfit.error(self.name, self.parameters[index]) from None
        if state.taken:
            state.take_over()
        return lifted

    def _answer(
        self,
        state: HostState,
        lower: Callable[[HostState, capi.Value, object], None],
        what: str,
        results: capi.Values,
        item: object,
    ) -> None:
        try:
            lower(state, results[0], item)
        except Misfit as misfit:
            raise misfit.error(self.name, what) from None

    def _take_back(self, state: HostState) -> None:
        if not state.end_call():
            raise self._kept()

    def _kept(self) -> BufferError:
        return BufferError(f"{self.name} kept a view of the guest's memory beyond the call; copy the bytes instead")


class StringFunction(HostFunction):
    """A function whose bytes cross as strings; the last argument says which of them have an additional first byte."""

    def __init__(self, definition: FunctionDefinition) -> None:
        super().__init__(definition)
        codecs = enumerate(definition.parameters.values())
        self._strings = tuple(index for index, codec in codecs if isinstance(codec, ByteList))

    def _lift(self, state: HostState, arguments: capi.Values) -> list[object]:
        bits: int = arguments[len(self.lifts)].of.u32
        for number, index in enumerate(self._strings):
            if bits >> number & 1 << TOO_LONG_BITS:
                misfit = Misfit(GuestTrap, f"the guest passed {TOO_LONG} bytes or more")
                raise misfit.error(self.name, self.parameters[index])
        lifted = super()._lift(state, arguments)
        for number, index in enumerate(self._strings):
            if bits >> number & 1:
                lifted[index] = _without_first(state, lifted[index])
        return lifted


def _without_first(state: HostState, content: object) -> object:
    if isinstance(content, memoryview):
        return state.memory.lend(content[1:])
    return content[1:] if isinstance(content, bytes) else content


@dataclass(slots=True)
class _Answer:
    """The answer to a guest between two calls: the place of the result, the arguments, the bytes, and all of it."""

    to: int
    asked: list[object]
    source: memoryview | ByteSource
    item: object = None


class BridgedFunction(HostFunction):
    """A function with the result `list<u8>`, which the guest's bridge calls twice: for the length, and for the bytes.

    The last argument is the address of the result, which consists of an address and a length. Between the two calls the
    bridge requests memory of this length from the guest's allocator.
    """

    def call(self, state: HostState, arguments: capi.Values, results: capi.Values) -> None:
        """Call the implementation and store the length the first time, store the bytes the second time."""
        place: int = arguments[len(self.lifts)].of.u32
        answer = cast("_Answer | None", state.answers.get(self))
        try:
            if answer is None or answer.to != place:
                super().call(state, arguments, results)
                made = cast(_Answer, state.answers[self])
                state.memory.only.write_u32(place + 4, _size_of(made.source))
                made.to = place
            else:
                del state.answers[self]
                try:
                    self._require_same(answer, self._lift(state, arguments))  # which consumes the handles
                finally:
                    state.end_call()
                self._write(state, place, answer.source)
        except Misfit as misfit:
            raise misfit.error(self.name, "result") from None

    def _call(self, state: HostState, lifted: list[object], results: capi.Values) -> None:
        implementation = state.implementation(self.implementation) if self.is_per_store else self.implementation
        answer = implementation(*lifted)
        if type(answer) is CoroutineType:
            answer = state.waiting.wait(self.name, answer, state.clock)
        state.answers[self] = _Answer(_NOWHERE, _comparable(lifted), transport.as_source(answer))

    def _require_same(self, answer: _Answer, lifted: list[object]) -> None:
        """Check the second call: the allocator, which runs in between, may call other functions with the same place."""
        if _comparable(lifted) != answer.asked:
            raise Misfit(GuestTrap, _ASKED_ELSE)

    def _take_back(self, state: HostState) -> None:
        """Copy the answer if it is a view of borrowed memory."""
        _own(state, cast(_Answer, state.answers[self]))
        if state.memory.is_viewed:
            raise self._kept()

    def _write(self, state: HostState, place: int, source: memoryview | ByteSource) -> None:
        memory = state.memory.only
        view = memory.view(memory.read_u32(place), source.nbytes)
        try:
            transport.write_bytes(source, view)
        finally:
            view.release()
        if memory.is_viewed:
            raise self._kept()


class PlacedFunction(HostFunction):
    """A function whose result begins with bytes if it is `ok`, which the guest's bridge calls twice if it is.

    The last argument is where the bytes belong, or `NO_PLACE` the first time, when the bridge has no memory for them.
    """

    def __init__(self, definition: FunctionDefinition) -> None:
        super().__init__(definition)
        self._placed = Placed(cast(Result, definition.result))

    def call(self, state: HostState, arguments: capi.Values, results: capi.Values) -> None:
        """Call the implementation and say how long the bytes are the first time, store them the second time."""
        place: int = arguments[len(self.lifts)].of.u32
        if place == NO_PLACE:
            state.answers.pop(self, None)
            super().call(state, arguments, results)
            return
        answer = cast("_Answer | None", state.answers.pop(self, None))
        try:
            asked = _comparable(self._lift(state, arguments))
        finally:
            state.end_call()
        try:
            if answer is None or answer.asked != asked:
                raise Misfit(GuestTrap, _ASKED_ELSE)
            self._write(state, place, answer.source)
            self._placed.lower(state, results[0], answer.item, (place, answer.source.nbytes))
        except Misfit as misfit:
            raise misfit.error(self.name, "result") from None

    def _lift(self, state: HostState, arguments: capi.Values) -> list[object]:
        lifted = super()._lift(state, arguments)
        state.asked = _comparable(lifted)
        return lifted

    def _answer(
        self,
        state: HostState,
        lower: Callable[[HostState, capi.Value, object], None],
        what: str,
        results: capi.Values,
        item: object,
    ) -> None:
        if what == "error":
            super()._answer(state, lower, what, results, item)
            return
        try:
            source = transport.as_source(self._placed.bytes_of(item))
            self._placed.lower(state, results[0], item, (0, _size_of(source)))
        except Misfit as misfit:
            raise misfit.error(self.name, what) from None
        state.answers[self] = _Answer(_NOWHERE, state.asked, source, item)

    def _take_back(self, state: HostState) -> None:
        """Copy the answer if it is a view of borrowed memory."""
        _own(state, cast("_Answer | None", state.answers.get(self)))
        if state.memory.is_viewed:
            raise self._kept()

    def _write(self, state: HostState, place: int, source: memoryview | ByteSource) -> None:
        view = state.memory.only.view(place, source.nbytes)
        try:
            transport.write_bytes(source, view)
        finally:
            view.release()
        if state.memory.is_viewed:
            raise self._kept()


_ASKED_ELSE = "the guest called it for something else before it had taken the answer"


def _own(state: HostState, answer: _Answer | None) -> None:
    """Copy an answer if it is a view of borrowed memory."""
    if not state.end_call() and answer is not None and isinstance(answer.source, memoryview):
        answer.source = memoryview(bytes(answer.source))


#: The place of an answer whose length was not stored: no address in a memory of 32 bits.
_NOWHERE = -1


#: A tuple, since the union of types would be made anew at each check.
_PLAIN = (int, float, str)


def _comparable(lifted: list[object]) -> list[object]:
    """Return the arguments that can be compared later: numbers, texts, resources, but no views of memory."""
    return [item for item in lifted if isinstance(item, _PLAIN) or hasattr(item, "drop")]


def _size_of(source: memoryview | ByteSource) -> int:
    if source.nbytes >= 1 << 32:
        raise Misfit(ValueError, f"a guest's memory has no room for {source.nbytes} bytes")
    return source.nbytes


def _wrong_error(name: str, result: Codec | Result | None, error: ResultError[object]) -> TypeError:
    """Return the exception for an `error` that the implementation cannot answer with."""
    kind = type(error).__name__
    if not isinstance(result, Result):
        return TypeError(f"{name} raised {kind}, but its type has no error to answer with")
    return TypeError(f"{name} raised {kind}; raise {result.error.__name__}, which is the error of its type")


class ResourceDefinition:
    """One resource type, whose handles guests drop."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.where = f"in the drop of a {name}"

    def drop(self, state: HostState, representation: int) -> None:
        """Take the object out of the table and drop it."""
        answer: object = state.table.take(representation).drop()  # type: ignore[func-returns-value]  # it might
        if answer is not None:
            raise unexpected(f"the drop of a {self.name}", answer)
