"""What a backend tells of a model, for people: see `wasi_nn_torch.contract.Backend.describe`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class ValueDescription:
    """One input or output of a model.

    `kind` is "tensor", "integer", "float" or "boolean"; what is none of these is never an input. `dtype` is spelled as
    wasi-nn spells it, or as the backend does where wasi-nn has no such type. A text in the `shape` is a size that may
    vary. `example` and `example_dtype` are what the model was made with, where others may do as well. None is what is
    not known: an input whose `dtype` is not known is given to the model as it comes.
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
    """All weights of one dtype, those included that are constants or buffers of the model."""

    dtype: str
    elements: int
    nbytes: int


@dataclass(frozen=True)
class Contents:
    """What only a model that is loaded tells; None is what is not known.

    `left_out` is what no guest can give, so that it has its default always. A name in `inputs` or `outputs` that
    stands for several has an asterisk in it. `sizes` has the least and the most of each size that may vary, where
    there are bounds. `parameters` is how many numbers were trained. `state` names what a computation may change, of
    which each context has its own. `methods` are those that can be computed; the rest is told of one of them.
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
    """What a model is.

    `refusal` is the text that a guest would get that brings it along, where models of guests are checked; None where
    it may. `contents` is None for a model that was not loaded.
    """

    format: str
    refusal: str | None
    contents: Contents | None
