"""Loading TorchScript: from a file of the operator, or from bytes."""

import io
import logging
import threading
import warnings
from pathlib import Path

import torch

from wasi_nn_torch.errors import ErrorCode, ModelError, ModelTooLarge, NnError, quote
from wasi_nn_torch.graphs.failures import gist, is_out_of_memory, out_of_memory, release_frames
from wasi_nn_torch.graphs.graph import Graph
from wasi_nn_torch.graphs.signature import Kind, Parameter, Signature
from wasi_nn_torch.graphs.sniff import ModelFormat, sniff
from wasi_nn_torch.graphs.state import instances_of

logger = logging.getLogger(__name__)

_ADVICE = "save the whole model as TorchScript: torch.jit.save(torch.jit.script(model), path)"

_KINDS = {
    "TensorType": Kind.TENSOR,
    "IntType": Kind.INTEGER,
    "FloatType": Kind.FLOAT,
    "BoolType": Kind.BOOLEAN,
}

# Filters of warnings belong to the whole process: two threads that change and restore them would mix them up.
_filtering = threading.Lock()


def load(source: Path | bytes | bytearray | memoryview, device: torch.device, name: str) -> Graph:
    """Load a model on `device`, in evaluation mode and without gradients.

    `name` is what a text calls the source. Raises ModelError if it is something else than TorchScript, is broken, or
    takes arguments that no guest can give; ModelTooLarge if memory does not suffice; OSError if it cannot be read.
    """
    file = source if isinstance(source, Path) else io.BytesIO(source)
    found = sniff(file)
    if found is not ModelFormat.TORCHSCRIPT:
        raise ModelError(f"{name} is {found.value}; {_ADVICE}")
    module = _load(file, device, name)
    if not module._c._has_method("forward"):
        raise ModelError(f"{name} has no method `forward` that could be computed; {_ADVICE}")
    module.eval()
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    return Graph(instances_of(module), device, _signature(module._c._get_method("forward").schema, name))


def load_from_guest(data: bytes | bytearray | memoryview, device: torch.device) -> Graph:
    """Load the bytes that a guest brought along (`graph.load` of wasi-nn); they are copied.

    Raises NnError `invalid-encoding` if they are not a TorchScript model, `too-large` if memory does not suffice.
    """
    try:
        return load(data, device, "the model")
    except ModelTooLarge as error:
        refusal = NnError(ErrorCode.TOO_LARGE, str(error))
    except ModelError as error:
        refusal = NnError(ErrorCode.INVALID_ENCODING, str(error))
    raise refusal


def _load(file: Path | io.BytesIO, device: torch.device, name: str) -> torch.jit.ScriptModule:
    if not isinstance(file, Path):
        file.seek(0)
    try:
        with _filtering, warnings.catch_warnings():
            # Upstream deprecates the format as a whole; who runs a model here cannot do anything about it.
            warnings.simplefilter("ignore", DeprecationWarning)
            module: torch.jit.ScriptModule = torch.jit.load(file, map_location=device)  # type: ignore[no-untyped-call]  # upstream
            return module
    except Exception as error:  # noqa: BLE001  # PyTorch may raise anything
        logger.debug("loading %s failed: %s", name, error)
        refusal = _refusal(error, device, name)
        release_frames(error)
    raise refusal


def _refusal(error: Exception, device: torch.device, name: str) -> ModelError:
    if is_out_of_memory(error):
        text = out_of_memory(error, device, f"loading {name}")
        return ModelTooLarge(f"{text}; use a smaller model or another device")
    return ModelError(f"{name} is a broken TorchScript archive ({gist(error)}); {_ADVICE}")


def _signature(schema: torch._C.FunctionSchema, name: str) -> Signature:
    parameters = (_parameter(argument, name) for argument in schema.arguments[1:])  # the first is `self`
    return Signature(tuple(parameter for parameter in parameters if parameter is not None))


def _parameter(argument: torch._C.Argument, name: str) -> Parameter | None:
    """Return what a guest can give for one argument, or None for one that it cannot give and that has a default."""
    wanted, has_default = argument.type, argument.has_default_value()
    takes_none = isinstance(wanted, torch._C.OptionalType)
    kind = _KINDS.get(wanted.getElementType().kind() if takes_none else wanted.kind())
    if kind is not None:
        return Parameter(argument.name, kind, takes_none or has_default, takes_none and not has_default)
    if has_default:
        return None
    raise ModelError(
        f"{name} cannot be used by a guest: its parameter {quote(argument.name)} is {argument.type.annotation_str}, "
        "and wasi-nn has tensors only; let `forward` take tensors, int, float or bool, or give it a default"
    )
