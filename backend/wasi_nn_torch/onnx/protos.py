"""Walking the parts of a parsed ONNX model, without recursion, since a guest's can be nested to any depth."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import onnx


def graphs_of(model: onnx.ModelProto) -> Iterator[onnx.GraphProto]:
    """The graph, and those within the attributes of nodes, also of the model's functions."""
    pending = [model.graph]
    for function in model.functions:
        pending += _subgraphs(function.node)
    while pending:
        graph = pending.pop()
        yield graph
        pending += _subgraphs(graph.node)


def nodes_of(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    """All nodes, also those of subgraphs and functions."""
    for function in model.functions:
        yield from function.node
    for graph in graphs_of(model):
        yield from graph.node


def tensors_of(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """All weights and constants."""
    for graph in graphs_of(model):
        yield from graph.initializer
        for sparse in graph.sparse_initializer:
            yield from (sparse.values, sparse.indices)
    for node in nodes_of(model):
        for attribute in node.attribute:
            yield from _tensors(attribute)


def unranked_in(model: onnx.ModelProto) -> frozenset[str]:
    """The inputs and outputs whose number of dimensions the model does not tell."""
    values = [*model.graph.input, *model.graph.output]
    return frozenset(each.name for each in values if not each.type.tensor_type.HasField("shape"))


def _subgraphs(nodes: Iterable[onnx.NodeProto]) -> list[onnx.GraphProto]:
    found = []
    for node in nodes:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                found.append(attribute.g)
            found += attribute.graphs
    return found


def _tensors(attribute: onnx.AttributeProto) -> Iterator[onnx.TensorProto]:
    if attribute.HasField("t"):
        yield attribute.t
    yield from attribute.tensors
    for sparse in [attribute.sparse_tensor] if attribute.HasField("sparse_tensor") else attribute.sparse_tensors:
        yield from (sparse.values, sparse.indices)
