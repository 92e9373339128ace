"""Models: what a file is, loading it, what it takes and returns, and computing it."""

from __future__ import annotations

from wasi_nn_torch.pytorch.graphs.context import ExecutionContext
from wasi_nn_torch.pytorch.graphs.formats import admit, load, load_from_guest
from wasi_nn_torch.pytorch.graphs.graph import Graph
from wasi_nn_torch.pytorch.graphs.signature import Kind, Parameter, Signature
from wasi_nn_torch.pytorch.graphs.sniff import ModelFormat, sniff, sniff_bytes

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
