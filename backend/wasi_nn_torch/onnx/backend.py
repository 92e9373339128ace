"""ONNX Runtime's backend: ONNX models, on the CPU and on CUDA."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from wasi_nn_torch.contract.backend import BackendOptions, ModelSource
from wasi_nn_torch.contract.description import GraphDescription, ModelDescription
from wasi_nn_torch.contract.errors import ModelError
from wasi_nn_torch.contract.findings import Finding
from wasi_nn_torch.contract.ledger import Ledger
from wasi_nn_torch.contract.policy import ModelOptions
from wasi_nn_torch.contract.text import quote
from wasi_nn_torch.onnx.describing import describe, describe_graph
from wasi_nn_torch.onnx.devices import CPU, find_device, has_cuda
from wasi_nn_torch.onnx.diagnosing import diagnose
from wasi_nn_torch.onnx.files import FORMAT, files_of, is_onnx, is_onnx_file
from wasi_nn_torch.onnx.graph import OnnxGraph
from wasi_nn_torch.onnx.loading import load
from wasi_nn_torch.onnx.preloading import preload
from wasi_nn_torch.onnx.session import OnnxSession


class OnnxBackend:
    """Serves the encoding `onnx`: see `wasi_nn_torch.contract.Backend`."""

    def __init__(self, options: BackendOptions) -> None:
        self._options = options

    @property
    def device(self) -> str:
        """The device that the operator chose, else CUDA's first if this ONNX Runtime is built for it, else "cpu"."""
        return self._options.device or ("cuda:0" if has_cuda() else "cpu")

    def find_device(self, device: str) -> str:
        """The name of a device with its index; raises ValueError if ONNX Runtime has no such device."""
        return find_device(device).place

    def recognize(self, model: ModelSource) -> str | None:
        """The format of a model: a file, a folder with `model.onnx`, or bytes. Raises OSError for its file."""
        if isinstance(model, str | os.PathLike):
            return FORMAT if is_onnx_file(Path(model)) else None
        return FORMAT if isinstance(model, bytes | memoryview) and is_onnx(model) else None

    def preload(self) -> None:
        """Check a small model: see `wasi_nn_torch.contract.Isolable`."""
        preload()

    def files(self, model: Path) -> list[Path]:
        """The files of a model: see `wasi_nn_torch.contract.HasFiles`."""
        return files_of(model)

    def describe(self, path: Path, name: str, *, trust: bool = False, method: str | None = None) -> ModelDescription:
        """Describe the model in a file, which is parsed; if its source is trusted, it is also loaded on the CPU."""
        description = describe(path, name, method)
        if trust:
            load(path, CPU, name, ModelOptions(), self._options.threads)
        return description

    def describe_graph(self, graph: OnnxGraph) -> GraphDescription:
        """The inputs and outputs of a graph, for the metadata of servers."""
        return describe_graph(graph)

    def diagnose(self) -> Iterable[Finding]:
        """ONNX Runtime, its devices and its threads."""
        return diagnose()

    def load(
        self, model: ModelSource, device: str, name: str, options: ModelOptions, format: str | None = None
    ) -> OnnxGraph:
        """Load a model of the operator: a file, a folder with `model.onnx`, or bytes.

        Raises ModelError, which says what it is and what to do, if it cannot be used; ModelTooLarge if memory does not
        suffice; OSError if its file cannot be read; ValueError if there is no such device.
        """
        if isinstance(model, str | os.PathLike):
            model = Path(model)
        elif not isinstance(model, bytes):
            raise ModelError(
                f"{name} has the type {quote(type(model).__name__)}; offer the path or the bytes of an ONNX model"
            )
        return load(model, find_device(device), name, options, self._options.threads)

    def session(self, ledger: Ledger) -> OnnxSession:
        """Open the part of a session that is ONNX Runtime's."""
        return OnnxSession(ledger, self._options)
