"""The description of a graph that is loaded."""

from __future__ import annotations

from wasi_nn_torch.contract.description import GraphDescription, ValueDescription
from wasi_nn_torch.pytorch.dtypes import spell_dtype
from wasi_nn_torch.pytorch.graphs import Graph
from wasi_nn_torch.pytorch.graphs.inputs.parameters import Parameter
from wasi_nn_torch.pytorch.graphs.loading.traced import Example


def describe_graph(graph: Graph) -> GraphDescription:
    """The inputs and outputs of a graph, as far as it tells them, and whether its contexts have a state."""
    inputs = tuple(map(describe_parameter, graph.signature.inputs))
    return GraphDescription(inputs, graph.outputs, graph.remembers)


def describe_parameter(parameter: Parameter, example: Example | None = None) -> ValueDescription:
    """The description of one input; `example` is the tensor that the model was traced with."""
    return ValueDescription(
        name=parameter.name,
        kind=parameter.kind.value,
        dtype=None if parameter.dtype is None else spell_dtype(parameter.dtype),
        shape=parameter.shape,
        example=None if example is None else example.shape,
        example_dtype=None if example is None else spell_dtype(example.dtype),
        optional=parameter.optional,
    )
