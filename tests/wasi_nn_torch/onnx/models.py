"""Small ONNX models for tests, made with the helpers of the `onnx` package."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Shape = Sequence[int | str | None] | None

FLOAT = TensorProto.FLOAT


def value(name: str, shape: Shape, dtype: int = FLOAT) -> onnx.ValueInfoProto:
    """An input or output."""
    return helper.make_tensor_value_info(name, dtype, shape)


def node(op: str, inputs: str, outputs: str, **attributes: object) -> onnx.NodeProto:
    """A node; the names of inputs and outputs are separated by spaces."""
    return helper.make_node(op, inputs.split(), outputs.split(), **attributes)


def model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[onnx.ValueInfoProto],
    weights: Sequence[onnx.TensorProto] = (),
    opset: int = 21,
    **options: object,
) -> bytes:
    """The bytes of a model."""
    return proto(nodes, inputs, outputs, weights, opset, **options).SerializeToString()


def proto(
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[onnx.ValueInfoProto],
    weights: Sequence[onnx.TensorProto] = (),
    opset: int = 21,
    **options: object,
) -> onnx.ModelProto:
    """A model that ONNX Runtime accepts."""
    graph = helper.make_graph(nodes, "graph", inputs, outputs, list(weights))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10, **options)


def unary(op: str, dtype: int = FLOAT, shape: Shape = ("n",), made: int | None = None) -> bytes:
    """A model with one operator, from `x` to `y`, whose type is `made` if that is not the same."""
    attributes = {"to": made} if op == "Cast" else {}
    return model([node(op, "x", "y", **attributes)], [value("x", shape, dtype)], [value("y", shape, made or dtype)])


def add(shape: Shape = (2,)) -> bytes:
    """A model that adds `x` and `y`; its output is called `output`."""
    return model([node("Add", "x y", "output")], [value("x", shape), value("y", shape)], [value("output", shape)])


def split() -> bytes:
    """A model with outputs `twice`, `sum` (a scalar) and `is positive`, of different types and shapes."""
    nodes = [
        node("Add", "x x", "twice"),
        node("ReduceSum", "x", "sum", keepdims=0),
        helper.make_node("Greater", ["x", "zero"], ["is positive"]),
    ]
    outputs = [value("twice", ["n"]), value("sum", []), value("is positive", ["n"], TensorProto.BOOL)]
    return model(nodes, [value("x", ["n"])], outputs, [helper.make_tensor("zero", FLOAT, [], [0])])


def linear(size: int = 4) -> onnx.ModelProto:
    """A model that multiplies `x` by a matrix of weights, which is 1 on its diagonal plus 2."""
    weights = numpy_helper.from_array(np.eye(size, dtype=np.float32) + 2, "w")
    return proto([node("MatMul", "x w", "y")], [value("x", ["n", size])], [value("y", ["n", size])], [weights])
