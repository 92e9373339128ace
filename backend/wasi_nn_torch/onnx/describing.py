"""Descriptions of ONNX models for people: see `wasi-nn-torch inspect`. They are parsed, and neither loaded nor run."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

import onnx
from onnx import TensorProto

from wasi_nn_torch.contract.description import (
    Contents,
    GraphDescription,
    ModelDescription,
    ValueDescription,
    WeightsDescription,
)
from wasi_nn_torch.contract.errors import ModelError, NnError
from wasi_nn_torch.contract.text import quote
from wasi_nn_torch.onnx.dtypes import BY_NUMBER
from wasi_nn_torch.onnx.files import FORMAT, file_of, parsed
from wasi_nn_torch.onnx.graph import OnnxGraph
from wasi_nn_torch.onnx.signature import Value
from wasi_nn_torch.onnx.vetting import vet

#: The bits of one element of the types of weights; those that are not here take one byte each.
_BITS: Final[Mapping[int, int]] = {
    TensorProto.FLOAT: 32,
    TensorProto.DOUBLE: 64,
    TensorProto.FLOAT16: 16,
    TensorProto.BFLOAT16: 16,
    TensorProto.INT16: 16,
    TensorProto.UINT16: 16,
    TensorProto.INT32: 32,
    TensorProto.UINT32: 32,
    TensorProto.INT64: 64,
    TensorProto.UINT64: 64,
    TensorProto.INT4: 4,
    TensorProto.UINT4: 4,
    TensorProto.COMPLEX64: 64,
    TensorProto.COMPLEX128: 128,
}
_FLOATS: Final = (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16)


def describe(path: Path, name: str, method: str | None) -> ModelDescription:
    """Describe the model in a file, which error texts call `name`.

    Raises ModelError if it is not a model or has
    no such method, and OSError if it cannot be read.
    """
    if method is not None:
        raise ModelError(f"{name} is an ONNX model, which has no method {quote(method)}; leave out the option")
    data = file_of(path).read_bytes()
    return ModelDescription(FORMAT, _why_not(data), _contents(parsed(data, name)))


def describe_graph(graph: OnnxGraph) -> GraphDescription:
    """The inputs and outputs of a graph that is loaded; outputs have the types that they are shown as."""
    inputs = tuple(_loaded(each, _dtype(each.type.number)) for each in graph.signature.inputs)
    outputs = tuple(_loaded(each, each.type.shown.spelling) for each in graph.outputs)
    return GraphDescription(inputs, outputs, remembers=False)


def _loaded(value: Value, dtype: str) -> ValueDescription:
    shape = None if value.shape is None else tuple("?" if size is None else size for size in value.shape)
    return ValueDescription(value.name, "tensor", dtype, shape)


def _why_not(data: bytes) -> str | None:
    try:
        vet(data)
    except NnError as error:
        return error.text
    return None


def _contents(model: onnx.ModelProto) -> Contents:
    weights = list(model.graph.initializer)
    defaults = {each.name for each in weights}
    inputs = tuple(_value(each) for each in model.graph.input if each.name not in defaults)
    outputs = tuple(_value(each) for each in model.graph.output)
    return Contents(
        inputs=inputs,
        outputs=outputs,
        sizes=dict.fromkeys(_names(inputs), (None, None)),
        parameters=sum(math.prod(each.dims) for each in weights if each.data_type in _FLOATS),
        weights=_weights(weights),
        state=(),
    )


def _names(values: Iterable[ValueDescription]) -> Iterator[str]:
    """The names of sizes that vary."""
    for value in values:
        yield from (size for size in value.shape or () if isinstance(size, str) and size != "?")


def _value(found: onnx.ValueInfoProto) -> ValueDescription:
    kind = found.type.WhichOneof("value")
    if kind != "tensor_type":
        return ValueDescription(found.name, str(kind).removesuffix("_type"))
    tensor = found.type.tensor_type
    shape = tuple(map(_size, tensor.shape.dim)) if tensor.HasField("shape") else None
    return ValueDescription(found.name, "tensor", _dtype(tensor.elem_type), shape)


def _size(dimension: onnx.TensorShapeProto.Dimension) -> int | str:
    return dimension.dim_value if dimension.HasField("dim_value") else dimension.dim_param or "?"


def _dtype(number: int) -> str:
    """A type as wasi-nn spells it, or ONNX if wasi-nn has no such type."""
    known = BY_NUMBER.get(number)
    if known is not None:
        return known.shown.spelling if known.is_same else known.name
    names: dict[int, str] = {value: name for name, value in TensorProto.DataType.items()}
    return names.get(number, str(number)).lower()


def _weights(tensors: Iterable[onnx.TensorProto]) -> tuple[WeightsDescription, ...]:
    elements: dict[int, int] = defaultdict(int)
    for each in tensors:
        elements[each.data_type] += math.prod(each.dims)
    return tuple(
        WeightsDescription(_dtype(number), count, -(-count * _BITS.get(number, 8) // 8))
        for number, count in sorted(elements.items())
    )
