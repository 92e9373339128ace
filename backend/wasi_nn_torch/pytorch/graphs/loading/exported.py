"""Loading exported programs (torch.export), from a file or from bytes."""

from __future__ import annotations

import io
import linecache
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path as FilePath

import torch
from torch.export import ExportedProgram
from torch.export.graph_signature import (
    ConstantArgument,
    InputKind,
    InputSpec,
    SymBoolArgument,
    SymFloatArgument,
    SymIntArgument,
    TensorArgument,
)
from torch.export.passes import move_to_device_pass
from torch.fx.graph_module import _loader
from torch.utils import _pytree as pytree

from wasi_nn_torch.contract.errors import ModelError
from wasi_nn_torch.contract.text import quote
from wasi_nn_torch.contract.warm_up import Example
from wasi_nn_torch.pytorch.graphs.computing.graph import Graph
from wasi_nn_torch.pytorch.graphs.computing.program import Input, Program, is_changed
from wasi_nn_torch.pytorch.graphs.inputs.parameters import Kind, Parameter
from wasi_nn_torch.pytorch.graphs.inputs.signature import LeftOut, Signature
from wasi_nn_torch.pytorch.graphs.inputs.structure import standing_in
from wasi_nn_torch.pytorch.graphs.loading import compiling
from wasi_nn_torch.pytorch.graphs.loading.paths import input_paths, output_paths
from wasi_nn_torch.pytorch.graphs.loading.results import outputs_of
from wasi_nn_torch.pytorch.graphs.loading.shared import Source, loading, not_for_guests
from wasi_nn_torch.pytorch.graphs.loading.writing import may_write, program_writes_inputs
from wasi_nn_torch.pytorch.graphs.optimizing.folding import fold
from wasi_nn_torch.pytorch.graphs.optimizing.steps import Steps
from wasi_nn_torch.pytorch.graphs.recognizing.program_archive import classes_in, loadable
from wasi_nn_torch.pytorch.ownership import size_of

logger = logging.getLogger(__name__)

_ADVICE = "export and save it with this version of PyTorch: torch.export.save(torch.export.export(model, inputs), path)"
_BROKEN = "an exported program that cannot be loaded ({gist}); " + _ADVICE

#: The operators that only print; PyTorch 2.9 does not have the second.
_SAYING = [
    torch.ops.aten._print.default,
    *([torch.ops.higher_order.print] if hasattr(torch.ops.higher_order, "print") else []),
]

_KINDS = ((SymIntArgument, Kind.INTEGER), (SymFloatArgument, Kind.FLOAT), (SymBoolArgument, Kind.BOOLEAN))
_KINDS_OF_CONSTANTS = {bool: Kind.BOOLEAN, int: Kind.INTEGER, float: Kind.FLOAT}


def load(source: Source, device: torch.device, name: str, steps: Steps) -> Graph:
    """Load a program on `device`, and take the steps that make it faster.

    Error texts call the source `name`. Raises ModelError if it is broken, needs operators that are missing, takes
    arguments that no guest can give, or cannot be compiled; ModelTooLarge if there is not enough memory; OSError if it
    cannot be read.
    """
    package: bytes | None = None
    with reading(source, device, name) as exported:
        if not steps.compile:
            _forget_samples(exported)
        exported = _moved(exported, device)
        _silence(exported, name)
        if steps.compile:
            package = compiling.compiled(exported, device, name)
            _forget_samples(exported)
        writes_inputs = program_writes_inputs(exported)
        outputs = outputs_of(exported)
        program, is_laid_out = _program(exported, name, steps)
        examples = _examples(exported)
    signature = signature_of(program.inputs)
    if package is not None:
        instance = compiling.instances_of(program, package, device, name)
        state = len(package) if program.state else 0
        return Graph(instance, device, signature, len(package), False, state, writes_inputs, examples, outputs)
    nbytes = size_of(tensor for tensor in program.tensors if tensor is not None)
    if program.state:
        state = size_of(tensor for tensor in map(program.tensors.__getitem__, program.state) if tensor is not None)
        return Graph(program.instance, device, signature, nbytes, is_laid_out, state, writes_inputs, examples, outputs)
    shared = program.instance()
    return Graph(lambda: shared, device, signature, nbytes, is_laid_out, 0, writes_inputs, examples, outputs)


