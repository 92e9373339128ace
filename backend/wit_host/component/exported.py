"""Functions that a component exports, with all that is known about them before they are called."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from wasmtime.component import ExportIndex

from .. import capi
from ..crossing.state import HostState
from ..values import Codec, Result


class Declaration(Protocol):
    """A function that bindings expect guests to export."""

    @property
    def name(self) -> str:
        """Its name in WIT."""
        ...

    @property
    def parameters(self) -> Mapping[str, Codec]:
        """The codecs of its parameters, by name."""
        ...

    @property
    def result(self) -> Codec | Result | None:
        """The codec of its result."""
        ...


class ExportedFunction:
    """One function of one component, whose type was compared with its declaration; `label` is its name in messages."""

    def __init__(
        self, label: str, index: ExportIndex, parameters: Mapping[str, Codec], result: Codec | Result | None
    ) -> None:
        self.label = label
        self.index = index
        self.names = tuple(parameters)
        self.lowers = tuple(codec.lower for codec in parameters.values())
        self.result = result
        self.lift = _lifting(result)


def _lifting(result: Codec | Result | None) -> Callable[[HostState, capi.Value], tuple[bool, object]] | None:
    """Return the function that lifts a result, and says whether it is `ok`."""
    if result is None or isinstance(result, Result):
        return None if result is None else result.lift
    lift = result.lift
    return lambda state, value: (True, lift(state, value))
