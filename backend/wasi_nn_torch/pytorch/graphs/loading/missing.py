"""Operators and devices that a model needs but that are missing, recognized in PyTorch's error messages."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable

import torch

from wasi_nn_torch.contract.text import quote

_LONGEST = 100_000

_OPERATOR = (
    re.compile(r"^Unknown builtin op: (?P<namespace>\w+)::(?P<name>\w+)", re.MULTILINE),
    re.compile(r"failed to resolve torch\.ops\.(?P<namespace>\w+)\.(?P<name>\w+)"),
)
_SCRIPT_CLASS = re.compile(r"Unknown type name '__torch__\.torch\.classes\.(?P<namespace>\w+)\.(?P<name>\w+)'")
#: PyTorch's error messages for weights that were saved on a device that does not exist here.
_NO_DEVICE = re.compile(
    r"not compiled with \w+ enabled|No \w+ GPUs are available|Found no NVIDIA driver|on a CUDA device"
)

#: The namespaces of PyTorch's own operators.
_BUILT_IN = frozenset("aten prim prims higher_order quantized profiler onednn mkldnn cuda static_runtime".split())
#: The modules to import for operators whose namespace has another name.
_MODULES = {
    "quantized_decomposed": "torch.ao.quantization.fx._decomposed",
    "fbgemm": "fbgemm_gpu",
    "pyg": "pyg_lib",
}


_ELSEWHERE = (
    "was saved on a device that this host does not have; on a machine with that device, move the model first: "
    'torch.export.save(torch.export.passes.move_to_device_pass(program, "cpu"), path)'
)


def what_is_missing(texts: Iterable[str]) -> str | None:
    """The missing part and what to do, as a text that continues after the model's name; None if none is recognized."""
    for text in texts:
        found = _in(text[:_LONGEST])
        if found is not None:
            return found
    return None


def _in(text: str) -> str | None:
    for pattern in _OPERATOR:
        operator = pattern.search(text)
        if operator is not None:
            return _operator(operator["namespace"], operator["name"])
    script_class = _SCRIPT_CLASS.search(text)
    if script_class is not None:
        return _needs(
            script_class["namespace"], "classes", script_class.expand(r"torch.classes.\g<namespace>.\g<name>")
        )
    if _NO_DEVICE.search(text):
        return _ELSEWHERE
    return None


def _operator(namespace: str, name: str) -> str:
    spelled = f"{namespace}::{name}"
    if namespace in _BUILT_IN:
        return (
            f"needs the operator {quote(spelled)}, which PyTorch {torch.__version__} does not have; save the model "
            "again with this version, or install the version that it was saved with"
        )
    return _needs(namespace, "operators", spelled)


def _needs(namespace: str, kind: str, what: str) -> str:
    module = _MODULES.get(namespace, namespace)
    if module in sys.modules:
        return (
            f"needs {kind} of {quote(module)}, which is imported but does not have {quote(what)}; install a version of "
            "it that matches the model and this PyTorch"
        )
    return f"needs {kind} of {quote(module)}, such as {quote(what)}; import it: {_how(module)}"


def _how(module: str) -> str:
    return f'--import {module}, or Engine(imports=["{module}"])'