@contextmanager
def reading(source: Source, device: torch.device, name: str) -> Iterator[ExportedProgram]:
    """Read a program from a file or from bytes, as it was saved; exceptions inside are turned into those of `load`."""
    opened = source.open("rb") if isinstance(source, FilePath) else nullcontext(io.BytesIO(source))
    with loading(device, name, _BROKEN), _forgetting_sources(), opened as file:
        classes = classes_in(file)
        readable = loadable(file, classes)
        with standing_in(classes.taken | classes.returned, classes.fields):
            yield torch.export.load(readable)


def _moved(exported: ExportedProgram, device: torch.device) -> ExportedProgram:
    if _devices(exported) <= {device}:
        return exported
    exported = move_to_device_pass(exported, device)
    for part in exported.graph_module.modules():
        if isinstance(part, torch.fx.GraphModule):
            part.recompile()  # the pass changes devices in the graph, but not in the code generated from it
    return exported


def _silence(exported: ExportedProgram, name: str) -> None:
    """Remove the operators that print to standard output, which belongs to the guest."""
    parts = [part for part in exported.graph_module.modules() if isinstance(part, torch.fx.GraphModule)]
    saying = [(part, node) for part in parts for node in part.graph.nodes if node.target in _SAYING and not node.users]
    for part, node in saying:
        part.graph.erase_node(node)
        part.recompile()
    if saying:
        logger.info("removed %d print statements from %s", len(saying), name)


def _devices(exported: ExportedProgram) -> set[torch.device]:
    """Every device that the program names."""
    parts = [part for part in exported.graph_module.modules() if isinstance(part, torch.fx.GraphModule)]
    nodes = [node for part in parts for node in part.graph.nodes]
    named = [value for node in nodes for value in (*node.args, *node.kwargs.values())]
    values = [*(node.meta.get("val") for node in nodes), *exported.state_dict.values(), *exported.constants.values()]
    return {value for value in named if isinstance(value, torch.device)} | {
        value.device for value in pytree.tree_leaves(values) if isinstance(value, torch.Tensor)
    }


@contextmanager
def _forgetting_sources() -> Iterator[None]:
    """Release the source of the code that PyTorch generates for each program, which it would keep indefinitely."""
    sources = _loader.eval_cache
    before = set(sources)
    try:
        yield
    finally:
        for key in set(sources) - before:
            sources.pop(key, None)
            linecache.cache.pop(key, None)


def _forget_samples(exported: ExportedProgram) -> None:
    """Replace the inputs that the program was exported with by zeros; without any, PyTorch makes no guards."""
    spec = exported.call_spec.in_spec
    exported.example_inputs = pytree.tree_unflatten([0] * spec.num_leaves, spec)


def _program(exported: ExportedProgram, name: str, steps: Steps) -> tuple[Program, bool]:
    """The program, and whether its weights are laid out with channels last."""
    specs = exported.graph_signature.input_specs
    tensors = [_tensor(spec, exported, name) for spec in specs]
    writes = _may_remember(exported)
    state = [index for index, spec in enumerate(specs) if is_changed(spec.kind)] if writes else []
    _take_tensors(exported)
    guards = next((child for at, child in exported.module().named_children() if at == "_guards_fn"), None)
    is_laid_out = fold(exported.graph_module, tensors, steps, writes)
    program = Program(
        code=exported.graph_module,
        guards=guards,
        tensors=tensors,
        state=state,
        names={str(spec.target): index for index, spec in enumerate(specs) if spec.kind is InputKind.BUFFER},
        inputs=list(inputs_of(exported, name)),
        outputs=exported.graph_signature.output_specs,
        paths=output_paths(exported),
    )
    return program, is_laid_out


def _tensor(spec: InputSpec, exported: ExportedProgram, name: str) -> torch.Tensor | None:
    """The tensor that the code takes as one argument, or None if the argument is an input."""
    if spec.kind is InputKind.USER_INPUT:
        return None
    at = str(spec.target)
    tensor = exported.state_dict[at] if at in exported.state_dict else exported.constants[at]
    if not isinstance(tensor, torch.Tensor):
        raise ModelError(f"{name} needs {quote(at)}, which is not a tensor; {_ADVICE}")
    return tensor.detach()


