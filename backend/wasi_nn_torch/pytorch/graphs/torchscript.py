"""Loading TorchScript: from a file of the operator, or from bytes."""

import io
from pathlib import Path

import torch

from wasi_nn_torch.errors import ModelError
from wasi_nn_torch.pytorch.graphs.freezing import optimized, size_of_module
from wasi_nn_torch.pytorch.graphs.graph import Graph
from wasi_nn_torch.pytorch.graphs.loading import Source, loading, not_for_guests
from wasi_nn_torch.pytorch.graphs.optimizing import Steps
from wasi_nn_torch.pytorch.graphs.parameters import Argument
from wasi_nn_torch.pytorch.graphs.script_types import argument_of
from wasi_nn_torch.pytorch.graphs.signature import LeftOut, Signature
from wasi_nn_torch.pytorch.graphs.state import instances_of
from wasi_nn_torch.pytorch.graphs.traced import with_traced

_ADVICE = "save the whole model as TorchScript: torch.jit.save(torch.jit.script(model), path)"
_BROKEN = "a broken TorchScript archive ({gist}); " + _ADVICE

_UNCOMPILED = (
    "{name} is TorchScript, which cannot be compiled; export the module instead, with "
    "torch.export.save(torch.export.export(model, inputs), path), or ask for it to be frozen"
)


def load(source: Source, device: torch.device, name: str, steps: Steps) -> Graph:
    """Load a model on `device`, in evaluation mode and without gradients, after the steps that make it faster.

    `name` is what a text calls the source. Raises ModelError if it is broken, or takes arguments that no guest can
    give; ModelTooLarge if memory does not suffice; OSError if it cannot be read.
    """
    if steps.compile:
        raise ModelError(_UNCOMPILED.format(name=name))
    module = read(source, device, name)
    signature = with_traced(signature_of(module._c._get_method("forward").schema, name), source)
    with loading(device, name, _BROKEN):
        module, is_laid_out = optimized(module, steps, name)
    nbytes = size_of_module(module)  # before the parameters are taken out
    instance, state_nbytes = instances_of(module)
    return Graph(instance, device, signature, nbytes, is_laid_out, state_nbytes)


def read(source: Source, device: torch.device, name: str) -> torch.jit.ScriptModule:
    """Load a module, which has a method `forward`, in evaluation mode and without gradients; raises as `load` does."""
    file = source if isinstance(source, Path) else io.BytesIO(source)
    with loading(device, name, _BROKEN):
        module: torch.jit.ScriptModule = torch.jit.load(file, map_location=device)  # type: ignore[no-untyped-call]  # upstream
    if not module._c._has_method("forward"):
        raise ModelError(f"{name} has no method `forward` that could be computed; {_ADVICE}")
    module.eval()
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    return module


def signature_of(schema: torch._C.FunctionSchema, name: str) -> Signature:
    """Return what a guest can give for the arguments of `forward`; raises ModelError where it needs something else."""
    parameters: list[Argument] = []
    left_out: list[LeftOut] = []
    for argument in schema.arguments[1:]:  # the first is `self`
        has_default = argument.has_default_value()
        parameter = argument_of(argument.type, argument.name, has_default)
        if parameter is not None:
            parameters.append(parameter)
        elif has_default:
            left_out.append(LeftOut(argument.name, argument.type.annotation_str))
        else:
            raise not_for_guests(name, argument.name, argument.type.annotation_str)
    return Signature(tuple(parameters), tuple(left_out))
