"""The decision whether the computations of a model can be joined: see `wasi_nn_torch.joining.trial`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields

import torch

from wasi_nn_torch.contract.batch import Batch
from wasi_nn_torch.contract.text import quote
from wasi_nn_torch.contract.warm_up import Example, WarmUp
from wasi_nn_torch.joining import (
    Unfit,
    require_joinable,
    require_open,
    sizes_for_trial,
    tolerance_for,
)
from wasi_nn_torch.pytorch.dtypes import DTYPES
from wasi_nn_torch.pytorch.graphs.computing.batched import BatchedGraph, Outputs, compute_rows, lanes_on
from wasi_nn_torch.pytorch.graphs.computing.failures import gist, is_out_of_memory
from wasi_nn_torch.pytorch.graphs.computing.graph import Graph
from wasi_nn_torch.pytorch.graphs.inputs.signature import Kind, Parameter
from wasi_nn_torch.pytorch.graphs.loading.warming import element_type_for, examples_of


def batched(graph: Graph, batch: Batch, warm_up: WarmUp | None, name: str) -> BatchedGraph:
    """A graph whose computations can be joined; error texts call the model `name`.

    The sizes for the trial are those of `warm_up`, or the model's own. Raises ModelError, which says why, if the
    computations cannot be joined or if that cannot be tried; ModelTooLarge if memory does not suffice.
    """
    tensors = [parameter for parameter in graph.signature.inputs if parameter.kind is Kind.TENSOR]
    require_open({parameter.name: parameter.shape for parameter in tensors}, name, _advice(graph))
    own = {each.name: getattr(graph, each.name) for each in fields(graph)}
    lanes = lanes_on(graph.device)
    is_shared = graph.instance() is graph.instance()
    # The state of a model that keeps none is that of its instances, whatever it is for.
    nbytes = graph.nbytes + lanes * graph.state_nbytes
    made = BatchedGraph(**{**own, "nbytes": nbytes, "state_nbytes": 0}, lanes=lanes, is_shared=is_shared)
    if batch.trial:
        given = {} if warm_up is None else dict(warm_up.given)
        examples = sizes_for_trial(lambda: examples_of(graph, given, name))
        require_joinable(_Rows(made, examples), batch, name)
    return made


def _advice(graph: Graph) -> str:
    dims = ", ".join(f'"{parameter.name}": {{0: batch}}' for parameter in graph.signature.inputs)
    return (
        'leave dimension 0 open and export it with two rows: batch = torch.export.Dim("batch"); '
        f"torch.export.export(model, inputs, dynamic_shapes={{{dims}}})"
    )


class _Rows:
    """See `wasi_nn_torch.joining.Engine`: rows are tensors, and numbers are what the model takes as such."""

    def __init__(self, graph: BatchedGraph, examples: Mapping[str, Example]) -> None:
        self._graph = graph
        self._parameters = graph.signature.match(list(examples))
        self._examples = examples
        self._random = torch.Generator().manual_seed(0)

    def draw(self) -> Mapping[str, object]:
        """Inputs of one row."""
        return {
            parameter.name: self._value(parameter, example)
            for parameter, example in zip(self._parameters, self._examples.values(), strict=True)
        }

    def _value(self, parameter: Parameter, example: Example) -> object:
        if not isinstance(example, tuple):
            return {Kind.INTEGER: int, Kind.BOOLEAN: bool}.get(parameter.kind, float)(example)
        if not example:
            raise Unfit(f"its input {quote(parameter.name)} has no dimensions, so that it has no rows")
        shape = (1, *example[1:])
        dtype = parameter.dtype or DTYPES[element_type_for(None)]
        if dtype.is_floating_point:
            value = torch.randn(shape, generator=self._random).to(dtype)
        else:  # numbers that are valid in any vocabulary, and as a mask
            value = torch.randint(256 if dtype is torch.uint8 else 2, shape, generator=self._random).to(dtype)
        return value.to(self._graph.device)

    def compute(self, inputs: Sequence[Mapping[str, object]], rows: Sequence[int]) -> list[Outputs]:
        """The outputs for each of several inputs."""
        model = self._graph.borrow()
        try:
            return compute_rows(self._graph, model, self._parameters, inputs, rows)
        finally:
            self._graph.give_back(model)

    def joined(self, values: Sequence[object]) -> object:
        """The rows of tensors one below the other; of numbers, the first."""
        tensors = [value for value in values if isinstance(value, torch.Tensor)]
        return torch.cat(tensors) if tensors else values[0]

    def scaled(self, value: object, factor: float) -> object:
        """Other floats, which may be huge or invalid, and other whole numbers."""
        if not isinstance(value, torch.Tensor):
            return value
        if value.is_floating_point():
            return value * factor
        if value.dtype is torch.bool:
            return ~value
        return 255 - value if value.dtype is torch.uint8 else 1 - value

    def is_float(self, value: object) -> bool:
        """Whether it is a tensor of floats."""
        return isinstance(value, torch.Tensor) and value.is_floating_point()

    def is_close(self, one: object, other: object) -> bool:
        """Whether two outputs are the same, to rounding."""
        return isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor) and _is_close(one, other)

    def is_out_of_memory(self, error: BaseException) -> bool:
        """Whether memory ran out."""
        return is_out_of_memory(error)

    def gist(self, error: BaseException) -> str:
        """The message of an exception."""
        return gist(error)


def _is_close(one: torch.Tensor, other: torch.Tensor) -> bool:
    if one.shape != other.shape or one.dtype is not other.dtype:
        return False
    if not (one.is_floating_point() or one.is_complex()):
        return bool(torch.equal(one, other))
    bits = 0 if one.is_complex() else torch.finfo(one.dtype).bits
    tolerance = tolerance_for(bits, one.device.type == "cpu")
    one, other = one.cpu(), other.cpu()
    finite = one[one.isfinite()]
    largest = float(finite.abs().max()) if finite.numel() else 0.0
    wide = torch.complex128 if one.is_complex() else torch.float64
    return bool(torch.allclose(one.to(wide), other.to(wide), rtol=tolerance, atol=tolerance * largest, equal_nan=True))
