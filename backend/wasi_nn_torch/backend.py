"""The machine learning behind every version of wasi-nn: which graphs there are, and how a guest gets one."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

from wasi_nn_torch.devices import Devices, ExecutionTarget
from wasi_nn_torch.errors import ErrorCode, NnError
from wasi_nn_torch.graphs import Graph, ModelFormat, admit, load_from_guest, sniff_bytes
from wasi_nn_torch.policy import GuestModels
from wasi_nn_torch.registry import Registry


class Encoding(Enum):
    """The `graph-encoding` of wasi-nn; the values are spelled as WIT spells them."""

    OPENVINO = "openvino"
    ONNX = "onnx"
    TENSORFLOW = "tensorflow"
    PYTORCH = "pytorch"
    TENSORFLOWLITE = "tensorflowlite"
    GGML = "ggml"
    AUTODETECT = "autodetect"


class Backend:
    """Shared by all sessions of an engine; used by any number of threads."""

    def __init__(self, devices: Devices, registry: Registry, guest_models: GuestModels) -> None:
        self._devices = devices
        self._registry = registry
        self._guest_models = guest_models

    def load(self, builders: Sequence[memoryview], encoding: Encoding, target: ExecutionTarget) -> Graph:
        """Load a model from a guest's bytes (`graph.load` of wasi-nn).

        Raises NnError: `security` where policy forbids it, `invalid-encoding` where the bytes are no PyTorch model or
        the encoding has no backend, `invalid-argument` for another number of builders than one,
        `unsupported-operation` for a target that this host does not have, `too-large` where memory does not suffice.
        """
        if self._guest_models is GuestModels.NONE:
            raise NnError(
                ErrorCode.SECURITY, "this host takes no models from guests; use a graph that it offers, by its name"
            )
        if encoding not in (Encoding.PYTORCH, Encoding.AUTODETECT):
            raise _no_backend(encoding, builders)
        if len(builders) != 1:
            raise NnError(
                ErrorCode.INVALID_ARGUMENT,
                f"a PyTorch model is one builder, a file's bytes; {len(builders)} were given",
            )
        device = self._devices.for_target(target)
        model = bytes(builders[0])  # a copy, so that what is checked is what is loaded
        if self._guest_models is GuestModels.CHECKED:
            model = admit(model)
        return load_from_guest(model, device)

    def load_by_name(self, name: str) -> Graph:
        """Return a graph of the operator (`graph.load-by-name` of wasi-nn); raises NnError `not-found`."""
        return self._registry.graph(name)


def _no_backend(encoding: Encoding, builders: Sequence[memoryview]) -> NnError:
    """Return the error for another encoding than PyTorch's, after a look at what the bytes are in truth."""
    found = sniff_bytes(builders[0]) if len(builders) == 1 else ModelFormat.UNKNOWN
    is_model = found in (ModelFormat.TORCHSCRIPT, ModelFormat.EXPORTED_PROGRAM)
    advice = f"the model is {found.value}: load it as pytorch" if is_model else "bring a PyTorch model, as pytorch"
    return NnError(ErrorCode.INVALID_ENCODING, f"this host has no backend for the encoding {encoding.value}; {advice}")
