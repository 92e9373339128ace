"""Models that compute before the first guest asks: on which inputs, and what is said where that fails."""

import re
from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn
from typer.testing import CliRunner

from tests.wasi_nn_torch.helpers.exported_models import exported
from tests.wasi_nn_torch.helpers.guest_models import scripted
from wasi_nn_torch import Engine
from wasi_nn_torch.cli import app
from wasi_nn_torch.cli.graph_option import parse_graph
from wasi_nn_torch.contract.errors import ModelError
from wasi_nn_torch.contract.policy import ModelOptions
from wasi_nn_torch.contract.warm_up import WarmUp
from wasi_nn_torch.pytorch.devices import CPU
from wasi_nn_torch.pytorch.graphs import load
from wasi_nn_torch.pytorch.graphs.loading.warming import RUNS


class Seen(nn.Module):
    """Remembers what it was called with, in the class, whoever copies it."""

    calls: ClassVar[list] = []

    def forward(self, x: Tensor, y: Tensor | None = None, n: int = 7) -> Tensor:
        self.calls.append((tuple(x.shape), x.dtype, None if y is None else tuple(y.shape), n))
        return x

    def other(self, x: Tensor) -> Tensor:
        self.calls.append("other")
        return x


class Counter(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        self.count += 1
        return self.count + x.sum()


class Picky(nn.Module):
    """Wants a matrix and a rate that is not zero."""

    def forward(self, x: Tensor, rate: int) -> Tensor:
        if x.dim() != 2 or rate != 16000:
            raise ValueError("expected a matrix and a rate of 16000")
        return x


class Embeds(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(5, 2)

    def forward(self, tokens, mask, scale: int):
        return self.table(tokens) * mask.unsqueeze(-1) * scale


@pytest.fixture
def seen():
    Seen.calls.clear()
    return Seen.calls


def warmed(source, warm_up, device=CPU, **options):
    return load(source, device, "net", ModelOptions(warm_up=WarmUp.of(warm_up), **options))


@pytest.mark.parametrize("warm_up", [(1, 3), [1, 3], {"x": (1, 3)}])
def test_a_model_computes_on_zeros_of_the_sizes_that_are_given(warm_up, seen, device):
    warmed(Seen(), warm_up, device)
    assert seen == [((1, 3), torch.float32, None, 7)] * RUNS


@pytest.mark.parametrize("warm_up", [None, False])
def test_nothing_is_computed_unless_that_is_asked_for(warm_up, seen):
    warmed(Seen(), warm_up)
    assert seen == []


def test_optional_inputs_are_left_out_unless_they_are_given(seen):
    warmed(Seen(), {"x": (2,), "y": (4, 5), "n": 3})
    assert seen == [((2,), torch.float32, (4, 5), 3)] * RUNS


def test_another_method_is_warmed_up_where_it_was_chosen(seen):
    warmed(Seen(), (1,), method="other")
    assert seen == ["other"] * RUNS


def test_an_exported_program_says_itself_what_it_takes(device):
    batch = torch.export.Dim("batch", min=3, max=64)
    inputs = (torch.ones(4, 2, dtype=torch.long), torch.ones(4, 2, dtype=torch.bool), 3)
    sizes = {"tokens": {0: batch}, "mask": {0: batch}, "scale": torch.export.Dim.DYNAMIC}
    graph = warmed(exported(Embeds(), *inputs, dynamic_shapes=sizes), True, device)
    assert graph.examples == {"tokens": (4, 2), "mask": (4, 2), "scale": (3,)}


def test_sizes_that_are_given_hold_before_those_that_a_program_says(device):
    rows = torch.export.Dim("rows", min=2, max=64)
    data = exported(nn.ReLU(), torch.ones(4, 2), dynamic_shapes=({0: rows},))
    warmed(data, {"input": (64, 2)}, device)
    with pytest.raises(
        ModelError, match="cannot be warmed up on zeros of `input` \\[65, 2\\]: the inputs do not match"
    ):
        warmed(data, {"input": (65, 2)}, device)


@pytest.mark.parametrize(
    "save", [scripted, lambda module: module.eval(), lambda module: exported(module, torch.ones(1))]
)
def test_the_state_of_contexts_is_not_touched(save, device, memory, tensor, values):
    graph = warmed(save(Counter()), (1,), device)
    for _ in range(2):
        [(_, output)] = graph.context(memory).compute([("x", tensor(torch.zeros(1)))])
        assert values(output) == [1]


def test_a_model_that_is_loaded_anew_is_warmed_anew(seen):
    with Engine("cpu", cache=False) as engine:
        engine.register("net", Seen(), warm_up=(1,))
        assert len(seen) == RUNS
        engine._registry._entries["net"].loaded.clear()  # as if others had needed the room
        engine._registry.graph("net")
        assert len(seen) == 2 * RUNS


@pytest.mark.parametrize(
    ("model", "warm_up", "text"),
    [
        (Picky(), {"x": (2, 2)}, "cannot be warmed up on zeros of `x` [2, 2], `rate` 0: the model failed"),
        (
            Picky(),
            {"x": (2,), "rate": 16000},
            "ValueError: expected a matrix and a rate of 16000; give other sizes, or",
        ),
        (
            Picky(),
            (2, 2),
            'needs 2 inputs, `x`, `rate`; give the sizes to warm it up with: warm_up={"x": (1, 3, 224, 224)',
        ),
        (
            Picky(),
            True,
            'does not tell the sizes of `x`; give the sizes to warm it up with: warm_up={"x": (1, 3, 224',
        ),
        (Picky(), {"z": (1,)}, "cannot be warmed up with `z`; its inputs are `x`, `rate`"),
        (Counter(), (1 << 40,), "which do not fit into memory"),
        (Counter(), (1 << 62, 1 << 62), "which do not fit into memory"),
    ],
)
def test_what_cannot_be_warmed_up_is_refused_with_the_reason(model, warm_up, text, device):
    with pytest.raises(ModelError, match=re.escape(text)) as refused:
        warmed(scripted(model), warm_up, device)
    assert str(refused.value).startswith("net ")
    with Engine("cpu", cache=False) as engine:
        with pytest.raises(ModelError, match=re.escape(text)):
            engine.register("net", scripted(model), warm_up=warm_up)
        assert engine._registry.names == []


def test_numbers_are_given_as_such(device):
    warmed(scripted(Picky()), {"x": (2, 2), "rate": 16000}, device)


@pytest.mark.parametrize(
    ("warm_up", "text"),
    [
        ("yes", "warm_up is `'yes'`; give the sizes of the input, such as (1, 3, 224, 224)"),
        ((1, -3), "warm_up has the size `-3`; sizes are whole numbers of at least 0"),
        ((1, 2.5), "warm_up has the size `2.5`"),
        ({"x": (1, None)}, "warm_up of `x` has the size `None`"),
        ({"x": True}, "warm_up of `x` has the size `True`"),
        ({3: (1,)}, "warm_up has the key `3`; keys are the names of inputs"),
    ],
)
def test_what_is_not_sizes_is_refused(warm_up, text):
    with Engine("cpu", cache=False) as engine, pytest.raises(ValueError, match=re.escape(text)):
        engine.register("net", nn.ReLU(), warm_up=warm_up)


@pytest.mark.parametrize(
    ("options", "warm_up"),
    [
        ("", None),
        (",warm-up=yes", True),
        (",warm-up=1x3x224x224", (1, 3, 224, 224)),
        (",warm-up=7", (7,)),
        (",warm-up.x=1x2,optimize=none,warm-up.n=16000", {"x": (1, 2), "n": (16000,)}),
        (",warm-up=yes,warm-up.states.h=1x2", {"states.h": (1, 2)}),
        (",warm-up.x=0.5", {"x": 0.5}),
    ],
)
def test_the_command_line_spells_them(options, warm_up):
    assert parse_graph(f"net=a.pt{options}").options.warm_up == WarmUp.of(warm_up)


@pytest.mark.cpu
@pytest.mark.parametrize("option", ["warm-up=maybe", "warm-up=1x", "warm-up=1xyz", "warm-up.x=yes", "warm-up.=1"])
def test_the_command_line_refuses_others(option, tmp_path):
    result = CliRunner().invoke(app, ["run", "--graph", f"net=a.pt,{option}", str(tmp_path)])
    assert result.exit_code == 2
    assert "--graph" in result.stderr
    assert option.partition("=")[2] in result.stderr


@pytest.mark.cpu
def test_the_command_line_says_what_failed(tmp_path):
    path = tmp_path / "net.pt"
    path.write_bytes(scripted(Picky()))
    guest = tmp_path / "guest.wat"
    guest.write_text('(module (func (export "_start")))')
    graph = f"net={path},device=cpu,warm-up.x=2x2,warm-up.rate="
    assert CliRunner().invoke(app, ["run", "--graph", f"{graph}16000", str(guest)]).exit_code == 0
    result = CliRunner().invoke(app, ["run", "--graph", f"{graph}8000", str(guest)])
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert "net.pt` cannot be warmed up on zeros of `x` [2, 2], `rate` 8000: the model failed" in result.stderr
