"""From a file, bytes or a module to a graph: what it is decides who loads it."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from wasi_nn_torch.contract.errors import ErrorCode, ModelError, ModelTooLarge, NnError
from wasi_nn_torch.contract.policy import ModelOptions
from wasi_nn_torch.contract.text import quote
from wasi_nn_torch.pytorch.graphs.computing.graph import Graph
from wasi_nn_torch.pytorch.graphs.computing.state import FORWARD
from wasi_nn_torch.pytorch.graphs.loading import aoti, exported, modules, torchscript
from wasi_nn_torch.pytorch.graphs.loading.batching import batched
from wasi_nn_torch.pytorch.graphs.loading.declaring import declared, dtypes_of
from wasi_nn_torch.pytorch.graphs.loading.shared import Bytes, Source
from wasi_nn_torch.pytorch.graphs.loading.warming import warm
from wasi_nn_torch.pytorch.graphs.optimizing.steps import Steps, steps_for, steps_for_guests
from wasi_nn_torch.pytorch.graphs.recognizing.sniff import ModelFormat, sniff, sniff_bytes
from wasi_nn_torch.pytorch.graphs.recognizing.unloadable import identify
from wasi_nn_torch.pytorch.graphs.vetting.check_exported import check_exported
from wasi_nn_torch.pytorch.graphs.vetting.check_torchscript import check_torchscript

logger = logging.getLogger(__name__)

_DEFAULTS = ModelOptions()
_LOADERS: dict[ModelFormat, Callable[[Source, torch.device, str, Steps], Graph]] = {
    ModelFormat.EXPORTED_PROGRAM: exported.load,
    ModelFormat.AOTI_PACKAGE: aoti.load_as_it_is,
}


def load(
    source: Source | torch.nn.Module,
    device: torch.device,
    name: str,
    options: ModelOptions = _DEFAULTS,
    found: ModelFormat | None = None,
) -> Graph:
    """Load a model of the operator on `device`; error texts call it `name`. `found` is its format, if it is known.

    Raises ModelError, which says what it is and what to do, if it cannot be used; ModelTooLarge if memory does not
    suffice; OSError if it cannot be read.
    """
    dtypes = dtypes_of(options.dtypes, name)
    if isinstance(source, torch.nn.Module):
        graph = modules.load(source, device, name, options.optimize, options.method or FORWARD)
    else:
        found = found or sniff(source if isinstance(source, Path) else io.BytesIO(source))
        graph = _load(source, found, device, name, steps_for(options.optimize, device), options.method)
    graph = replace(graph, signature=declared(graph.signature, dtypes, name))
    for left_out in graph.signature.left_out:
        logger.info("%s: no guest can give %s (%s), which keeps its default", name, left_out.name, left_out.kind)
    if options.warm_up is not None:
        warm(graph, options.warm_up, name)
    return graph if options.batch is None else batched(graph, options.batch, options.warm_up, name)


def _load(
    source: Source, found: ModelFormat, device: torch.device, name: str, steps: Steps, method: str | None = None
) -> Graph:
    if found is ModelFormat.TORCHSCRIPT:
        return torchscript.load(source, device, name, steps, method or FORWARD)
    if found in _LOADERS:
        require_no_method(method, found, name)
        return _LOADERS[found](source, device, name, steps)
    raise not_a_model(source, name)


def require_no_method(method: str | None, found: ModelFormat, name: str) -> None:
    """Raise ModelError if a method was chosen of a format that keeps only one."""
    if method is not None:
        raise ModelError(
            f"{name} is {found.value}, which has one method only; leave out the option that chooses {quote(method)}, "
            "or save a model that computes that"
        )


def not_a_model(source: Source, name: str) -> ModelError:
    """The error for a source of another format than those that can be loaded: what it is, and what to do."""
    found = identify(source)
    return ModelError(f"{name} is {found.what}; {found.advice}")


def admit(data: Bytes, found: ModelFormat) -> Bytes:
    """The part of a guest-supplied model that may be loaded; bytes that are not a model are left to the loader.

    Raises NnError `security` for a model that is not vetted, `too-large` for one of 4 GiB or more.
    """
    if found is ModelFormat.EXPORTED_PROGRAM:
        return check_exported(data)
    if found is ModelFormat.TORCHSCRIPT:
        check_torchscript(data)
    return data


def native_code() -> NnError:
    """The error for guest-supplied native code, whatever the operator allows."""
    return NnError(
        ErrorCode.SECURITY, f"the model is {ModelFormat.AOTI_PACKAGE.value}; only the operator may offer that, by name"
    )


def load_from_guest(data: Bytes, device: torch.device, checks: bool = False) -> Graph:
    """Load a guest-supplied model (`graph.load` of wasi-nn), which is vetted first if `checks` is set.

    Nobody else may change `data` meanwhile. None of the model's own code runs before it is computed.

    Raises NnError `invalid-encoding` if the bytes are not a model, `security` if they are native code or not vetted,
    `too-large` if memory does not suffice.
    """
    found = sniff_bytes(data)
    if checks:
        data = admit(data, found)
    try:
        if found is ModelFormat.AOTI_PACKAGE:
            raise native_code()
        return _load(data, found, device, "the model", steps_for_guests(device))
    except ModelTooLarge as error:
        refusal = NnError(ErrorCode.TOO_LARGE, str(error))
    except ModelError as error:
        refusal = NnError(ErrorCode.INVALID_ENCODING, str(error))
    raise refusal
