"""The forms in which a network is offered: as a module, as an exported program, as TorchScript."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

import torch

from benchmarks.zoo.networks import Inputs


class Impossible(Exception):
    """PyTorch itself cannot write this form of a network; the text says why, in one line."""


def _exported(model: torch.nn.Module, inputs: Inputs, path: Path) -> str:
    """Write the program that `torch.export` makes, and return a remark for the table."""
    torch.export.save(torch.export.export(model, (), dict(inputs)), path)
    return ""


def _torchscript(model: torch.nn.Module, inputs: Inputs, path: Path) -> str:
    """Write TorchScript, scripted if possible or else traced, and return a remark for the table."""
    try:
        script, how = torch.jit.script(model), "scripted"
    except Exception:  # noqa: BLE001  # PyTorch may raise anything
        script, how = _traced(model, inputs), "traced"
    torch.jit.save(script, path)
    return how


def _traced(model: torch.nn.Module, inputs: Inputs) -> torch.jit.ScriptModule:
    return torch.jit.trace(model, example_kwarg_inputs=dict(inputs), strict=False, check_trace=False)


_FORMS: Mapping[str, Callable[[torch.nn.Module, Inputs, Path], str]] = {
    "exported": _exported,
    "torchscript": _torchscript,
}

#: The forms that are files, and their suffixes.
SUFFIXES = {"exported": ".pt2", "torchscript": ".pt"}


def made(form: str, model: torch.nn.Module, inputs: Inputs, path: Path) -> str:
    """Write a network in a form, and return a remark for the table; raises Impossible."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # TorchScript is deprecated, and tracing warns of every constant
            return _FORMS[form](model, inputs, path)
    except Exception as error:  # noqa: BLE001  # PyTorch may raise anything
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    raise Impossible(reason)
