"""The cost of running a model from a guest, compared with running it on PyTorch directly."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise

import pytest
import torch
from torch import nn

from benchmarks.comparison import Comparison, Work
from benchmarks.guests import INFERENCE
from benchmarks.hosting import Guest, on_wasi_nn
from wasi_nn_torch import Engine


class Block(nn.Module):
    """Two convolutions with a shortcut around them."""

    def __init__(self, given: int, made: int, stride: int) -> None:
        super().__init__()
        self.inside = nn.Sequential(
            nn.Conv2d(given, made, 3, stride, 1, bias=False),
            nn.BatchNorm2d(made),
            nn.ReLU(),
            nn.Conv2d(made, made, 3, 1, 1, bias=False),
            nn.BatchNorm2d(made),
        )
        self.around: nn.Module = nn.Identity()
        if stride > 1:
            self.around = nn.Sequential(nn.Conv2d(given, made, 1, stride, bias=False), nn.BatchNorm2d(made))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.inside(x) + self.around(x))


def resnet18() -> nn.Module:
    """A network with the layers of ResNet-18 and 11.7 million random weights."""
    torch.manual_seed(0)
    widths = (64, 64, 128, 256, 512)
    blocks = [
        block
        for given, made in pairwise(widths)
        for block in (Block(given, made, 1 if given == made else 2), Block(made, made, 1))
    ]
    stem = (nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1))
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 1000))


def scripted(module: nn.Module) -> bytes:
    """A module as a TorchScript file."""
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(torch.jit.script(module.eval()), file)
    return file.getvalue()


@contextmanager
def guest_with(model: bytes, *shape: int, optimize: str | None = "none") -> Iterator[Guest]:
    """A guest that has opened the model, without optimizing it, and gives it tensors of a shape."""
    with Engine("cpu", cache=False) as engine:
        engine.register("model", model, optimize=optimize)
        with on_wasi_nn(engine, INFERENCE) as guest:
            guest["shape"](len(shape), *shape, *[1] * (4 - len(shape)))
            guest["open"]()
            yield guest


def directly(model: bytes, *shape: int) -> Callable[[int], None]:
    """The same four steps on PyTorch: make a tensor from bytes, compute, read the result's bytes, release both."""
    module = torch.jit.load(io.BytesIO(model))
    data = bytearray(4 * torch.Size(shape).numel())
    with torch.inference_mode():
        result = torch.empty_like(module(torch.zeros(shape)))

    def infer(times: int) -> None:
        for _ in range(times):
            tensor = torch.frombuffer(data, dtype=torch.float32).clone().view(shape)
            with torch.inference_mode():
                output = module(tensor)
                result.copy_(output)
            del tensor, output

    return infer


def test_a_small_model(compare: Comparison) -> None:
    model = scripted(nn.Identity())
    with guest_with(model, 1, 4) as guest:
        here, there = compare.measure(Work(guest["infer"], 500), Work(directly(model, 1, 4), 500), rounds=21)
    compare.above("inference of a 1x4 identity", "PyTorch directly", there, here, goal=100e-6)


@pytest.mark.parametrize(("what", "optimize"), [("as it is", "none"), ("as it is registered by default", None)])
def test_a_usual_model(compare: Comparison, what: str, optimize: str | None) -> None:
    model = scripted(resnet18())
    module = torch.jit.load(io.BytesIO(model))
    picture = torch.zeros(1, 3, 224, 224)

    def call(times: int) -> None:
        with torch.inference_mode():
            for _ in range(times):
                module(picture)

    with guest_with(model, 1, 3, 224, 224, optimize=optimize) as guest:
        here, there = compare.measure(Work(guest["infer"], 5), Work(call, 5), rounds=15)
    compare.within(f"ResNet-18, batch 1, {what}", "the module called directly", there, here, goal=1.03)
