"""From a file, bytes or a module to a graph: what it is decides who loads it."""

import io
from collections.abc import Callable
from pathlib import Path

import torch

from wasi_nn_torch.errors import ErrorCode, ModelError, ModelTooLarge, NnError
from wasi_nn_torch.policy import Optimize
from wasi_nn_torch.pytorch.graphs import aoti, exported, modules, torchscript
from wasi_nn_torch.pytorch.graphs.check import check_torchscript
from wasi_nn_torch.pytorch.graphs.check_exported import check_exported
from wasi_nn_torch.pytorch.graphs.graph import Graph
from wasi_nn_torch.pytorch.graphs.loading import Bytes, Source
from wasi_nn_torch.pytorch.graphs.optimizing import Steps, steps_for, steps_for_guests
from wasi_nn_torch.pytorch.graphs.sniff import ModelFormat, sniff, sniff_bytes

_ADVICE = (
    "save the whole model as TorchScript, with torch.jit.save(torch.jit.script(model), path), "
    "or export it, with torch.export.save(torch.export.export(model, inputs), path)"
)
_LOADERS: dict[ModelFormat, Callable[[Source, torch.device, str, Steps], Graph]] = {
    ModelFormat.TORCHSCRIPT: torchscript.load,
    ModelFormat.EXPORTED_PROGRAM: exported.load,
    ModelFormat.AOTI_PACKAGE: aoti.load_as_it_is,
}


def load(source: Source | torch.nn.Module, device: torch.device, name: str, optimize: Optimize | None = None) -> Graph:
    """Load a model of the operator on `device`; `name` is what a text calls it, `optimize` says how it gets faster.

    Raises ModelError, which says what it is and what to do, if it cannot be used; ModelTooLarge if memory does not
    suffice; OSError if it cannot be read.
    """
    if isinstance(source, torch.nn.Module):
        return modules.load(source, device, name, optimize)
    return _load(source, device, name, steps_for(optimize, device))


def _load(source: Source, device: torch.device, name: str, steps: Steps) -> Graph:
    found = sniff(source if isinstance(source, Path) else io.BytesIO(source))
    if found in _LOADERS:
        return _LOADERS[found](source, device, name, steps)
    raise not_a_model(found, name)


def not_a_model(found: ModelFormat, name: str) -> ModelError:
    """Return the error for what is none of the formats that can be loaded: what it is, and what to do."""
    if found is ModelFormat.STATE_DICT:
        return ModelError(
            f"{name} is {found.value}; build the module, let it load_state_dict this, and offer the module itself: "
            f"Engine.register(name, module); or {_ADVICE}"
        )
    return ModelError(f"{name} is {found.value}; {_ADVICE}")


def admit(data: bytes) -> bytes:
    """Return what of a guest's model may be loaded; what is no model is left to the loader, which says so.

    Raises NnError `security` for a model that is not known to be harmless, `too-large` for one of 4 GiB or more.
    """
    found = sniff_bytes(data)
    if found is ModelFormat.EXPORTED_PROGRAM:
        return check_exported(data)
    if found is ModelFormat.TORCHSCRIPT:
        check_torchscript(data)
    return data


def native_code() -> NnError:
    """Return the error for a guest that brings native code, whatever the operator allows."""
    return NnError(
        ErrorCode.SECURITY, f"the model is {ModelFormat.AOTI_PACKAGE.value}; only the operator may offer that, by name"
    )


def load_from_guest(data: Bytes, device: torch.device) -> Graph:
    """Load the bytes that a guest brought along (`graph.load` of wasi-nn); they are copied.

    None of the model's own code runs before it is computed.

    Raises NnError `invalid-encoding` if they are no model, `security` if they are native code, `too-large` if memory
    does not suffice.
    """
    try:
        if sniff_bytes(data) is ModelFormat.AOTI_PACKAGE:
            raise native_code()
        return _load(data, device, "the model", steps_for_guests(device))
    except ModelTooLarge as error:
        refusal = NnError(ErrorCode.TOO_LARGE, str(error))
    except ModelError as error:
        refusal = NnError(ErrorCode.INVALID_ENCODING, str(error))
    raise refusal
