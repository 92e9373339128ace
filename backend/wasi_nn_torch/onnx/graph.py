"""A model that ONNX Runtime has loaded on one device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from onnxruntime import InferenceSession, RunOptions

from wasi_nn_torch.onnx.context import OnnxContext
from wasi_nn_torch.onnx.devices import Device
from wasi_nn_torch.onnx.signature import Signature, Value

if TYPE_CHECKING:
    from wasi_nn_torch.onnx.session import OnnxSession


@dataclass(frozen=True, eq=False)
class OnnxGraph:
    """A model on one device, shared by every session that uses it, in any number of threads.

    It has no state: contexts share everything. `nbytes` is the size of the model with its weights.
    """

    engine: InferenceSession
    run_options: RunOptions | None
    device: Device
    signature: Signature
    outputs: tuple[Value, ...]
    nbytes: int

    def context(self, session: OnnxSession) -> OnnxContext:
        """Make a context for a session."""
        return OnnxContext(self, session)
