"""The messages of the Open Inference Protocol, as values: requests, tensors, results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from wasi_nn_torch.http.datatypes import Datatype

#: The value of a parameter.
Parameter = bool | int | float | str


@dataclass(frozen=True, slots=True)
class Value:
    """A named tensor: its elements as bytes, little-endian, row-major and without gaps.

    Each element of BYTES has its length in front, as four bytes.
    """

    name: str
    datatype: Datatype
    shape: tuple[int, ...]
    data: memoryview


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
class Description:
    """An input or output for the metadata; -1 in a shape is a size that varies, None a datatype that is not known."""

    name: str
    datatype: Datatype | None
    shape: tuple[int, ...]
    is_optional: bool = False


@dataclass(frozen=True, slots=True)
class Metadata:
    """The inputs and outputs of a model; None if they are not known."""

    inputs: tuple[Description, ...] | None = None
    outputs: tuple[Description, ...] | None = None
