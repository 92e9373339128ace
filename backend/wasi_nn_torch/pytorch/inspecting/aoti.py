"""The description of an AOTInductor package."""

from __future__ import annotations

from wasi_nn_torch.contract.description import Contents
from wasi_nn_torch.pytorch.describing import describe_parameter
from wasi_nn_torch.pytorch.devices import CPU
from wasi_nn_torch.pytorch.graphs.loading import aoti
from wasi_nn_torch.pytorch.graphs.loading.shared import Source


def contents(source: Source, name: str) -> Contents:
    """The inputs of a package, which is loaded; only its native code knows the rest. Raises ModelError."""
    graph = aoti.load(source, CPU, name)
    return Contents(tuple(describe_parameter(parameter) for parameter in graph.signature.inputs))
