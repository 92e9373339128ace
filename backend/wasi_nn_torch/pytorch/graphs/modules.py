"""Offering a live `torch.nn.Module` of the operator."""

import copy
import inspect
import io
import types
import typing
from collections.abc import Callable

import torch

from wasi_nn_torch.errors import ModelError, quote
from wasi_nn_torch.policy import Optimize
from wasi_nn_torch.pytorch.graphs import torchscript
from wasi_nn_torch.pytorch.graphs.graph import Graph
from wasi_nn_torch.pytorch.graphs.loading import loading, not_for_guests
from wasi_nn_torch.pytorch.graphs.optimizing import steps_for
from wasi_nn_torch.pytorch.graphs.signature import Kind, Parameter, Signature
from wasi_nn_torch.pytorch.graphs.state import FORWARD, bound
from wasi_nn_torch.pytorch.sharing import size_of

_BROKEN = "a module that cannot be copied ({gist}); export it instead: torch.export.save(…)"
_UNSCRIPTED = (
    "a module that cannot be frozen, as it cannot become TorchScript ({gist}); give a trace of it, or export it: "
    "torch.export.save(…)"
)
_UNCOMPILED = (
    "{name} is a module, which does not say what its inputs are, so that it cannot be compiled; export it instead, "
    "with torch.export.save(torch.export.export(module, inputs), path), or ask for it to be frozen"
)
_KINDS = {torch.Tensor: Kind.TENSOR, int: Kind.INTEGER, float: Kind.FLOAT, bool: Kind.BOOLEAN}
_GATHERING = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def load(
    module: torch.nn.Module,
    device: torch.device,
    name: str,
    optimize: Optimize | None = None,
    method: str = FORWARD,
) -> Graph:
    """Offer a module on `device`, in evaluation mode and without gradients; the operator's own is left as it is.

    On the device where the parameters are they are shared with it, so that what the operator changes in them is seen;
    on another device they are copied once. Buffers and other attributes are copied for each context. One that is to be
    frozen becomes TorchScript, with weights of its own. `method` is what is computed.

    Raises ModelError if the module has no such method, takes arguments that no guest can give, or cannot be copied or
    optimized; ModelTooLarge if memory does not suffice.
    """
    if isinstance(module, torch.jit.ScriptModule):
        return torchscript.load(_saved(module, device, name), device, name, steps_for(optimize, device), method)
    if method not in _methods(module):
        raise torchscript.no_method(name, method, _methods(module), "offer a module that has one")
    if optimize is Optimize.COMPILE:
        raise ModelError(_UNCOMPILED.format(name=name))
    if optimize is Optimize.FREEZE:
        scripted = _scripted(module, device, name, method)
        return torchscript.load(scripted, device, name, steps_for(optimize, device), method)
    signature = _signature(getattr(module, method), name)
    with loading(device, name, _BROKEN):
        own = _copy(module, lambda parameter: _frozen(parameter, device)).to(device).eval()
        if _moved(module, device) or not any(True for _ in module.parameters()):
            _move_attributes(own, device)
    kept = [*own.buffers(), *(own.parameters() if _moved(module, device) else ())]
    state_nbytes = size_of(own.buffers())
    return Graph(
        lambda: bound(_copy(own, lambda parameter: parameter), method),
        device,
        signature,
        size_of(kept),
        state_nbytes=state_nbytes,
    )


def _methods(module: torch.nn.Module) -> list[str]:
    """Return the public methods that the module's own classes have, and `forward` wherever it comes from."""
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
    """Move what `Module.to` leaves: attributes that are tensors or devices, in containers too, but no class's own."""
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
                f"{name} cannot be frozen, as TorchScript leaves out its method {quote(method)}; decorate it with "
                "@torch.jit.export, or leave out the option to optimize it"
            )
        return _saved(scripted, device, name)


def _signature(method: Callable[..., object], name: str) -> Signature:
    try:
        described = inspect.signature(method, eval_str=True)
    except Exception:  # noqa: BLE001  # annotations are evaluated, and those for type checkers only cannot be
        described = inspect.signature(method)
    wanted = list(described.parameters.values())
    if wanted and all(parameter.kind in _GATHERING for parameter in wanted):
        raise ModelError(f"{name} names no parameters; let the method have some, rather than *args")
    parameters = (_parameter(parameter, name) for parameter in wanted if parameter.kind not in _GATHERING)
    return Signature(tuple(parameter for parameter in parameters if parameter is not None))


def _parameter(parameter: inspect.Parameter, name: str) -> Parameter | None:
    """Return what a guest can give for one parameter, or None for one that it cannot give and that has a default."""
    has_default = parameter.default is not inspect.Parameter.empty
    kind, takes_none = _kind(parameter)
    if kind is not None and parameter.kind is not inspect.Parameter.POSITIONAL_ONLY:
        return Parameter(parameter.name, kind, takes_none or has_default, takes_none and not has_default)
    if has_default:
        return None
    raise not_for_guests(name, parameter.name, inspect.formatannotation(parameter.annotation))


def _kind(parameter: inspect.Parameter) -> tuple[Kind | None, bool]:
    """Return what a parameter takes, and whether None as well; without an annotation its default tells, or a tensor."""
    annotation = parameter.annotation
    if annotation is inspect.Parameter.empty or isinstance(annotation, str):
        untold = parameter.default is inspect.Parameter.empty or parameter.default is None
        return Kind.TENSOR if untold else _KINDS.get(type(parameter.default)), False
    takes_none = False
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        choices = typing.get_args(annotation)
        takes_none = types.NoneType in choices
        annotation = next((choice for choice in choices if choice in _KINDS), None)
    return _KINDS.get(annotation), takes_none
