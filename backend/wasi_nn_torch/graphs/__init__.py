"""Models: what a file is, loading it, what it takes and returns, and computing it."""

from wasi_nn_torch.graphs.context import ExecutionContext, NamedTensor
from wasi_nn_torch.graphs.formats import admit, load, load_from_guest
from wasi_nn_torch.graphs.graph import Graph
from wasi_nn_torch.graphs.signature import Kind, Parameter, Signature
from wasi_nn_torch.graphs.sniff import ModelFormat, sniff, sniff_bytes

__all__ = [
    "ExecutionContext",
    "Graph",
    "Kind",
    "ModelFormat",
    "NamedTensor",
    "Parameter",
    "Signature",
    "admit",
    "load",
    "load_from_guest",
    "sniff",
    "sniff_bytes",
]
