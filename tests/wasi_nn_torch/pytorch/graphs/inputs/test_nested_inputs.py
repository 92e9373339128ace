"""Lists, tuples and dicts as inputs of TorchScript and modules: a guest gives their parts by name."""

from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from wasi_nn_torch.contract.errors import ErrorCode, NnError
from wasi_nn_torch.pytorch import graphs
from wasi_nn_torch.pytorch.graphs import ExecutionContext

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


class State(NamedTuple):
    h: Tensor
    c: Tensor | None


class Lists(torch.nn.Module):
    def forward(self, xs: list[Tensor]) -> Tensor:
        y = torch.zeros_like(xs[0])
        for position, x in enumerate(xs):
            y = y + 10**position * x
        return y


class Parts(torch.nn.Module):
    def forward(
        self,
        x: Tensor,
        s: State,
        hx: tuple[Tensor, Tensor] | None = None,
        named: dict[str, Tensor] | None = None,
        sizes: list[int] | None = None,
        pairs: list[tuple[Tensor, int]] | None = None,
    ) -> Tensor:
        y = x + s.h
        c = s.c
        if c is not None:
            y = y + 10 * c
        if hx is not None:
            y = y + 100 * (hx[0] - hx[1])
        if named is not None:
            y = y + 1000 * named["a.b"]
        if sizes is not None:
            for size in sizes:
                y = y + 10000 * size
        if pairs is not None:
            for left, right in pairs:
                y = y + 100000 * left * right
        return y


@pytest.fixture(params=["scripted", "module"])
def compute(request, device, memory, tensor, values, script):
    """Compute a module, given single numbers by name; its only output."""

    def run(module, **inputs):
        graph = graphs.load(script(module) if request.param == "scripted" else module, device, "net")
        given = [(name, tensor(torch.tensor([value]))) for name, value in inputs.items()]
        [(_, output)] = ExecutionContext(graph, memory).compute(given)
        return values(output)

    return run


BASE = {"x": 1, "s.h": 2}


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, 3),
        ({"s.c": 1}, 13),
        ({"hx.0": 3, "hx.1": 1}, 203),
        ({"named.a.b": 1}, 1003),
        ({"sizes.1": 1, "sizes.0": 2}, 30003),
        ({"pairs.0.0": 1, "pairs.0.1": 2, "pairs.1.0": 3, "pairs.1.1": 1}, 500003),
    ],
    ids=str,
)
def test_parts_are_given_by_name_and_what_is_optional_is_left_out(more, expected, compute):
    assert compute(Parts(), **BASE, **more) == [expected]


@pytest.mark.parametrize(
    ("inputs", "reason"),
    [
        ({"x": 1}, "missing: `s.h`"),
        ({"x": 1, "s.c": 1}, "missing: `s.h`"),
        ({**BASE, "hx.1": 1}, "missing: `hx.0`"),
        ({**BASE, "sizes.1": 1}, "missing: `sizes.0`"),
        ({**BASE, "pairs.0.0": 1, "pairs.1.1": 1}, "missing: `pairs.0.1`, `pairs.1.0`"),
        ({**BASE, "s": 1}, "unknown: `s`"),
        ({**BASE, "sizes.01": 1}, "unknown: `sizes.01`"),
        ({**BASE, "sizes.x": 1}, "unknown: `sizes.x`"),
        ({**BASE, "hx.2": 1}, "unknown: `hx.2`"),
        ({**BASE, "x.0": 1}, "unknown: `x.0`"),
        ({**BASE, "1": 1}, "mixed, or unknown: `1`"),
        ({"0": 1, "1": 1}, "unknown: `0`, `1`"),
    ],
    ids=str,
)
def test_parts_that_do_not_fit_are_refused_with_the_reason(inputs, reason, compute):
    with pytest.raises(NnError) as caught:
        compute(Parts(), **inputs)
    assert caught.value.code is ErrorCode.INVALID_ARGUMENT
    assert reason in caught.value.text


@pytest.mark.parametrize("names", [["xs.0", "xs.1", "xs.2"], ["0", "1", "2"], ["xs.2", "xs.0", "xs.1"]], ids=str)
def test_a_list_takes_any_number_by_name_or_position(names, compute):
    assert compute(Lists(), **dict(zip(names, [int(name[-1]) + 1 for name in names], strict=True))) == [321]


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        ([], "missing: `xs.0`"),
        (["xs.0", "xs.2"], "missing: `xs.1`"),
        (["xs.999999999"], "missing: `xs.0`"),
        (["xs." + "9" * 5000], "unknown"),
        (["xs.0", "1"], "mixed, or unknown: `1`"),
        (["anything"], "unknown: `anything`"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_list_has_no_gaps_and_no_other_names(names, reason, compute):
    with pytest.raises(NnError) as caught:
        compute(Lists(), **dict.fromkeys(names, 1))
    assert reason in caught.value.text
    assert "the model wants `xs.0`, `xs.1`, …" in caught.value.text
