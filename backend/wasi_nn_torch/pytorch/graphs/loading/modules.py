"""Offering a live `torch.nn.Module` of the operator to guests."""

from __future__ import annotations

import copy
import inspect
import io
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch

from wasi_nn_torch.contract.errors import ErrorCode, ModelError, NnError
from wasi_nn_torch.contract.policy import Optimize
from wasi_nn_torch.contract.text import quote, quote_all
from wasi_nn_torch.pytorch.graphs.computing.graph import Graph
from wasi_nn_torch.pytorch.graphs.computing.state import FORWARD, Model, bound
from wasi_nn_torch.pytorch.graphs.inputs.annotations import argument_of
from wasi_nn_torch.pytorch.graphs.inputs.parameters import Argument
from wasi_nn_torch.pytorch.graphs.inputs.signature import LeftOut, Signature
from wasi_nn_torch.pytorch.graphs.loading import torchscript
from wasi_nn_torch.pytorch.graphs.loading.declaring import with_dtypes
from wasi_nn_torch.pytorch.graphs.loading.shared import loading, not_for_guests
from wasi_nn_torch.pytorch.graphs.optimizing.steps import steps_for
from wasi_nn_torch.pytorch.ownership import size_of

_BROKEN = "a module that cannot be copied ({gist}); export it instead: torch.export.save(…)"
_UNSCRIPTED = (
    "a module that cannot be frozen, because it cannot be converted to TorchScript ({gist}); trace it, or export it: "
    "torch.export.save(…)"
)
_UNCOMPILED = (
    "{name} is a module, which cannot be compiled because it does not describe its inputs; export it instead, with "
    "torch.export.save(torch.export.export(module, inputs), path), or choose the option to freeze it"
)
_GATHERING = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def load(
    module: torch.nn.Module,
    device: torch.device,
    name: str,
    optimize: Optimize | None = None,
    method: str = FORWARD,
) -> Graph:
    """Offer a module on `device`, in evaluation mode and without gradients; the operator's module does not change.

    On the device that the parameters are on, they are shared with the module, so guests see later changes; on another
    device they are copied once. Buffers and other attributes are copied for each context. A module to be frozen is
    converted to TorchScript, with its own weights. `method` is the method that is computed.

    Raises ModelError if the module has no such method, takes arguments that no guest can give, or cannot be copied or
    optimized; ModelTooLarge if there is not enough memory.
    """
    if isinstance(module, torch.jit.ScriptModule):
        return torchscript.load(_saved(module, device, name), device, name, steps_for(optimize, device), method)
    if method not in _methods(module):
        raise torchscript.no_method(name, method, _methods(module), "offer a module that has one")
    if optimize is Optimize.COMPILE:
        raise ModelError(_UNCOMPILED.format(name=name))
    if optimize is Optimize.FREEZE:
        scripted = _scripted(module, device, name, method)
        graph = torchscript.load(scripted, device, name, steps_for(optimize, device), method)
        told = {each.name: each.dtype for each in _signature(getattr(module, method), name).inputs if each.dtype}
        return replace(graph, signature=with_dtypes(graph.signature, told))
    signature = _signature(getattr(module, method), name)
    with loading(device, name, _BROKEN):
        own = _copy(module, lambda parameter: _frozen(parameter, device)).to(device).eval()
        if _moved(module, device) or not any(True for _ in module.parameters()):
            _move_attributes(own, device)
    kept = [*own.buffers(), *(own.parameters() if _moved(module, device) else ())]
    state_nbytes = size_of(own.buffers())
    by_position = _by_position(getattr(module, method))

    def instance() -> Model:
        model = bound(_copy(own, lambda parameter: parameter), method)
        return _Positional(model, by_position) if by_position else model

    return Graph(instance, device, signature, size_of(kept), state_nbytes=state_nbytes, may_remember=True)


def _methods(module: torch.nn.Module) -> list[str]:
    """The public methods of the module's own classes, and `forward` wherever it is defined."""
    has_forward = getattr(module.forward, "__name__", FORWARD) != torch.nn.Module.forward.__name__
    classes = [each for each in type(module).__mro__ if each not in torch.nn.Module.__mro__]
    defined = [name for each in classes for name, value in vars(each).items() if inspect.isfunction(value)]
    public = [name for name in defined if not name.startswith("_")]
    return torchscript.in_order([*([FORWARD] if has_forward else []), *public])