def _take_tensors(exported: ExportedProgram) -> None:
    """Replace all tensors in the program by their shapes, since its reference cycles would keep their memory."""
    for tensors in (exported.state_dict, exported.constants):
        for at, tensor in tensors.items():
            if isinstance(tensor, torch.nn.Parameter):
                tensors[at] = torch.nn.Parameter(tensor.detach().to("meta"), requires_grad=False)
            elif isinstance(tensor, torch.Tensor):
                tensors[at] = tensor.detach().to("meta")


def _may_remember(exported: ExportedProgram) -> bool:
    """Whether anything is written in place, even to an activation: an unnecessary copy is safe."""
    if exported.graph_signature.buffers_to_mutate:
        return True
    graphs = (module.graph for module in exported.graph_module.modules() if isinstance(module, torch.fx.GraphModule))
    return any(may_write(node) for graph in graphs for node in graph.nodes if node.op == "call_function")


def inputs_of(exported: ExportedProgram, name: str) -> Iterator[Input]:
    """The inputs, named after their parameters; the parts of a parameter by path, "images.0". Raises ModelError."""
    values = {node.name: node.meta.get("val") for node in exported.graph.nodes if node.op == "placeholder"}
    specs = [spec.arg for spec in exported.graph_signature.input_specs if spec.kind is InputKind.USER_INPUT]
    paths = input_paths(exported)
    if len(specs) != len(paths):
        raise ModelError(f"{name} has inputs that do not match its signature; {_ADVICE}")
    for path, spec in zip(paths, specs, strict=True):
        yield _input(path, spec, values, name)


def _examples(exported: ExportedProgram) -> dict[str, Example]:
    """The sizes of the tensors that the program was exported with, and the numbers that may vary."""
    values = {node.name: node.meta.get("val") for node in exported.graph.nodes if node.op == "placeholder"}
    specs = [spec.arg for spec in exported.graph_signature.input_specs if spec.kind is InputKind.USER_INPUT]
    examples: dict[str, Example] = {}
    for path, spec in zip(input_paths(exported), specs, strict=True):
        value = None if isinstance(spec, ConstantArgument) else values.get(spec.name)
        if isinstance(value, torch.Tensor):
            examples[path] = tuple(_example(size, exported) for size in value.shape)
        elif isinstance(value, torch.SymInt | int):
            examples[path] = (_example(value, exported),)
    return examples


def _example(size: int | torch.SymInt, exported: ExportedProgram) -> int:
    """The size that the program was exported with, or the smallest allowed one if that is unknown."""
    if not isinstance(size, torch.SymInt):
        return int(size)
    if size.node.hint is not None:
        return int(size.node.hint)
    bounds = exported.range_constraints.get(size.node.expr)
    return 1 if bounds is None else max(1, int(bounds.lower))


def signature_of(inputs: Sequence[Input]) -> Signature:
    """The inputs of a program that a guest can give, and those that keep their values."""
    kept = [LeftOut(each.parameter.name, type(each.value).__name__) for each in inputs if not each.is_offered]
    return Signature(tuple(each.parameter for each in inputs if each.is_offered), tuple(kept))


def _input(path: str, spec: object, values: dict[str, object], name: str) -> Input:
    if isinstance(spec, TensorArgument):
        value = values[spec.name]
        if not isinstance(value, torch.Tensor):
            raise ModelError(f"{name} does not describe its input {quote(path)}; {_ADVICE}")
        shape = tuple(size if isinstance(size, int) else str(size) for size in value.shape)
        return Input(Parameter(path, Kind.TENSOR, dtype=value.dtype, shape=shape))
    for argument, kind in _KINDS:
        if isinstance(spec, argument):
            return Input(Parameter(path, kind))
    if isinstance(spec, ConstantArgument):
        of_constant = _KINDS_OF_CONSTANTS.get(type(spec.value))
        parameter = Parameter(path, of_constant or Kind.TENSOR, optional=True)
        return Input(parameter, is_offered=of_constant is not None, value=spec.value)
    raise not_for_guests(name, path, type(spec).__name__)
