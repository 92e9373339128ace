"""The paths of the inputs and outputs of an exported program, from which their names are made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch.export import ExportedProgram
from torch.utils import _pytree as pytree

from wasi_nn_torch.pytorch.graphs.inputs.structure import Path, call_paths, paths_of


def input_paths(exported: ExportedProgram) -> list[str]:
    """The names of all inputs in their order."""
    signature = exported.module_call_graph[0].signature
    names = list(signature.forward_arg_names or ()) if signature is not None else []
    spec = pytree.treespec_dumps(exported.call_spec.in_spec)
    return [".".join(path) for path in call_paths(spec, names, _fields(exported))]


def output_paths(exported: ExportedProgram) -> list[Path]:
    """The path of each output, in order."""
    spec = exported.call_spec.out_spec
    return [] if spec is None else paths_of(pytree.treespec_dumps(spec), _fields(exported))


def _fields(exported: ExportedProgram) -> Mapping[str, Sequence[str]]:
    """The fields of the NamedTuples that the program takes and returns, by the names of their classes."""
    fields: Mapping[str, Sequence[str]] = exported.graph_module.meta.get("treespec_namedtuple_fields", {})
    return fields
