"""The description of a TorchScript archive, which keeps the types of inputs and outputs, but no dtypes or shapes.

The archive of a trace also records the inputs that the module was traced with.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from wasi_nn_torch.contract.description import Contents, ValueDescription
from wasi_nn_torch.pytorch.describing import describe_parameter
from wasi_nn_torch.pytorch.devices import CPU
from wasi_nn_torch.pytorch.dtypes import spell_dtype
from wasi_nn_torch.pytorch.graphs.computing.state import FORWARD
from wasi_nn_torch.pytorch.graphs.inputs.script_types import fields_of
from wasi_nn_torch.pytorch.graphs.inputs.signature import Kind
from wasi_nn_torch.pytorch.graphs.loading.shared import Source
from wasi_nn_torch.pytorch.graphs.loading.torchscript import methods_of, read, signature_of
from wasi_nn_torch.pytorch.graphs.loading.traced import examples, with_traced
from wasi_nn_torch.pytorch.inspecting.changes import changed_attributes
from wasi_nn_torch.pytorch.inspecting.script_graph import GET, find, nodes_of, path_of
from wasi_nn_torch.pytorch.inspecting.values import (
    describe_left_out,
    describe_weights,
)

_SINGLE = "output"
#: Stands for the keys or positions that are known only after a computation.
_EACH = "*"
#: The tensor that a guest gets for each type of number.
_NUMBERS = {
    "IntType": (Kind.INTEGER, torch.int64),
    "FloatType": (Kind.FLOAT, torch.float64),
    "BoolType": (Kind.BOOLEAN, torch.uint8),
}


def contents(source: Source, name: str, method: str = FORWARD) -> Contents:
    """The inputs and outputs of a method, and the weights of its module, which is loaded; raises ModelError."""
    module = read(source, CPU, name, method)
    schema = module._c._get_method(method).schema
    signature = with_traced(signature_of(schema, name), source, method)
    known = examples(signature, source, method)
    graph = module._c._get_method(method).inlined_graph
    parameters = list(module.parameters())
    [result] = graph.outputs()
    return Contents(
        inputs=tuple(describe_parameter(each, known.get(each.name)) for each in signature.inputs),
        left_out=describe_left_out(signature),
        outputs=tuple(_outputs(schema.returns[0].type, result)),
        parameters=sum(parameter.numel() for parameter in parameters),
        weights=describe_weights([*parameters, *module.buffers(), *_others(module, graph)]),
        state=changed_attributes(module, graph),
        methods=tuple(methods_of(module)),
    )


def _others(module: torch.jit.ScriptModule, graph: torch._C.Graph) -> Iterator[torch.Tensor]:
    """The tensors in use that are not parameters or buffers: attributes, and constants in the code."""
    for node in nodes_of(graph.nodes()):
        if node.kind() == "prim::Constant" and node.output().type().kind() == "TensorType":
            value: object = node.output().toIValue()
        elif node.kind() == GET:
            value = find(module, path_of(node.output()) or ())
        else:
            continue
        yield from (each for each in (value if isinstance(value, list) else [value]) if isinstance(each, torch.Tensor))


def _outputs(
    kind: torch._C.JitType, value: torch._C.Value | None, path: tuple[str, ...] = (), optional: bool = False
) -> Iterator[ValueDescription]:
    """The outputs of a type, under the names that a guest uses.

    `value` is the output in the graph: if a container is built there, the graph shows its keys and positions.
    """
    if isinstance(kind, torch._C.OptionalType):
        yield from _outputs(kind.getElementType(), value, path, optional=True)
    elif isinstance(kind, torch._C.TupleType):
        parts = kind.elements()
        values = _put_together(value, "prim::TupleConstruct") or [None] * len(parts)
        for field, part, each in zip(fields_of(kind), parts, values, strict=True):
            yield from _outputs(part, each, (*path, field), optional)
    elif isinstance(kind, torch._C.ListType):
        items = _put_together(value, "prim::ListConstruct")
        for position, item in enumerate(items) if items else [(_EACH, None)]:
            yield from _outputs(kind.getElementType(), item, (*path, str(position)), optional)
    elif isinstance(kind, torch._C.DictType):
        pairs = _put_together(value, "prim::DictConstruct")
        keys = [_EACH if key is None else str(key.toIValue()) for key in pairs[::2]] or [_EACH]
        for key, item in zip(keys, pairs[1::2] or [None], strict=True):
            yield from _outputs(kind.getValueType(), item, (*path, key), optional)
    elif kind.kind() != "NoneType":
        yield _output(kind, ".".join(path) or _SINGLE, optional)


def _output(kind: torch._C.JitType, name: str, optional: bool) -> ValueDescription:
    if kind.kind() in _NUMBERS:
        number, dtype = _NUMBERS[kind.kind()]
        return ValueDescription(name, number.value, spell_dtype(dtype), (1,), optional=optional)
    is_tensor = kind.kind() == "TensorType"
    return ValueDescription(name, Kind.TENSOR.value if is_tensor else kind.annotation_str, optional=optional)


def _put_together(value: torch._C.Value | None, how: str) -> list[torch._C.Value | None]:
    """The values that a container is built from in the graph; empty if the graph does not show that."""
    return list(value.node().inputs()) if value is not None and value.node().kind() == how else []
