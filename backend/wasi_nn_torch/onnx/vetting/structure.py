"""The check of a parsed model: its parts, names, operators, types and constants."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import onnx
from google.protobuf.message import DecodeError
from onnx import AttributeProto

from wasi_nn_torch.contract.errors import ErrorCode, NnError
from wasi_nn_torch.contract.text import quote
from wasi_nn_torch.onnx.dtypes import BY_NUMBER, NAMES
from wasi_nn_torch.onnx.hazards import DOMAINS, hazard_of, schema_of
from wasi_nn_torch.onnx.protos import graphs_of, tensors_of
from wasi_nn_torch.onnx.vetting.operators import ADMITTED, REASONS
from wasi_nn_torch.onnx.vetting.refusal import damaged, refusal
from wasi_nn_torch.onnx.vetting.weights import require_whole
from wasi_nn_torch.onnx.vetting.wire import require_bounded

_OLDEST_OPSET: Final = 7
_LONGEST_NAME: Final = 1024
#: The most inputs or outputs of a model.
_MOST_VALUES: Final = 1000
#: Parts of a model that computing does not need, which could contradict the rest.
_LEFT_OUT: Final = frozenset({"value_info", "quantization_annotation", "doc_string", "metadata_props"})

_PLAIN: Final = frozenset(
    {
        AttributeProto.FLOAT,
        AttributeProto.INT,
        AttributeProto.STRING,
        AttributeProto.TENSOR,
        AttributeProto.FLOATS,
        AttributeProto.INTS,
        AttributeProto.STRINGS,
    }
)


def vet(model: bytes) -> bytes:
    """Check a guest-supplied model, and return the part of it that computing needs, to be loaded in its place.

    Raises NnError: `invalid-encoding` for bytes that are not a model, `unsupported-operation` for inputs and outputs
    that wasi-nn cannot express, and `security`, with the reason, for everything that is not admitted.
    """
    require_bounded(memoryview(model))
    proto = _parsed(model)
    opset = _require_opset(proto)
    for field in ("functions", "training_info", "configuration"):
        if len(getattr(proto, field)):
            raise refusal(f"it has the part {field}; inline functions, and leave out what only training needs")
    for what, values in (("input", proto.graph.input), ("output", proto.graph.output)):
        _require_values(what, values)
    for graph in graphs_of(proto):
        _require_graph(graph, opset)
    for tensor in tensors_of(proto):
        require_whole(tensor)
    return _reduced(proto)


def _parsed(model: bytes) -> onnx.ModelProto:
    proto = onnx.ModelProto()
    try:
        proto.ParseFromString(model)
    except DecodeError:
        error = damaged("it cannot be parsed")
    else:
        if proto.HasField("graph"):
            return proto
        error = damaged("it has no graph")
    raise error


def _reduced(proto: onnx.ModelProto) -> bytes:
    proto.DiscardUnknownFields()
    parts: list[Any] = [proto, *graphs_of(proto)]
    for part in parts:
        for field in _LEFT_OUT.intersection(part.DESCRIPTOR.fields_by_name):
            part.ClearField(field)
    reduced: bytes = proto.SerializeToString()
    return reduced


def _require_opset(proto: onnx.ModelProto) -> int:
    versions: list[int] = [each.version for each in proto.opset_import if each.domain in DOMAINS]
    newest = onnx.defs.onnx_opset_version()
    if len(versions) != 1 or not _OLDEST_OPSET <= versions[0] <= newest:
        raise refusal(f"it uses the opsets {versions}; expected one from {_OLDEST_OPSET} to {newest}")
    return versions[0]


def _require_values(what: str, values: Iterable[onnx.ValueInfoProto]) -> None:
    listed = list(values)
    if len(listed) > _MOST_VALUES:
        raise refusal(f"it has {len(listed)} {what}s; expected at most {_MOST_VALUES}")
    for value in listed:
        kind = value.type.WhichOneof("value")
        if kind != "tensor_type" or value.type.tensor_type.elem_type not in BY_NUMBER:
            raise NnError(
                ErrorCode.UNSUPPORTED_OPERATION,
                f"the model has the {what} {quote(value.name)}, which is not a tensor of {NAMES}; wasi-nn cannot "
                "express it",
            )


def _require_graph(graph: onnx.GraphProto, opset: int) -> None:
    if len(graph.sparse_initializer):
        raise refusal("it has sparse constants")
    for name in [value.name for values in (graph.input, graph.output) for value in values]:
        _require_name("value", name)
    for node in graph.node:
        _require_node(node, opset)


def _require_node(node: onnx.NodeProto, opset: int) -> None:
    if node.domain not in DOMAINS:
        raise refusal(f"it uses the operator {quote(f'{node.domain}.{node.op_type}')}, which is not one of ONNX's own")
    if node.op_type not in ADMITTED:
        reason = REASONS.get(node.op_type, "it is not known")
        raise refusal(f"it uses the operator {quote(node.op_type)}: {reason}")
    for name in (node.name, *node.input, *node.output):
        _require_name("value", name)
    for attribute in node.attribute:
        _require_attribute(node, attribute)
    if schema_of(node, opset) is None:
        raise refusal(f"it uses the operator {quote(node.op_type)}, which the opset {opset} does not have")
    hazard = hazard_of(node, opset)
    if hazard is not None:
        raise refusal(hazard)


def _require_attribute(node: onnx.NodeProto, attribute: onnx.AttributeProto) -> None:
    where = f"the attribute {quote(attribute.name)} of the operator {quote(node.op_type)}"
    is_branch = node.op_type == "If" and attribute.type == AttributeProto.GRAPH
    if attribute.type not in _PLAIN and not is_branch:
        raise refusal(f"{where} is not a number, a text or a tensor")
    if attribute.ref_attr_name:
        raise refusal(f"{where} refers to a function")
    if not is_branch and (attribute.HasField("g") or len(attribute.graphs)):
        raise refusal(f"{where} has a graph")
    if any(len(text) > _LONGEST_NAME for text in (attribute.s, *attribute.strings)):
        raise refusal(f"{where} is longer than {_LONGEST_NAME} bytes")


def _require_name(what: str, name: str) -> None:
    if len(name) > _LONGEST_NAME or not name.isprintable():
        raise refusal(f"the name of the {what} {quote(name)} is not printable, or longer than {_LONGEST_NAME}")
