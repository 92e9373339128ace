"""What an AOTInductor package is."""

from __future__ import annotations

from wasi_nn_torch.contract.description import Contents
from wasi_nn_torch.pytorch.devices import CPU
from wasi_nn_torch.pytorch.graphs import aoti
from wasi_nn_torch.pytorch.graphs.loading import Source
from wasi_nn_torch.pytorch.inspecting.values import describe_parameter


def contents(source: Source, name: str) -> Contents:
    """Load a package and tell what it takes; the rest is in its native code only. Raises ModelError."""
    graph = aoti.load(source, CPU, name)
    return Contents(tuple(describe_parameter(parameter) for parameter in graph.signature.inputs))
