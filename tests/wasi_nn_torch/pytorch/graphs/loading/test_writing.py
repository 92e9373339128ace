"""Which models may write to their inputs: never a wrong "no", and a "no" for the networks that people run."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from tests.wasi_nn_torch.helpers.exported_models import exported
from tests.wasi_nn_torch.helpers.models import scripted
from wasi_nn_torch.contract.policy import ModelOptions, Optimize
from wasi_nn_torch.pytorch.devices import CPU
from wasi_nn_torch.pytorch.graphs import load

# It is told from the model, on whatever device.
pytestmark = pytest.mark.cpu

CONTENT = torch.tensor([[1.0, 2.0], [3.0, 4.0]])


class Adds(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.add_(1)


class View(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.view(-1).mul_(2)


class Element(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x[0, 0] = 9
        return x + 1


class Listed(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        held = [x]
        held.append(x + 1)
        return held[0].add_(1)


class Chosen(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        chosen = x if bool(x.sum() > 0) else x + 1
        return chosen.add_(1)


class Out(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        torch.add(x, 1, out=x)
        return x


class Untold(nn.Module):
    """Of two operators that return their argument, though their schemas do not say so."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.atleast_1d(x.type_as(x)).add_(1)


class Unbound(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.unbind(0)[0].add_(1)


class Passed(nn.Module):
    """Writes in a chain, the first link of which is the input."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.add_(1).mul_(2)


class Idle(nn.Module):
    """Has a dropout, which returns its argument while nothing trains."""

    def __init__(self) -> None:
        super().__init__()
        self.dropout = nn.Dropout()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.dropout(x).add_(1)


class Statistics(nn.Module):
    """Lets a normalization that trains write to it."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.batch_norm(x + 1, x[0], x[1], training=True)


class UntoldStatistics(nn.Module):
    """The same by an operator whose schema says nothing of it."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.batch_norm_update_stats(x + 1, x[0], x[1], 0.5)[0]


class Keeps(nn.Module):
    """Keeps its input, and writes to it the next time."""

    def __init__(self) -> None:
        super().__init__()
        self.kept = torch.zeros(2, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        before = self.kept.add_(1)
        self.kept = x
        return before


WRITING = [Adds, View, Element, Listed, Chosen, Out, Untold, Unbound, Passed, Idle, Statistics, UntoldStatistics]


class Residual(nn.Module):
    """What image networks are made of: activations in place, and a sum in place."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution, self.norm = nn.Conv2d(2, 2, 3, padding=1), nn.BatchNorm2d(2)
        self.relu, self.relu6 = nn.ReLU(inplace=True), nn.ReLU6(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.relu(self.norm(self.convolution(x)))
        y = self.norm(self.convolution(y))
        y += x
        return self.relu6(self.relu(y))


class Gathers(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows: list[torch.Tensor] = []
        for row in x.unbind(0):
            rows.append(row * 2)
        return torch.stack(rows)


def computed_thrice(graph, content):
    """What three computations of one context return, and what is in the input afterwards."""
    model = graph.instance()
    given = content.clone()
    with torch.inference_mode():
        for _ in range(3):
            model(x=given)
    return given


@pytest.mark.parametrize("model", [*WRITING, Keeps])
@pytest.mark.parametrize("optimize", [None, *Optimize][:3])
def test_a_scripted_model_that_writes_to_its_input_is_known(model, optimize):
    graph = load(scripted(model()), CPU, "the model", ModelOptions(optimize))
    assert graph.writes_inputs
    assert not torch.equal(computed_thrice(graph, CONTENT), CONTENT), "or the test shows nothing"


@pytest.mark.parametrize("model", [Adds, View, Element, Out, Untold, Unbound, Passed, Idle, UntoldStatistics])
def test_an_exported_model_that_writes_to_its_input_is_known(model):
    graph = load(exported(model(), CONTENT), CPU, "the model")
    assert graph.writes_inputs or torch.equal(computed_thrice(graph, CONTENT), CONTENT)


@pytest.mark.parametrize("save", [scripted, lambda model: exported(model, torch.ones(1, 2, 4, 4))], ids=["jit", "pt2"])
def test_a_network_that_writes_to_its_activations_only_is_known(save):
    graph = load(save(Residual().eval()), CPU, "the model")
    assert not graph.writes_inputs
    content = torch.randn(1, 2, 4, 4)
    assert torch.equal(computed_thrice(graph, content), content)


def test_a_list_that_a_model_fills_is_no_input():
    assert not load(scripted(Gathers()), CPU, "the model").writes_inputs


def test_of_a_module_in_python_nothing_is_known():
    assert load(Gathers(), CPU, "the model").writes_inputs
