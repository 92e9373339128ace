"""The detection of computations that may write to their inputs, which a guest may want to use again.

For the code of a model, TorchScript or an exported program, the result is False only if every write goes to memory that
an earlier operator allocated. A needless True is safe: the model then gets copies of inputs that are kept. Alias
annotations are not sufficient: some operators return their argument itself without declaring it.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch.export import ExportedProgram

from wasi_nn_torch.pytorch.graphs.computing.state import UNSEEN, updates_statistics
from wasi_nn_torch.pytorch.graphs.optimizing.layout import CONVOLUTIONS

#: Operators that always return new memory.
_FRESH = CONVOLUTIONS | frozenset(
    f"aten::{name}"
    for name in "conv1d conv3d linear matmul mm bmm addmm batch_norm layer_norm add sub mul div cat relu".split()
)
#: Reads an attribute of the model, which is not an input as long as nothing sets attributes.
_OWN = "prim::GetAttr"
#: Operators that write to a list, but not to the tensors in it.
_LISTS = frozenset(f"aten::{name}" for name in "append extend insert pop clear reverse _set_item Delete".split())

#: Operators that write to statistics among their arguments, although their schemas do not declare it.
_UNTOLD = frozenset(
    f"aten::{name}"
    for name in "batch_norm_update_stats batch_norm_gather_stats batch_norm_gather_stats_with_counts".split()
)

#: The flags of operators in exported programs that write to their arguments only during training.
TRAINS = frozenset({"train", "training", "use_input_stats"})


def script_writes_inputs(graph: torch._C.Graph) -> bool:
    """Whether TorchScript, with all calls inlined, may write to its inputs."""
    return _any_writes(graph.nodes())


def program_writes_inputs(exported: ExportedProgram) -> bool:
    """Whether an exported program may write to its inputs."""
    if exported.graph_signature.user_inputs_to_mutate:
        return True
    graphs = (module.graph for module in exported.graph_module.modules() if isinstance(module, torch.fx.GraphModule))
    return any(_call_writes(node) for graph in graphs for node in graph.nodes if node.op == "call_function")


def may_write(node: torch.fx.Node) -> bool:
    """Whether the operator that a node of an exported program calls may write to one of its arguments."""
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
    """Whether a value of TorchScript belongs to the model or was newly allocated, perhaps with later writes to it."""
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
    """Whether the result of a node of an exported program was newly allocated, perhaps with later writes to it."""
    while isinstance(node.target, torch._ops.OpOverload):
        schema = node.target._schema
        if schema.name in _FRESH:
            return True
        if not schema.is_mutable or not schema.name.endswith("_") or not isinstance(node.args[0], torch.fx.Node):
            return False
        node = node.args[0]
    return False


def _arguments(node: torch.fx.Node) -> dict[str, object]:
    """The arguments of a call of an operator, by name."""
    if not isinstance(node.target, torch._ops.OpOverload):
        return {}
    names = (argument.name for argument in node.target._schema.arguments)
    return {**dict(zip(names, node.args, strict=False)), **node.kwargs}
