"""Loading, ahead of any guest-supplied model, everything that loading and computing one needs."""

from __future__ import annotations

import io
import linecache
import sys
import warnings
from collections.abc import Iterator

import torch
from torch import nn

from wasi_nn_torch.contract.ledger import Ledger
from wasi_nn_torch.contract.tensor import read_bytes
from wasi_nn_torch.contract.vocabulary import ElementType
from wasi_nn_torch.pytorch.devices import CPU
from wasi_nn_torch.pytorch.graphs import load_from_guest
from wasi_nn_torch.pytorch.staging import SessionMemory
from wasi_nn_torch.pytorch.tensors import DeviceTensor

_SAMPLE = torch.zeros(2, 4, 8, 8)


def preload() -> None:
    """Import and initialize what guest-supplied models need, so that loading and computing them opens no file.

    Starts no thread, so that this process can be forked. From now on, and in the whole process, PyTorch computes with
    one thread, and tracebacks have no source lines, since those are read from files; nor can Python code be scripted.
    """
    torch.set_num_threads(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for model in _models():
            _use(model)
    _forget_sources()


def _models() -> Iterator[bytes]:
    """A small model in each format that guests can supply."""
    model = _Small().eval()
    traced, exported = io.BytesIO(), io.BytesIO()
    with torch.no_grad():
        torch.jit.save(torch.jit.trace(model, _SAMPLE, check_trace=False), traced)  # type: ignore[no-untyped-call]  # upstream
    yield traced.getvalue()
    batch = torch.export.Dim("batch", max=8)
    torch.export.save(torch.export.export(model, (_SAMPLE,), dynamic_shapes=({0: batch},)), exported)
    yield exported.getvalue()


class _Small(nn.Module):
    """A convolution, a normalization and a product of matrices."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Linear(8, 8))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Compute one vector for each image."""
        result: torch.Tensor = self.layers(images)
        return result.flatten(1)


def _use(model: bytes) -> None:
    """Load a model as a guest's, and compute it."""
    memory = SessionMemory.of(Ledger())
    graph = load_from_guest(model, CPU, checks=True)
    zeros = memoryview(bytes(_SAMPLE.nbytes))
    inputs = [
        (parameter.name, DeviceTensor.from_guest(_SAMPLE.shape, ElementType.FP32, zeros, memory))
        for parameter in graph.signature.inputs
    ]
    for _, output in graph.context(memory).compute(inputs):
        read_bytes(output)
        output.drop()


def _forget_sources() -> None:
    """Let every module that is loaded have no lines, as far as tracebacks are concerned."""
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if isinstance(file, str):
            linecache.cache[file] = (0, None, [], file)  # without a time of change, it is not compared with the file
