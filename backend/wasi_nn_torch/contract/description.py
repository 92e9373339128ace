"""Descriptions of models for people, which a backend makes: see `wasi_nn_torch.contract.DescribesModels`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class ValueDescription:
    """One input or output of a model.

    `kind` is "tensor", "integer", "float" or "boolean"; only an output can be of another kind. `dtype` is spelled as in
    wasi-nn, or as the backend spells it if wasi-nn has no such type. A string in `shape` is the name of a size that may
    vary. `example` and `example_dtype` are the shape and type that the model was made with, if others may work too.
    None means that something is not known; an input whose `dtype` is not known is passed to the model unconverted.
    """

    name: str
    kind: str
    dtype: str | None = None
    shape: tuple[int | str, ...] | None = None
    example: tuple[int, ...] | None = None
    example_dtype: str | None = None
    optional: bool = False


@dataclass(frozen=True)
class WeightsDescription:
    """All weights of one dtype, including constants and buffers of the model."""

    dtype: str
    elements: int
    nbytes: int


@dataclass(frozen=True)
class Contents:
    """The properties of a model that are known only after it was loaded; None means that one is not known.

    `left_out` are the parameters that no guest can set, so that they always have their defaults. A name in `inputs` or
    `outputs` that contains an asterisk stands for several. `sizes` has the minimum and the maximum of each size that
    may vary, if they are known. `parameters` is the number of trained numbers. `state` names the tensors that a
    computation may change, of which each context has a copy. `methods` are all methods that guests can compute; the
    other fields describe one of them.
    """

    inputs: tuple[ValueDescription, ...]
    left_out: tuple[ValueDescription, ...] = ()
    outputs: tuple[ValueDescription, ...] | None = None
    sizes: Mapping[str, tuple[int | None, int | None]] | None = None
    parameters: int | None = None
    weights: tuple[WeightsDescription, ...] | None = None
    state: tuple[str, ...] | None = None
    methods: tuple[str, ...] | None = None


@dataclass(frozen=True)
class ModelDescription:
    """The description of a model.

    `refusal` is the error text for a guest that supplies this model, if guests' models are checked; None if the check
    accepts it. `contents` is None for a model that was not loaded.
    """

    format: str
    refusal: str | None
    contents: Contents | None


@dataclass(frozen=True)
class GraphDescription:
    """The properties of a loaded graph; `outputs` is None if only a computation shows them.

    `remembers` is whether a context keeps a state from one computation to the next; None means that it may.
    """

    inputs: tuple[ValueDescription, ...] = ()
    outputs: tuple[ValueDescription, ...] | None = None
    remembers: bool | None = None