def _copy(module: torch.nn.Module, replace: Callable[[torch.nn.Parameter], torch.nn.Parameter]) -> torch.nn.Module:
    return copy.deepcopy(module, {id(parameter): replace(parameter) for parameter in module.parameters()})


def _frozen(parameter: torch.nn.Parameter, device: torch.device) -> torch.nn.Parameter:
    return torch.nn.Parameter(parameter.detach().to(device), requires_grad=False)


def _move_attributes(module: torch.nn.Module, device: torch.device) -> None:
    """Move what `Module.to` leaves behind: tensors and devices in attributes, also inside lists, tuples and dicts."""
    for part in module.modules():
        for name, value in vars(part).items():
            if not name.startswith("_"):
                vars(part)[name] = _moved_value(value, device)


def _moved_value(value: object, device: torch.device) -> object:
    if isinstance(value, torch.device):
        return value if value.type == "meta" else device
    if isinstance(value, torch.Tensor):
        return value.to(device)
    if type(value) in (list, tuple):
        return type(value)(_moved_value(each, device) for each in value)  # type: ignore[call-arg, attr-defined]  # one of the two
    if type(value) is dict:
        return {key: _moved_value(each, device) for key, each in value.items()}
    return value


def _moved(module: torch.nn.Module, device: torch.device) -> bool:
    """Whether the parameters on `device` are copies, rather than the operator's own."""
    return any(parameter.device != device for parameter in module.parameters())


def _saved(module: torch.jit.ScriptModule, device: torch.device, name: str) -> bytes:
    file = io.BytesIO()
    with loading(device, name, _BROKEN):
        torch.jit.save(module, file)
    return file.getvalue()


def _scripted(module: torch.nn.Module, device: torch.device, name: str, method: str) -> bytes:
    with loading(device, name, _UNSCRIPTED):
        own = _copy(module, lambda parameter: parameter).eval()
        scripted = torch.jit.script(own)
        if not scripted._c._has_method(method):
            raise ModelError(
                f"{name} cannot be frozen, because TorchScript leaves out its method {quote(method)}; decorate the "
                "method with @torch.jit.export, or leave out the option to freeze the model"
            )
        return _saved(scripted, device, name)


def _signature(method: Callable[..., object], name: str) -> Signature:
    wanted = list(inspect.signature(method).parameters.values())
    if wanted and all(parameter.kind in _GATHERING for parameter in wanted):
        raise ModelError(f"{name} does not name its parameters; replace *args by named parameters")
    namespace = getattr(inspect.unwrap(method), "__globals__", {})
    parameters: list[Argument] = []
    left_out: list[LeftOut] = []
    for parameter in wanted:
        found = None if parameter.kind in _GATHERING else argument_of(parameter, namespace)
        if found is not None:
            parameters.append(found)
        elif parameter.kind in _GATHERING or parameter.default is not inspect.Parameter.empty:
            left_out.append(_left_out(parameter))
        else:
            raise not_for_guests(name, parameter.name, _spelled(parameter.annotation))
    return Signature(tuple(parameters), tuple(left_out))


def _left_out(parameter: inspect.Parameter) -> LeftOut:
    if parameter.kind in _GATHERING:
        return LeftOut(str(parameter).partition(":")[0], "any other arguments")
    untold = parameter.annotation is inspect.Parameter.empty
    kind = type(parameter.default).__name__ if untold else _spelled(parameter.annotation)
    return LeftOut(parameter.name, kind)


def _spelled(annotation: object) -> str:
    return annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)


def _by_position(method: Callable[..., object]) -> list[str]:
    """The names of the positional-only parameters."""
    wanted = inspect.signature(method).parameters.values()
    return [parameter.name for parameter in wanted if parameter.kind is inspect.Parameter.POSITIONAL_ONLY]


class _Positional:
    """A method of a module with positional-only parameters."""

    def __init__(self, method: Model, names: Sequence[str]) -> None:
        self._method = method
        self._names = names

    def __call__(self, **inputs: object) -> object:
        given = [name for name in self._names if name in inputs]
        skipped = set(given) - set(self._names[: len(given)])
        if skipped:
            raise NnError(
                ErrorCode.INVALID_ARGUMENT,
                f"{quote_all(sorted(skipped))} can only be given together with all earlier inputs: "
                f"{quote_all(self._names[: self._names.index(given[-1])])}",
            )
        return self._method(*[inputs.pop(name) for name in given], **inputs)
