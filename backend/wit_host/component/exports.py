"""Calls of functions that a guest exports.

In: an instance, the functions that bindings name, and Python arguments. Out: the result of the guest, or an exception.
Binding an interface finds the guest's functions and compares their types, once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Generic, TypeVar, cast

from wasmtime import component
from wasmtime.component import ExportIndex

from .. import capi
from ..crossing.awaiting import in_thread
from ..crossing.guest_resources import GuestResource
from ..crossing.outgoing import Outgoing
from ..crossing.state import HostState
from ..errors import LinkError
from ..misfits import Misfit
from ..running.runner import Runner
from ..values import Codec, Result
from ..values.stored import Stored
from .addressed import Addressed, Numbers, numbers_of
from .entering import enter
from .exported import ExportedFunction
from .linked import LinkedComponent

R_co = TypeVar("R_co", covariant=True)


class Instance:
    """One instantiated guest; bindings of its exports are made with it. Made by `Store.instantiate`."""

    def __init__(self, instance: component.Instance, linked: LinkedComponent, runner: Runner) -> None:
        self.runner = runner
        self.functions: dict[GuestFunction[object], BoundFunction] = {}
        self._instance = instance
        self._linked = linked

    @property
    def state(self) -> HostState:
        """The state that the host functions of the store share."""
        return self.runner.state

    def bind(self, interface: str | None, functions: Sequence[GuestFunction[object]]) -> None:
        """Find functions in an exported interface, or in the world; raises `LinkError` if they do not fit."""
        self._linked.require_interface(interface)
        for function in functions:
            exported = self._linked.exported(interface, function)
            found = self._find(exported, exported.index)
            self.functions[function] = BoundFunction(exported, found, self._addressed(exported))

    def _addressed(self, exported: ExportedFunction) -> Addressed | None:
        helpers = exported.helpers
        if helpers is None:
            return None
        allocator = None if helpers.allocator is None else self._find(exported, helpers.allocator)
        after = None if helpers.after is None else self._find(exported, helpers.after)
        return Addressed(allocator, after)

    def _find(self, exported: ExportedFunction, index: ExportIndex) -> capi.Function:
        found = capi.find_function(self._instance, self.runner.context, index)
        if found is None:
            raise LinkError(f"{self._linked.name} does not export {exported.label}, which this host calls")
        return found


class GuestInterface:
    """An interface that a guest exports, or the exports of its world; bindings derive from it.

    Binding raises `LinkError` if the guest has no such function, or one of another type.
    """

    # Only names with an underscore, so that no function of a WIT interface has the same.
    def __init__(self, instance: Instance, name: str | None, functions: Sequence[GuestFunction[object]]) -> None:
        instance.bind(name, functions)
        self._instance = instance


class GuestFunction(Generic[R_co]):
    """A function that guests export: its WIT name, and the codecs of its parameters and its result.

    It is a constant of the bindings. A method takes the resource that it is called on as its first parameter.
    """

    #: Whether it is declared `async`.
    is_async = False

    def __init__(self, name: str, parameters: Mapping[str, Codec], result: Codec | Result | None) -> None:
        self.name = name
        self.parameters = parameters
        self.result = result
        self._is_method = name.startswith("[method]")

    def __call__(self, owner: GuestInterface | GuestResource, *arguments: object) -> R_co:
        """Call the function of the guest that `owner` belongs to.

        Raises TypeError or ValueError if an argument does not fit, the bindings' exception if the guest returns an
        error, and the exceptions of `Runner.run`.
        """
        instance = owner._instance
        bound = instance.functions.get(cast("GuestFunction[object]", self))
        if bound is None:
            raise RuntimeError(f"{self.name} is called before the interface that it belongs to was bound")
        if self._is_method:
            arguments = (owner, *arguments)
        runner = instance.runner
        is_ok, answer = runner.run(lambda: bound.call(instance, arguments), f"did not return from {bound.label}")
        if not is_ok and isinstance(self.result, Result):
            raise self.result.error(answer)
        return cast(R_co, answer)


class AsyncGuestFunction(GuestFunction[R_co]):
    """An `async` function that guests export; calling it blocks until the guest returns."""

    is_async = True

    async def call_async(self, owner: GuestInterface | GuestResource, *arguments: object) -> R_co:
        """Call the function on a thread of the event loop's executor, and await it; raises what a call raises.

        Coroutines of the host are awaited in the event loop meanwhile. When the task is cancelled, the guest is
        stopped, and cannot be called any more.
        """
        return await in_thread(partial(self, owner, *arguments), owner._instance.runner.cancel)


class BoundFunction:
    """One function of one instance; with `addressed`, its lists of numbers cross by address."""

    __slots__ = ("_addressed", "_exported", "_function", "label")

    def __init__(self, exported: ExportedFunction, function: capi.Function, addressed: Addressed | None) -> None:
        self.label = exported.label
        self._exported = exported
        self._function = function
        self._addressed = addressed

    def call(self, instance: Instance, items: Sequence[object]) -> tuple[bool, object]:
        """Lower, call, lift, and free; return whether the guest answered `ok`, and its answer."""
        state = instance.state
        outgoing = Outgoing(instance)
        ours = self._exported
        with capi.owned_values(len(ours.lowers)) as arguments, capi.owned_values(1 if ours.result else 0) as results:
            try:
                lists = self._lower(state, outgoing, arguments, items)
                if lists:
                    self._give(state, arguments, lists)
                outgoing.is_over = True
                enter(state, self._function, arguments, results, ours.is_async)
                return self._lift(state, outgoing, results)
            finally:
                outgoing.settle(state)

    def _lower(
        self,
        state: HostState,
        outgoing: Outgoing,
        arguments: capi.OwnedValues,
        items: Sequence[object],
    ) -> list[tuple[int, Numbers]]:
        """Lower all arguments but lists that cross by address, which are returned with their places."""
        ours = self._exported
        if len(items) != len(ours.lowers):
            raise TypeError(f"{self.label} takes {len(ours.lowers)} arguments, not {len(items)}")
        state.outgoing = outgoing
        lists: list[tuple[int, Numbers]] = []
        index = 0
        try:
            for index, lower in enumerate(ours.lowers):
                if index in ours.lists:
                    lists.append((index, numbers_of(ours.lists[index], items[index])))
                else:
                    lower(state, arguments[index], items[index])
        except Misfit as misfit:
            raise misfit.error(self.label, ours.names[index]) from None
        finally:
            state.outgoing = None
        return lists

    def _give(self, state: HostState, arguments: capi.OwnedValues, lists: list[tuple[int, Numbers]]) -> None:
        """Copy lists to the guest, once all arguments are known to be right."""
        for index, numbers in lists:
            try:
                cast(Addressed, self._addressed).give(state, arguments[index], numbers)
            except Misfit as misfit:
                raise misfit.error(self.label, self._exported.names[index]) from None

    def _lift(self, state: HostState, outgoing: Outgoing, results: capi.OwnedValues) -> tuple[bool, object]:
        """Lift the result; objects that return to the host leave the table once everything is lifted."""
        lift = self._exported.lift
        if lift is None:
            return True, None
        if self._exported.stored is not None:
            return self._take(state, self._exported.stored, results[0])
        state.outgoing = outgoing
        state.begin_lifting()
        try:
            answer = lift(state, results[0])
            state.take_over()
            return answer
        except Misfit as misfit:
            raise misfit.error(self.label, "result") from None
        finally:
            state.outgoing = None
            state.end_call()

    def _take(self, state: HostState, stored: Stored, result: capi.Value) -> tuple[bool, object]:
        """Read the result where the guest stored it."""
        try:
            answer = cast(Addressed, self._addressed).take(state, stored, result)
        except Misfit as misfit:
            raise misfit.error(self.label, "result") from None
        return answer if isinstance(self._exported.result, Result) else (True, answer)
