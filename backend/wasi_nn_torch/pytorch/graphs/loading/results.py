"""The descriptions of the outputs of an exported program, which keeps their dtypes and shapes."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch.export import ExportedProgram
from torch.export.graph_signature import ConstantArgument, OutputKind

from wasi_nn_torch.contract.description import ValueDescription
from wasi_nn_torch.pytorch.dtypes import spell_dtype
from wasi_nn_torch.pytorch.graphs.inputs.parameters import Kind
from wasi_nn_torch.pytorch.graphs.loading.paths import output_paths

_SINGLE = "output"
#: The tensor that a guest gets for each type of number.
_NUMBERS = (
    (torch.SymBool, Kind.BOOLEAN, torch.uint8),
    (bool, Kind.BOOLEAN, torch.uint8),
    (torch.SymInt, Kind.INTEGER, torch.int64),
    (int, Kind.INTEGER, torch.int64),
    (torch.SymFloat, Kind.FLOAT, torch.float64),
    (float, Kind.FLOAT, torch.float64),
)


def outputs_of(exported: ExportedProgram) -> tuple[ValueDescription, ...]:
    """The outputs of a program, under the names that a guest uses."""
    return tuple(_outputs(exported))


def _outputs(exported: ExportedProgram) -> Iterator[ValueDescription]:
    values = {node.name: node.meta.get("val") for node in exported.graph.nodes}
    specs = exported.graph_signature.output_specs
    wanted = [spec.arg for spec in specs if spec.kind in (OutputKind.USER_OUTPUT, OutputKind.LOSS_OUTPUT)]
    results = [each.value if isinstance(each, ConstantArgument) else values.get(each.name) for each in wanted]
    for path, value in zip(output_paths(exported), results, strict=True):
        if value is not None:
            yield _output(".".join(path) or _SINGLE, value)


def _output(name: str, value: object) -> ValueDescription:
    if isinstance(value, torch.Tensor):
        shape = tuple(size if isinstance(size, int) else str(size) for size in value.shape)
        return ValueDescription(name, Kind.TENSOR.value, spell_dtype(value.dtype), shape)
    for number, kind, dtype in _NUMBERS:
        if isinstance(value, number):
            return ValueDescription(name, kind.value, spell_dtype(dtype), (1,))
    return ValueDescription(name, type(value).__name__)
