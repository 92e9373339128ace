"""What a host offers to guests: instances, functions and resources, collected before a guest is there.

In: the implementations, by generated bindings. Out: definitions, of which `imports.link` gives each guest the ones that
it imports, once their types were compared.
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
    """A function of the host's: what is called, and the codecs of what it takes and returns."""

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
        """Define the method `name`; `method` is the Protocol's, and what is called is the object's of the same name."""
        attribute = method.__name__

        def call(target: object, *arguments: object) -> object:
            return getattr(target, attribute)(*arguments)

        self.function(f"[method]{resource.name}.{name}", call, {"self": Borrow(resource), **parameters}, result)

    def label(self, name: str) -> str:
        """What messages call the function or resource `name`."""
        return name if self.name is None else f"{self.name}#{name}"

    def _check_free(self, name: str) -> None:
        if name in self.functions or name in self.resources:
            raise ValueError(f"{self.label(name)} is defined twice")


class Linker:
    """What the guest of one store may import."""

    def __init__(self) -> None:
        self.has_wasi = False
        #: Called with the name of each function that answers `err`, and the value; what it raises traps the guest.
        self.on_error: Callable[[str, object], None] | None = None
        self.instances: dict[str, InstanceLinker] = {}
        self._root = InstanceLinker(None)

    def add_wasi(self) -> None:
        """Define WASI 0.2, as Wasmtime implements it; an instance of the same name that is defined here comes first."""
        self.has_wasi = True

    def instance(self, name: str) -> InstanceLinker:
        """Define the instance `name`; raises ValueError if there is one of that name already."""
        if name in self.instances:
            raise ValueError(f"{name} is defined twice")
        instance = self.instances[name] = InstanceLinker(name)
        return instance

    def root(self) -> InstanceLinker:
        """The functions and resources that belong to the world itself."""
        return self._root

    def close(self) -> None:
        """Let go of every definition; the second time is fine."""
        self.instances.clear()
        self._root = InstanceLinker(None)
        self.on_error = None
