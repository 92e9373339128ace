"""The devices of ONNX Runtime: what it is told about CUDA. No CUDA is needed, and nothing is computed on it."""

from __future__ import annotations

import onnxruntime
import pytest
import torch
from onnxruntime import OrtValue

from tests.wasi_nn_torch.onnx.models import unary
from wasi_nn_torch.contract import Ledger, ModelError, Transfer
from wasi_nn_torch.contract.batch import Batch
from wasi_nn_torch.contract.policy import ModelOptions
from wasi_nn_torch.onnx.batching import batched
from wasi_nn_torch.onnx.devices import CPU, Device, find_device
from wasi_nn_torch.onnx.loading import load
from wasi_nn_torch.onnx.reading import Reader

pytestmark = pytest.mark.cpu

CUDA = Device("cuda", 1)
#: In DLPack: CUDA, and the legacy default stream.
DLPACK_CUDA, LEGACY = 2, 1


class OnDevice:
    """A stand-in for an output of PyTorch on a device, which tells the stream that its consumer names."""

    dimensions = (2,)

    def __init__(self, dtype, where: tuple[int, int]) -> None:
        self.dtype = dtype
        self.content = self
        self.streams: list[object] = []
        self._where = where

    def require_fit(self, name: str) -> None:
        pass

    def __dlpack_device__(self) -> tuple[int, int]:
        return self._where

    def __dlpack__(self, **options: object) -> object:
        self.streams.append(options.get("stream"))
        return torch.ones(2).__dlpack__()


@pytest.fixture
def graph():
    return load(unary("Neg", shape=("n",)), CPU, "the model", ModelOptions(), 1)


def test_cuda_computes_on_the_stream_of_pytorch_and_its_arena_grows_by_what_is_needed():
    [(name, options), fallback] = CUDA.providers
    assert (name, fallback) == ("CUDAExecutionProvider", "CPUExecutionProvider")
    assert options == {"device_id": "1", "arena_extend_strategy": "kSameAsRequested", "user_compute_stream": "1"}
    assert (CUDA.place, CUDA.dlpack, CUDA.stream, CUDA.shrinks) == ("cuda:1", (DLPACK_CUDA, 1), LEGACY, "gpu:1")


def test_a_tensor_on_the_device_is_read_in_place_after_what_its_stream_does(graph):
    [wanted] = graph.signature.inputs
    tensor, ledger = OnDevice(wanted.type.shown, CUDA.dlpack), Ledger()
    reader = Reader(ledger)
    value = reader.read(tensor, "x", wanted, CUDA)
    assert isinstance(value, OrtValue)
    assert tensor.streams == [LEGACY]
    assert reader.copies == 0
    assert ledger.snapshot().transfers[Transfer.HOST_TO_DEVICE].copies == 0


def test_a_tensor_of_the_host_is_uploaded_by_onnx_runtime_and_counted(graph):
    [wanted] = graph.signature.inputs
    tensor, ledger = OnDevice(wanted.type.shown, CPU.dlpack), Ledger()
    Reader(ledger).read(tensor, "x", wanted, CUDA)
    assert tensor.streams == [None]
    assert ledger.snapshot().transfers[Transfer.HOST_TO_DEVICE].bytes == 8


def test_a_device_gets_its_full_name_if_onnx_runtime_has_cuda(monkeypatch):
    providers = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: providers)
    assert find_device("cuda") == Device("cuda", 0)
    assert find_device("cuda:1") == CUDA
    with pytest.raises(ValueError, match="has no device `cuda:x`; choose cpu or cuda:0"):
        find_device("cuda:x")


def test_batches_on_cuda_are_refused(graph):
    there = type(graph)(graph.engine, None, CUDA, graph.signature, graph.outputs, graph.nbytes)
    with pytest.raises(
        ModelError, match="cannot be batched on cuda:1, because ONNX models are batched on the CPU only"
    ):
        batched(there, Batch(), None, 1, "the model")
