"""ONNX Runtime's part of one session: its inputs, outputs, and the models that its guest supplies."""

from __future__ import annotations

from collections.abc import Sequence

from wasi_nn_torch.contract.errors import ErrorCode, NnError
from wasi_nn_torch.contract.ledger import Ledger
from wasi_nn_torch.contract.vocabulary import ExecutionTarget
from wasi_nn_torch.onnx.context import OnnxContext
from wasi_nn_torch.onnx.graph import OnnxGraph
from wasi_nn_torch.onnx.reading import Reader


class OnnxSession:
    """See `wasi_nn_torch.contract.BackendSession`."""

    #: Dropped tensors are freed, and none of their memory is kept.
    idle_bytes = 0

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.reader = Reader(ledger)

    def load(self, builders: Sequence[memoryview], target: ExecutionTarget) -> OnnxGraph:
        """Load a guest-supplied model; raises NnError."""
        raise NnError(ErrorCode.SECURITY, "this host does not accept ONNX models from guests")

    def context(self, graph: OnnxGraph) -> OnnxContext:
        """Make a context for a graph."""
        return OnnxContext(graph, self)

    def close(self) -> None:
        """Do nothing, since nothing is kept."""
