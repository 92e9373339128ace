"""The messages of the Open Inference Protocol, as values: requests, tensors, results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from wasi_nn_torch.pipelines.values import Description, Parameter, Value


@dataclass(frozen=True, slots=True)
class Wanted:
    """An output that a client asks for; `is_binary` is None if it does not say how."""

    name: str
    is_binary: bool | None = None


@dataclass(frozen=True, slots=True)
class InferRequest:
    """A request of a client: `outputs` are the wanted ones, in that order; if there are none, all of them.

    `is_binary` is whether outputs for which the client does not say it are sent as bytes.
    """

    inputs: tuple[Value, ...]
    outputs: tuple[Wanted, ...] = ()
    id: str = ""
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    is_binary: bool = False


@dataclass(frozen=True, slots=True)
class Metadata:
    """The inputs and outputs of a model; None if they are not known."""

    inputs: tuple[Description, ...] | None = None
    outputs: tuple[Description, ...] | None = None
