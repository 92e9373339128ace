"""The description of an exported program, which keeps the dtypes and shapes of all inputs and outputs."""

from __future__ import annotations

import operator
from collections.abc import Iterator

import torch
from torch.export import ExportedProgram
from torch.export.graph_signature import ConstantArgument
from torch.utils._sympy.numbers import int_oo

from wasi_nn_torch.contract.description import Contents
from wasi_nn_torch.pytorch.describing import describe_parameter
from wasi_nn_torch.pytorch.devices import CPU
from wasi_nn_torch.pytorch.graphs.computing.program import is_changed
from wasi_nn_torch.pytorch.graphs.loading.exported import inputs_of, reading, signature_of
from wasi_nn_torch.pytorch.graphs.loading.results import outputs_of
from wasi_nn_torch.pytorch.graphs.loading.shared import Source
from wasi_nn_torch.pytorch.graphs.loading.writing import may_write
from wasi_nn_torch.pytorch.inspecting.values import describe_left_out, describe_weights

#: The arguments that operators write to if a flag among their arguments says so.
_RUNNING = frozenset({"running_mean", "running_var"})


def contents(source: Source, name: str) -> Contents:
    """The inputs, outputs and weights of a program, which is loaded; raises ModelError."""
    with reading(source, CPU, name) as exported:
        tensors = [*exported.state_dict.values(), *exported.constants.values()]
        signature = signature_of(list(inputs_of(exported, name)))
        return Contents(
            inputs=tuple(map(describe_parameter, signature.inputs)),
            left_out=describe_left_out(signature),
            outputs=outputs_of(exported),
            sizes=_sizes(exported),
            parameters=sum(parameter.numel() for parameter in exported.parameters()),
            weights=describe_weights(tensor for tensor in tensors if isinstance(tensor, torch.Tensor)),
            state=_state(exported),
        )


def _sizes(exported: ExportedProgram) -> dict[str, tuple[int | None, int | None]]:
    """The bounds of the sizes that may vary."""
    ranges = exported.range_constraints.items()
    return {str(symbol): (_bound(bounds.lower), _bound(bounds.upper)) for symbol, bounds in ranges}


def _bound(value: object) -> int | None:
    return None if value in (int_oo, -int_oo) else int(str(value))


# --- what changes ---


def _state(exported: ExportedProgram) -> tuple[str, ...] | None:
    """The names of the buffers and constants that are written to; None if that cannot be determined."""
    parts = [part for part in exported.graph_module.modules() if isinstance(part, torch.fx.GraphModule)]
    if any(may_write(node) for part in parts[1:] for node in part.graph.nodes if node.op == "call_function"):
        return None  # a branch or a loop writes to values that other nodes pass to it
    specs = [spec for spec in exported.graph_signature.input_specs if is_changed(spec.kind)]
    names = {spec.arg.name: str(spec.target) for spec in specs if not isinstance(spec.arg, ConstantArgument)}
    written = [origin for node in exported.graph.nodes for each in _written(node) for origin in _origins(each)]
    changed = {*exported.graph_signature.buffers_to_mutate.values(), *(names[at] for at in written if at in names)}
    return tuple(sorted(changed))


def _written(node: torch.fx.Node) -> Iterator[object]:
    """The arguments that a node writes to."""
    if node.op != "call_function" or not may_write(node):
        return
    arguments = list(_arguments(node))
    marked = [value for argument, value in arguments if argument.alias_info is not None and argument.is_write]
    yield from marked or (value for argument, value in arguments if argument.name in _RUNNING)


def _origins(value: object) -> Iterator[str]:
    """The names of the placeholders whose memory a value shares."""
    if not isinstance(value, torch.fx.Node):
        return
    if value.op == "placeholder":
        yield value.name
    elif value.target is operator.getitem:
        yield from _origins(value.args[0])
    elif value.op == "call_function":
        for argument, given in _arguments(value):
            if argument.alias_info is not None:
                yield from _origins(given)


def _arguments(node: torch.fx.Node) -> Iterator[tuple[torch._C.Argument, object]]:
    """The arguments of a call of an operator, each with its value; empty for other functions."""
    if not isinstance(node.target, torch._ops.OpOverload):
        return
    for position, argument in enumerate(node.target._schema.arguments):
        if position < len(node.args):
            yield argument, node.args[position]
        elif argument.name in node.kwargs:
            yield argument, node.kwargs[argument.name]
