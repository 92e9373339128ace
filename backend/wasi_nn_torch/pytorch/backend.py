"""PyTorch's backend: every format of PyTorch, on every device that PyTorch has."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import torch

from wasi_nn_torch.contract.backend import BackendOptions, ModelSource
from wasi_nn_torch.contract.description import GraphDescription, ModelDescription
from wasi_nn_torch.contract.errors import ModelError
from wasi_nn_torch.contract.findings import Finding
from wasi_nn_torch.contract.ledger import Ledger
from wasi_nn_torch.contract.policy import GuestModels, ModelOptions
from wasi_nn_torch.contract.text import quote
from wasi_nn_torch.pytorch.describing import describe_graph
from wasi_nn_torch.pytorch.devices import Devices, find_device
from wasi_nn_torch.pytorch.graphs import Graph, ModelFormat, load, sniff, sniff_bytes
from wasi_nn_torch.pytorch.isolation.client import Isolation
from wasi_nn_torch.pytorch.isolation.descriptions import describe_isolated
from wasi_nn_torch.pytorch.session import PyTorchSession
from wasi_nn_torch.pytorch.staging import can_pin
from wasi_nn_torch.pytorch.threads import use_threads

#: How `recognize` answers for a live module.
_MODULE = "a PyTorch module"


class PyTorch:
    """Serves the encoding `pytorch`: see `wasi_nn_torch.contract.Backend`."""

    def __init__(self, options: BackendOptions) -> None:
        self._devices = Devices(options.device)
        self._pins = can_pin(self._devices.default)
        if options.threads is not None:
            use_threads(options.threads, self)
        self._checks = options.guest_models is not GuestModels.ANY
        self._isolation: Isolation | None = None
        self._prepares = options.prepares
        if options.guest_models is GuestModels.ISOLATED:
            self._isolation = Isolation(options.guest_devices, options.waive, options.imports)
            if options.prepares:
                self._isolation.prepare()

    @property
    def device(self) -> str:
        """The device that the operator chose, else the accelerator that PyTorch reports, else "cpu"."""
        return str(self._devices.default)

    def find_device(self, device: str) -> str:
        """The name of a device with its index; raises ValueError if there is no such device."""
        return str(find_device(device))

    def recognize(self, model: ModelSource) -> str | None:
        """The format of a model; a state dict, which is not a model, has none. Raises OSError for its file."""
        if isinstance(model, torch.nn.Module):
            return _MODULE
        found = ModelFormat.UNKNOWN
        if isinstance(model, bytes | memoryview):
            found = sniff_bytes(model)
        elif isinstance(model, str | os.PathLike):
            found = sniff(Path(model))
        return None if found in (ModelFormat.UNKNOWN, ModelFormat.STATE_DICT) else found.value

    def describe(self, path: Path, name: str, *, trust: bool = False, method: str | None = None) -> ModelDescription:
        """Describe the model in a file: in this process if its source is trusted, else in a worker.

        A model that would be refused from a guest is not loaded unless it is trusted, and neither is one on a system
        that cannot confine a worker.
        """
        from wasi_nn_torch.pytorch import inspecting  # imports SymPy, which no guest needs

        if trust:
            return inspecting.describe(path, name, method=method)
        found = inspecting.require_model(path, name)
        refusal = inspecting.refusal_without_reading(path, found)
        if refusal is not None or self._isolation is None:
            return ModelDescription(found.value, refusal, None)
        return describe_isolated(self._isolation, path, name, method)

    def describe_graph(self, graph: Graph) -> GraphDescription:
        """The inputs and outputs of a graph, as far as its format tells them."""
        return describe_graph(graph)

    def diagnose(self) -> Iterable[Finding]:
        """PyTorch, its devices, its threads and its compiler."""
        from wasi_nn_torch.pytorch.diagnosing import diagnose

        return diagnose()

    def load(
        self, model: ModelSource, device: str, name: str, options: ModelOptions, format: str | None = None
    ) -> Graph:
        """Load a model of the operator: a file, its bytes or a `torch.nn.Module`.

        Raises ModelError, which says what it is and what to do, if it cannot be used; ModelTooLarge if memory does not
        suffice; OSError if its file cannot be read; ValueError if there is no such device.
        """
        if isinstance(model, str | os.PathLike):
            model = Path(model)
        elif not isinstance(model, bytes | torch.nn.Module):
            raise ModelError(
                f"{name} has the type {quote(type(model).__name__)}; offer the path or the bytes of a PyTorch model, "
                "or a torch.nn.Module"
            )
        found = None if format in (None, _MODULE) else ModelFormat(format)
        return load(model, find_device(device), name, options, found)

    def session(self, ledger: Ledger) -> PyTorchSession:
        """Open the part of a session that is PyTorch's."""
        return PyTorchSession(ledger, self._devices, self._pins, self._checks, self._isolation)

    def prepare(self) -> None:
        """Wait for the server of workers, if the operator chose to isolate guests' models."""
        if self._isolation is not None and self._prepares:
            self._isolation.wait()

    def trim(self) -> None:
        """Empty the cache of PyTorch's allocator for the accelerator, which all of the process shares."""
        if torch.accelerator.is_available():
            torch.accelerator.empty_cache()
