"""Small models for tests."""

from __future__ import annotations

import io
import time
import warnings

import torch
from torch import nn


class Add(nn.Module):
    """Adds its inputs; the second is 1 where it is left out."""

    def forward(self, x: torch.Tensor, y: torch.Tensor | None = None) -> torch.Tensor:
        return x + 1 if y is None else x + y


class Scale(nn.Module):
    """Multiplies its input."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.factor


class Split(nn.Module):
    """Returns each element of its input by itself."""

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        return list(x.unbind())


class Fails(nn.Module):
    """Always raises; wants a vector of floats."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not x.is_floating_point():
            raise ValueError("expected floats")
        if x.dim() != 1:
            raise ValueError("expected a vector")
        raise ValueError("fails on purpose")


class Writes(nn.Module):
    """Writes a file of the host, as TorchScript can."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        torch.save(x, "written-by-a-guest")
        return x


class Counts(nn.Module):
    """Adds the number of its computations, which it keeps in a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.count += 1
        return x + self.count


class Slow(nn.Module):
    """Multiplies matrices, `times` times, and adds nothing to its input."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = times

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.full((256, 256), 1 / 256)
        for _ in range(self.times):
            y = torch.mm(y, y)
        return x + y.sum() * 0


def scripted(module: nn.Module) -> bytes:
    """A module as the bytes of a TorchScript file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        file = io.BytesIO()
        torch.jit.save(torch.jit.script(module.eval()), file)
    return file.getvalue()


def slow(seconds: float) -> Slow:
    """A model that computes for about this time, on one thread of this machine."""
    y = torch.ones(256, 256)
    torch.mm(y, y)
    begin = time.perf_counter()
    for _ in range(20):
        torch.mm(y, y)
    return Slow(max(1, int(seconds * 20 / (time.perf_counter() - begin))))
