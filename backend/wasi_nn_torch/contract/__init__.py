"""Everything that a backend imports: the protocols of backends and tensors, and the vocabulary that they share.

A backend serves a graph encoding of wasi-nn with a machine learning engine. It is found through the entry point group
`wasi_nn_torch.backends`: the name of an entry point is the encoding, as WIT spells it, and its object is called with
`BackendOptions` and returns a `Backend`. The rest of this host uses backends through these protocols only. Neither
PyTorch nor Wasmtime is imported here. See `docs/backends.md`.
"""

from __future__ import annotations

from wasi_nn_torch.contract.backend import (
    GROUP,
    Backend,
    BackendOptions,
    BackendSession,
    Context,
    DescribesGraphs,
    DescribesModels,
    Diagnoses,
    ExchangesTensors,
    Graph,
    HasFiles,
    Isolable,
    IsolatesModels,
    KeepsMemory,
    MakesTensors,
    ModelSource,
    Prepares,
)
from wasi_nn_torch.contract.batch import Batch
from wasi_nn_torch.contract.batching import JoinsRequests, MakesRequests, Request
from wasi_nn_torch.contract.deadline import Deadline
from wasi_nn_torch.contract.description import (
    Contents,
    GraphDescription,
    ModelDescription,
    ValueDescription,
    WeightsDescription,
)
from wasi_nn_torch.contract.elements import Elements
from wasi_nn_torch.contract.errors import BackendMissing, ErrorCode, ModelError, ModelTooLarge, NnError
from wasi_nn_torch.contract.findings import Finding, Health
from wasi_nn_torch.contract.ledger import STAGING, Ledger, LedgerSnapshot, Transfer
from wasi_nn_torch.contract.muting import muted
from wasi_nn_torch.contract.policy import GuestModels, ModelOptions, Optimize
from wasi_nn_torch.contract.sizes import spell_size
from wasi_nn_torch.contract.tensor import NamedTensor, OffersMemory, SharesMemory, Tensor, TensorSource, read_bytes
from wasi_nn_torch.contract.text import one_line, printable, quote, quote_all
from wasi_nn_torch.contract.vocabulary import ElementType, Encoding, ExecutionTarget
from wasi_nn_torch.contract.warm_up import WarmUp

__all__ = [
    "GROUP",
    "STAGING",
    "Backend",
    "BackendMissing",
    "BackendOptions",
    "BackendSession",
    "Batch",
    "Contents",
    "Context",
    "Deadline",
    "DescribesGraphs",
    "DescribesModels",
    "Diagnoses",
    "ElementType",
    "Elements",
    "Encoding",
    "ErrorCode",
    "ExchangesTensors",
    "ExecutionTarget",
    "Finding",
    "Graph",
    "GraphDescription",
    "GuestModels",
    "HasFiles",
    "Health",
    "Isolable",
    "IsolatesModels",
    "JoinsRequests",
    "KeepsMemory",
    "Ledger",
    "LedgerSnapshot",
    "MakesRequests",
    "MakesTensors",
    "ModelDescription",
    "ModelError",
    "ModelOptions",
    "ModelSource",
    "ModelTooLarge",
    "NamedTensor",
    "NnError",
    "OffersMemory",
    "Optimize",
    "Prepares",
    "Request",
    "SharesMemory",
    "Tensor",
    "TensorSource",
    "Transfer",
    "ValueDescription",
    "WarmUp",
    "WeightsDescription",
    "muted",
    "one_line",
    "printable",
    "quote",
    "quote_all",
    "read_bytes",
    "spell_size",
]
