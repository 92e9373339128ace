"""Functions that a component exports, with all that is known about them before they are called."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from wasmtime.component import ExportIndex

from .. import capi
from ..crossing.state import HostState
from ..values import Codec, Result
from ..values.stored import stored
from .addressed import takes_numbers


class Declaration(Protocol):
    """A function that bindings expect guests to export."""

    @property
    def name(self) -> str:
        """Its name in WIT."""
        ...

    @property
    def is_async(self) -> bool:
        """Whether it is declared `async`."""
        ...

    @property
    def parameters(self) -> Mapping[str, Codec]:
        """The codecs of its parameters, by name."""
        ...

    @property
    def result(self) -> Codec | Result | None:
        """The codec of its result."""
        ...


@dataclass(frozen=True)
class Helpers:
    """The functions by which an exported function is called with addresses: see `ListExport`."""

    index: ExportIndex
    allocator: ExportIndex | None
    after: ExportIndex | None
    returns_address: bool


class ExportedFunction:
    """One function of one component, whose type was compared with `declaration`.

    `label` is its name in messages. `helpers` are for calls in which lists of numbers cross by address, if that is
    possible.
    """

    def __init__(
        self,
        label: str,
        index: ExportIndex,
        declaration: Declaration,
        helpers: Helpers | None = None,
    ) -> None:
        parameters, result = declaration.parameters, declaration.result
        self.label = label
        self.is_async = declaration.is_async
        self.index = index if helpers is None else helpers.index
        self.helpers = helpers
        self.names = tuple(parameters)
        self.lowers = tuple(codec.lower for codec in parameters.values())
        #: The codecs of the lists that cross by address, by their places.
        self.lists = {} if helpers is None else _lists(parameters)
        #: How the result is stored, if the function returns its address.
        self.stored = stored(result) if result is not None and helpers is not None and helpers.returns_address else None
        self.result = result
        self.lift = _lifting(result)


def _lists(parameters: Mapping[str, Codec]) -> dict[int, Codec]:
    return {place: codec for place, codec in enumerate(parameters.values()) if takes_numbers(codec)}


def _lifting(result: Codec | Result | None) -> Callable[[HostState, capi.Value], tuple[bool, object]] | None:
    """Return the function that lifts a result, and says whether it is `ok`."""
    if result is None or isinstance(result, Result):
        return None if result is None else result.lift
    lift = result.lift
    return lambda state, value: (True, lift(state, value))
