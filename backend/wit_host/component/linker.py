"""The instances, functions and resources that a host offers to a guest, defined before the guest is linked.

In: implementations, from generated bindings. Out: definitions, of which `imports.link` gives a guest its imports, after
their types were compared.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Concatenate, TypeVar

from ..crossing.resources import Droppable, Resource
from ..values import Borrow, Codec, Result

R = TypeVar("R", bound=Droppable)


@dataclass(frozen=True)
class FunctionDefinition:
    """A function of the host: its implementation, and the codecs of its parameters and its result."""

    name: str
    implementation: Callable[..., object]
    parameters: Mapping[str, Codec]
    result: Codec | Result | None


class InstanceLinker:
    """The functions and resources of one imported instance, or of the world itself."""

    def __init__(self, name: str | None) -> None:
        self.name = name
        self.functions: dict[str, FunctionDefinition] = {}
        self.resources: dict[str, Resource[object]] = {}
        self.traps: dict[str, str] = {}

    def resource(self, resource: Resource[R]) -> None:
        """Define a resource type; its objects get `drop()` when a guest drops its handle."""
        self._check_free(resource.name)
        self.resources[resource.name] = resource

    def function(
        self,
        name: str,
        implementation: Callable[..., object],
        parameters: Mapping[str, Codec],
        result: Codec | Result | None,
    ) -> None:
        """Define the function `name`; `implementation` takes as many arguments as there are `parameters`."""
        self._check_free(name)
        self.functions[name] = FunctionDefinition(self.label(name), implementation, parameters, result)

    def method(
        self,
        resource: Resource[R],
        name: str,
        method: Callable[Concatenate[R, ...], object],
        parameters: Mapping[str, Codec],
        result: Codec | Result | None,
    ) -> None:
        """Define the method `name`, which calls the object's method of the same name as `method`, the Protocol's."""
        attribute = method.__name__

        def call(target: object, *arguments: object) -> object:
            return getattr(target, attribute)(*arguments)

        self.function(f"[method]{resource.name}.{name}", call, {"self": Borrow(resource), **parameters}, result)

    def trap(self, name: str, reason: str) -> None:
        """Define the function `name`, of any type, as one that this host cannot serve: a guest that calls it traps."""
        self._check_free(name)
        self.traps[name] = reason

    def label(self, name: str) -> str:
        """Return the name of the function or resource `name` in messages."""
        return name if self.name is None else f"{self.name}#{name}"

    def _check_free(self, name: str) -> None:
        if name in self.functions or name in self.resources or name in self.traps:
            raise ValueError(f"{self.label(name)} is defined twice")


class Linker:
    """The definitions that guests may import: those of one store, or those of many stores, given to `Engine.link`."""

    def __init__(self) -> None:
        self.has_wasi = False
        self.instances: dict[str, InstanceLinker] = {}
        self._root = InstanceLinker(None)

    def add_wasi(self) -> None:
        """Define WASI 0.2, as Wasmtime implements it; an instance of the same name that is defined here comes first.

        A guest that waits also needs `poll` of `wasi:io/poll`, `subscribe-duration` of `wasi:clocks/monotonic-clock`,
        and `subscribe` of the resources of `wasi:io/streams`, even if it does not import them.
        """
        self.has_wasi = True

    def instance(self, name: str) -> InstanceLinker:
        """Define the instance `name`; raises ValueError if it exists already."""
        if name in self.instances:
            raise ValueError(f"{name} is defined twice")
        instance = self.instances[name] = InstanceLinker(name)
        return instance

    def root(self) -> InstanceLinker:
        """Return the linker of the functions and resources that belong to the world itself."""
        return self._root

    def close(self) -> None:
        """Release every definition; closing it again does nothing."""
        self.instances.clear()
        self._root = InstanceLinker(None)
