"""Loading TorchScript, from a file or from bytes."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch

from wasi_nn_torch.contract.errors import ModelError
from wasi_nn_torch.contract.text import quote, quote_all
from wasi_nn_torch.pytorch.graphs.computing.graph import Graph
from wasi_nn_torch.pytorch.graphs.computing.state import FORWARD, instances_of
from wasi_nn_torch.pytorch.graphs.inputs.parameters import Argument
from wasi_nn_torch.pytorch.graphs.inputs.script_types import argument_of
from wasi_nn_torch.pytorch.graphs.inputs.signature import LeftOut, Signature
from wasi_nn_torch.pytorch.graphs.loading.rewriting import prepare
from wasi_nn_torch.pytorch.graphs.loading.shared import Source, loading, not_for_guests
from wasi_nn_torch.pytorch.graphs.loading.traced import with_traced
from wasi_nn_torch.pytorch.graphs.loading.writing import script_writes_inputs
from wasi_nn_torch.pytorch.graphs.optimizing.freezing import optimized, size_of_module
from wasi_nn_torch.pytorch.graphs.optimizing.steps import Steps

_ADVICE = "save the whole model as TorchScript: torch.jit.save(torch.jit.script(model), path)"
_BROKEN = "a broken TorchScript archive ({gist}); " + _ADVICE

_UNCOMPILED = (
    "{name} is TorchScript, which cannot be compiled; export the module instead, with "
    "torch.export.save(torch.export.export(model, inputs), path), or choose the option to freeze it"
)


def load(source: Source, device: torch.device, name: str, steps: Steps, method: str = FORWARD) -> Graph:
    """Load a model on `device`, in evaluation mode and without gradients, and take the steps that make it faster.

    Error texts call the source `name`; `method` is the method that is computed. Raises ModelError if the source is
    broken, has no such method, or takes arguments that no guest can give; ModelTooLarge if there is not enough memory;
    OSError if the source cannot be read.
    """
    if steps.compile:
        raise ModelError(_UNCOMPILED.format(name=name))
    module = read(source, device, name, method)
    signature = with_traced(signature_of(module._c._get_method(method).schema, name), source, method)
    with loading(device, name, _BROKEN):
        prepare(module, method, device, name)
        module, is_laid_out = optimized(module, steps, name, method)
    nbytes = size_of_module(module)  # before the parameters are removed
    writes_inputs = script_writes_inputs(module._c._get_method(method).inlined_graph)
    instance, state_nbytes = instances_of(module, method)
    return Graph(instance, device, signature, nbytes, is_laid_out, state_nbytes, writes_inputs)


def read(source: Source, device: torch.device, name: str, method: str = FORWARD) -> torch.jit.ScriptModule:
    """Load a module that has the method, in evaluation mode and without gradients; raises as `load` does."""
    file = source if isinstance(source, Path) else io.BytesIO(source)
    with loading(device, name, _BROKEN):
        module: torch.jit.ScriptModule = torch.jit.load(file, map_location=device)  # type: ignore[no-untyped-call]  # upstream
    if method not in methods_of(module):
        raise no_method(name, method, methods_of(module), _ADVICE)
    module.eval()
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    return module


def methods_of(module: torch.jit.ScriptModule) -> list[str]:
    """The methods that can be computed, without those that save and load the module."""
    return in_order(each for each in module._c._method_names() if not each.startswith("__"))


def in_order(methods: Iterable[str]) -> list[str]:
    """The distinct names of methods in the order for texts: `forward` first."""
    return sorted(set(methods), key=lambda method: (method != FORWARD, method))


def no_method(name: str, method: str, there: Sequence[str], advice: str) -> ModelError:
    """The error for a method that does not exist; `advice` is what to do if there are no methods at all."""
    if not there:
        return ModelError(f"{name} has no method {quote(method)}, and no other method to compute; {advice}")
    return ModelError(
        f"{name} has no method {quote(method)}; it has {quote_all(there)}: choose one, with "
        f'register(…, method="{there[0]}") or --graph NAME=PATH,method={there[0]}'
    )


def signature_of(schema: torch._C.FunctionSchema, name: str) -> Signature:
    """The arguments of a method that a guest can give; raises ModelError if the method requires others."""
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
