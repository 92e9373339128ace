"""The cost of computing real models in a context, with each way to optimize them, compared with PyTorch itself."""

from __future__ import annotations

import io
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import pytest
import torch
from torch import Tensor, nn

from benchmarks.bench_inference import resnet18, scripted
from benchmarks.comparison import Comparison, Work
from benchmarks.conftest import ROOT
from wasi_nn_torch.contract.ledger import Ledger
from wasi_nn_torch.contract.policy import ModelOptions, Optimize
from wasi_nn_torch.pytorch import graphs
from wasi_nn_torch.pytorch.devices import CPU
from wasi_nn_torch.pytorch.dtypes import ELEMENT_TYPES
from wasi_nn_torch.pytorch.staging import SessionMemory
from wasi_nn_torch.pytorch.tensors import DeviceTensor

Inputs = dict[str, Tensor]


@dataclass(frozen=True)
class Model:
    """A model as a PyTorch module, and as files of the one or two formats that it supports."""

    module: Callable[..., object]
    script: bytes
    program: bytes | None
    inputs: Inputs
    times: int
    rounds: int = 15

    def directly(self) -> Callable[[int], None]:
        """Call the module."""

        def call(times: int) -> None:
            with torch.inference_mode():
                for _ in range(times):
                    self.module(**self.inputs)

        return call

    def in_context(self, optimize: Optimize | None, file: bytes) -> Callable[[int], None]:
        """Do what `compute` does for a guest, without a guest: make the tensors, compute, and drop the outputs."""
        memory = SessionMemory.of(Ledger())
        context = graphs.load(file, CPU, "the model", ModelOptions(optimize)).context(memory)
        given = [
            (name, value.shape, ELEMENT_TYPES[value.dtype], memoryview(_raw(value)))
            for name, value in self.inputs.items()
        ]

        def call(times: int) -> None:
            for _ in range(times):
                tensors = [(name, DeviceTensor.from_guest(shape, ty, data, memory)) for name, shape, ty, data in given]
                for _, output in context.compute(tensors):
                    output.drop()

        return call


@cache
def efficientnet() -> Model:
    sys.path.insert(0, str(ROOT / "examples" / "classify"))
    from export_model import Classifier, efficientnet_lite0

    module = Classifier(efficientnet_lite0()).eval()
    photo = torch.randint(256, (300, 451, 3), dtype=torch.uint8)
    # The network is not scriptable as it is; a trace of it is.
    traced = torch.jit.trace(module.network, torch.rand(1, 3, 224, 224))
    script = scripted(Classifier(traced).eval())
    return Model(module, script, exported(module, photo), {"image": photo}, times=5)


@cache
def resnet() -> Model:
    module = resnet18().eval()
    picture = torch.rand(1, 3, 224, 224)
    return Model(
        lambda input: module(input),
        scripted(module),
        exported(module, picture),
        {"input": picture},
        times=3,
    )


@cache
def silero() -> Model:
    script = (ROOT / "build" / "vad" / "model.pt").read_bytes()
    module = torch.jit.load(io.BytesIO(script)).eval()
    chunk = torch.rand(1, 512)
    inputs = {"x": chunk, "sr": torch.tensor([16_000])}
    return Model(lambda x, sr: module(x, 16_000), script, None, inputs, times=200)


def exported(module: nn.Module, *inputs: Tensor) -> bytes:
    """A module as the file of an exported program."""
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.export.save(torch.export.export(module, inputs), file)
    return file.getvalue()


def _raw(value: Tensor) -> bytearray:
    return bytearray(value.contiguous().numpy().tobytes())


MODELS = {"EfficientNet-lite0": efficientnet, "ResNet-18 size": resnet, "silero-vad, a chunk": silero}
#: Each way to optimize, and whether its file is an exported program. `compile` accepts no other.
WAYS = {
    "none": (Optimize.NONE, False),
    "default": (None, False),
    "freeze": (Optimize.FREEZE, False),
    "default, exported": (None, True),
    "compile, exported": (Optimize.COMPILE, True),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", MODELS)
def test_a_model(compare: Comparison, name: str, way: str) -> None:
    model = MODELS[name]()
    optimize, is_exported = WAYS[way]
    file = model.program if is_exported else model.script
    if file is None:
        pytest.skip(f"{name} comes as TorchScript only")
    ours = Work(model.in_context(optimize, file), model.times)
    here, there = compare.measure(ours, Work(model.directly(), model.times), rounds=model.rounds)
    compare.within(f"{name}: {way}", "the module called directly", there, here, goal=None)
