"""ONNX Runtime's part of one session: its inputs, outputs, and the models that its guest supplies."""

from __future__ import annotations

from collections.abc import Sequence

from wasi_nn_torch.contract.backend import BackendOptions
from wasi_nn_torch.contract.errors import ErrorCode, ModelError, ModelTooLarge, NnError
from wasi_nn_torch.contract.ledger import Ledger
from wasi_nn_torch.contract.policy import GuestModels
from wasi_nn_torch.contract.vocabulary import ExecutionTarget
from wasi_nn_torch.onnx.context import OnnxContext
from wasi_nn_torch.onnx.devices import device_for
from wasi_nn_torch.onnx.files import is_onnx
from wasi_nn_torch.onnx.graph import OnnxGraph
from wasi_nn_torch.onnx.loading import load_vetted
from wasi_nn_torch.onnx.reading import Reader
from wasi_nn_torch.onnx.vetting import vet
from wasi_nn_torch.onnx.vetting.refusal import damaged

_IN_THIS_PROCESS = frozenset({GuestModels.ANY, GuestModels.CHECKED})


class OnnxSession:
    """See `wasi_nn_torch.contract.BackendSession`."""

    #: Dropped tensors are freed, and none of their memory is kept.
    idle_bytes = 0

    def __init__(self, ledger: Ledger, options: BackendOptions) -> None:
        self.ledger = ledger
        self.reader = Reader(ledger)
        self._options = options

    def load(self, builders: Sequence[memoryview], target: ExecutionTarget) -> OnnxGraph:
        """Load a guest-supplied model, which is one builder, in this process, if the operator allows that.

        Raises NnError: `security` if the operator does not, or the check does not admit the model, `invalid-encoding`
        if it is not an ONNX model, `invalid-argument` for another number of builders, `unsupported-operation` for a
        target that this host does not have and for inputs and outputs that wasi-nn cannot express, `too-large` if
        memory or the session's limit does not suffice.
        """
        if len(builders) != 1:
            raise NnError(
                ErrorCode.INVALID_ARGUMENT,
                f"an ONNX model is one builder, a file's bytes; {len(builders)} were given",
            )
        if not is_onnx(builders[0]):
            raise damaged("it does not begin as an ONNX model does")
        if self._options.guest_models not in _IN_THIS_PROCESS:
            raise RuntimeError("a guest-supplied model was to be loaded in this process, which its operator forbids")
        device = device_for(target, self._options.device or "cpu")
        self.ledger.grant(device.place, builders[0].nbytes, "the model")
        # Of a copy, so that the bytes that are checked are those that are loaded.
        vetted = vet(bytes(builders[0]))
        try:
            graph = load_vetted(vetted, device, self._options.threads)
        except ModelError as error:
            code = ErrorCode.TOO_LARGE if isinstance(error, ModelTooLarge) else ErrorCode.INVALID_ENCODING
            refusal = NnError(code, str(error))
        else:
            self.ledger.enter_other(graph, device.place, graph.nbytes)
            return graph
        raise refusal

    def context(self, graph: OnnxGraph) -> OnnxContext:
        """Make a context for a graph."""
        return graph.context(self)

    def close(self) -> None:
        """Do nothing, since nothing is kept."""
