"""Models: recognizing, vetting, optimizing and loading them, their inputs and outputs, and computing them."""

from __future__ import annotations

from wasi_nn_torch.pytorch.graphs.computing.context import ExecutionContext
from wasi_nn_torch.pytorch.graphs.computing.graph import Graph
from wasi_nn_torch.pytorch.graphs.inputs.signature import Kind, Parameter, Signature
from wasi_nn_torch.pytorch.graphs.loading.formats import admit, load, load_from_guest
from wasi_nn_torch.pytorch.graphs.recognizing.sniff import ModelFormat, sniff, sniff_bytes

__all__ = [
    "ExecutionContext",
    "Graph",
    "Kind",
    "ModelFormat",
    "Parameter",
    "Signature",
    "admit",
    "load",
    "load_from_guest",
    "sniff",
    "sniff_bytes",
]
