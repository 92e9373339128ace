"""Defining what a guest may import: instances, functions and resources.

In: the implementations, by generated bindings. Out: a linker that a component can be instantiated with. One linker
serves one store: it costs a fraction of a millisecond, and so no host function has to ask whose call it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Concatenate, TypeVar

import wasmtime
from wasmtime import component

from wit_host import capi
from wit_host.resources import Droppable, Resource
from wit_host.state import HostState
from wit_host.values import Borrow, Codec, Result

R = TypeVar("R", bound=Droppable)


class Linker:
    """The imports of the guests of one store."""

    def __init__(self, engine: wasmtime.Engine, state: HostState) -> None:
        self.state = state
        self.linker = component.Linker(engine)
        self.instances: list[str] = []

    def add_wasi(self) -> None:
        """Define WASI 0.2, as Wasmtime implements it."""
        self.linker.add_wasip2()

    def instance(self, name: str) -> InstanceLinker:
        """Define the instance `name`; use it in a `with` block."""
        self.instances.append(name)
        return InstanceLinker(self.linker, self.state, name)

    def close(self) -> None:
        """Let go of every definition; the second time is fine."""
        self.linker.close()


class InstanceLinker:
    """The functions and resources of one imported instance."""

    def __init__(self, linker: component.Linker, state: HostState, name: str) -> None:
        self._linker = linker
        self._state = state
        self._name = name

    def __enter__(self) -> InstanceLinker:
        self._root = self._linker.root()
        try:
            self._instance = self._root.add_instance(self._name)
        except BaseException:
            self._root.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exception: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._instance.close()
        self._root.close()

    def resource(self, resource: Resource[R]) -> None:
        """Define a resource type; its objects get `drop()` when a guest drops its handle."""
        type_id = len(self._state.type_ids) + 1
        self._state.type_ids[resource] = type_id
        definition = ResourceDefinition(self._state, f"{self._name}#{resource.name}")
        capi.add_resource(self._instance, resource.name, type_id, definition)

    def function(
        self,
        name: str,
        implementation: Callable[..., object],
        parameters: Sequence[Codec],
        result: Codec | Result | None,
    ) -> None:
        """Define the function `name`; `implementation` takes as many arguments as there are `parameters`."""
        function = HostFunction(self._state, f"{self._name}#{name}", implementation, parameters, result)
        capi.add_function(self._instance, name, function)

    def method(
        self,
        resource: Resource[R],
        name: str,
        method: Callable[Concatenate[R, ...], object],
        parameters: Sequence[Codec],
        result: Codec | Result | None,
    ) -> None:
        """Define the method `name`; `method` is the Protocol's, and what is called is the object's of the same name."""
        attribute = method.__name__

        def call(target: object, *arguments: object) -> object:
            return getattr(target, attribute)(*arguments)

        self.function(f"[method]{resource.name}.{name}", call, [Borrow(resource), *parameters], result)


class HostFunction:
    """One host function: all that can be known before it is called."""

    def __init__(
        self,
        state: HostState,
        name: str,
        implementation: Callable[..., object],
        parameters: Sequence[Codec],
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
                result.lower_error(state, results[0], error.value)
            else:
                result.lower(state, results[0], answer)
        else:
            result.lower(state, results[0], self.implementation(*lifted))

    def _lift(self, arguments: capi.Values) -> list[object]:
        """What was passed by `own` leaves the table only when all is lifted, so nothing is lost on the way."""
        state = self.state
        state.taken.clear()
        lifted = [lift(state, arguments[index]) for index, lift in self.lifts]
        for representation in state.taken:
            state.table.take(representation)
        return lifted

    def fail(self, exception: BaseException) -> capi.ErrorAddress:
        """Keep `exception` for the caller of the guest."""
        return self.state.fail(exception, self.name)


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
        return self.state.fail(exception, f"dropping a {self.name}")
