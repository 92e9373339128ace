"""Whether a computation may write to its inputs, which a guest may want to use again.

In: the code of a model, as TorchScript or as an exported program. Out: False only if every write goes to memory that an
operator before it made anew. To say True too often is safe: then the model gets copies of what somebody keeps. Alias
annotations are not enough to tell: some operators return their argument itself and do not say so.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch.export import ExportedProgram

from wasi_nn_torch.pytorch.graphs.layout import CONVOLUTIONS
from wasi_nn_torch.pytorch.graphs.state import UNSEEN, updates_statistics

#: Whatever they are given, they return new memory.
_FRESH = CONVOLUTIONS | frozenset(
    f"aten::{name}"
    for name in "conv1d conv3d linear matmul mm bmm addmm batch_norm layer_norm add sub mul div cat relu".split()
)
#: What the model has of its own: no input, as long as nothing sets an attribute.
_OWN = "prim::GetAttr"
#: They write to a list, and not to the tensors in it.
_LISTS = frozenset(f"aten::{name}" for name in "append extend insert pop clear reverse _set_item Delete".split())

#: They write to statistics that they are given, and their schemas do not say so.
_UNTOLD = frozenset(
    f"aten::{name}"
    for name in "batch_norm_update_stats batch_norm_gather_stats batch_norm_gather_stats_with_counts".split()
)

#: Operators of exported programs that write to their arguments only while training say so in an argument.
TRAINS = frozenset({"train", "training", "use_input_stats"})


def script_writes_inputs(graph: torch._C.Graph) -> bool:
    """Whether TorchScript, with all that it calls inlined, may write to what it is given."""
    return _any_writes(graph.nodes())


def program_writes_inputs(exported: ExportedProgram) -> bool:
    """Whether an exported program may write to what it is given."""
    if exported.graph_signature.user_inputs_to_mutate:
        return True
    graphs = (module.graph for module in exported.graph_module.modules() if isinstance(module, torch.fx.GraphModule))
    return any(_call_writes(node) for graph in graphs for node in graph.nodes if node.op == "call_function")


def may_write(node: torch.fx.Node) -> bool:
    """Whether what a node of an exported program calls writes to one of its arguments."""
    if not isinstance(node.target, torch._ops.OpOverload):
        return False
    given = _arguments(node)
    schema = node.target._schema
    return schema.is_mutable or schema.name in _UNTOLD or any(given.get(flag, False) is not False for flag in TRAINS)


def _any_writes(nodes: Iterable[torch._C.Node]) -> bool:
    return any(_node_writes(node) or any(_any_writes(block.nodes()) for block in node.blocks()) for node in nodes)


def _node_writes(node: torch._C.Node) -> bool:
    if node.kind() in UNSEEN or node.kind() in _UNTOLD or updates_statistics(node):
        return True
    schema = node.schema()
    if "!" not in schema or node.kind() in _LISTS:
        return False
    arguments = torch._C.parse_schema(schema).arguments
    written = [at for at, argument in enumerate(arguments) if argument.alias_info and argument.alias_info.is_write]
    return not all(_is_new(node.inputsAt(at)) for at in written)


def _is_new(value: torch._C.Value) -> bool:
    """Whether a value of TorchScript is the model's own, or made anew, be it after writes to it, which return it."""
    node = value.node()
    while node.kind().endswith("_") and "!" in node.schema():
        node = node.inputsAt(0).node()
    return node.kind() == _OWN or node.kind() in _FRESH


def _call_writes(node: torch.fx.Node) -> bool:
    if isinstance(node.target, torch._ops.HigherOrderOperator):
        return True
    if not isinstance(node.target, torch._ops.OpOverload) or not may_write(node):
        return False
    given = _arguments(node)
    written = [
        given.get(each.name) for each in node.target._schema.arguments if each.alias_info and each.alias_info.is_write
    ]
    return not written or not all(isinstance(each, torch.fx.Node) and _is_made_new(each) for each in written)


def _is_made_new(node: torch.fx.Node) -> bool:
    """The same of a node of an exported program."""
    while isinstance(node.target, torch._ops.OpOverload):
        schema = node.target._schema
        if schema.name in _FRESH:
            return True
        if not schema.is_mutable or not schema.name.endswith("_") or not isinstance(node.args[0], torch.fx.Node):
            return False
        node = node.args[0]
    return False


def _arguments(node: torch.fx.Node) -> dict[str, object]:
    """What an operator is called with, by name."""
    if not isinstance(node.target, torch._ops.OpOverload):
        return {}
    names = (argument.name for argument in node.target._schema.arguments)
    return {**dict(zip(names, node.args, strict=False)), **node.kwargs}
