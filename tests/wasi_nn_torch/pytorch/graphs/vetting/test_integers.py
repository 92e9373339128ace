"""The check of guests' models passes every integer that an operator can be given, and none of more than 64 bits."""

import json
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.export import Dim

from tests.wasi_nn_torch.helpers.exported_attacks import SMALL
from tests.wasi_nn_torch.helpers.exported_models import PROGRAM, changed, computed, exported, graph_of
from tests.wasi_nn_torch.helpers.guest_models import CODE, edited, files, loaded, refusal, scripted, traced, written
from wasi_nn_torch.contract.errors import NnError
from wasi_nn_torch.pytorch.devices import CPU
from wasi_nn_torch.pytorch.graphs import load_from_guest
from wasi_nn_torch.pytorch.graphs.vetting.check_exported import check_exported
from wasi_nn_torch.pytorch.graphs.vetting.check_torchscript import check_torchscript
from wasi_nn_torch.pytorch.graphs.vetting.exported import expressions
from wasi_nn_torch.pytorch.graphs.vetting.exported.shape import Misfit

# These are told from bytes, on whatever device.
pytestmark = [
    pytest.mark.cpu,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning"),
]

LEAST, LARGEST = -(1 << 63), (1 << 63) - 1
ALLOWED = [LEAST, LEAST + 1, -(1 << 62) - 1, -1, 0, (1 << 62) + 1, LARGEST - 1, LARGEST]
TOO_LARGE = [LEAST - 1, LARGEST + 1, 1 << 200]


class Extremes(nn.Module):
    """Uses both ends of the range wherever TorchScript can have an integer."""

    low: int

    def __init__(self) -> None:
        super().__init__()
        self.low = LEAST
        self.ends = [LEAST, LARGEST]
        self.table = {"high": LARGEST}
        self.pair = (LEAST, LARGEST)

    def forward(self, x: Tensor, least: int = -9223372036854775808) -> tuple[Tensor, list[int]]:
        y = x[1:9223372036854775807].clamp(min=self.low)
        return y, [self.low, self.ends[0], self.ends[1], self.table["high"], self.pair[0], self.pair[1], least]


class Slices(nn.Module):
    """Slices to the end, which PyTorch writes as the largest integer, from the least one, and clamps by both."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return x[:, 1:], x[LEAST + 1 :], torch.clamp(x, LEAST, LARGEST)


class Fills(nn.Module):
    """Fills by the ends of the range of a double, as masks do."""

    def forward(self, x: Tensor) -> Tensor:
        return x.masked_fill(x > 0, torch.finfo(torch.float64).min) + torch.finfo(torch.float64).max


class Grows(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.interpolate(x, scale_factor=1.5)


def test_a_scripted_model_uses_all_of_int64():
    data = scripted(Extremes())
    check_torchscript(data)
    _, ends = loaded(data)(torch.arange(4))
    assert ends == [LEAST, LEAST, LARGEST, LARGEST, LEAST, LARGEST, LEAST]


def test_a_traced_model_slices_to_the_end():
    check_torchscript(traced(Slices(), torch.ones(3, 4, dtype=torch.int64)))


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("functional", [False, True])
def test_an_exported_program_slices_to_the_end(dynamic, functional):
    x = torch.arange(12).reshape(3, 4)
    shapes = {"x": {0: Dim.AUTO, 1: Dim.AUTO}} if dynamic else None
    data = check_exported(exported(Slices(), x, functional=functional, dynamic_shapes=shapes))
    assert str(LARGEST) in files(data)[PROGRAM].decode()
    torch.testing.assert_close(computed(load_from_guest(data, CPU), x=x), Slices()(x))


def test_every_finite_double_passes():
    x = torch.rand(3, dtype=torch.float64)
    data = check_exported(exported(Fills(), x))
    torch.testing.assert_close(computed(load_from_guest(data, CPU), x=x), Fills()(x))


def test_sizes_that_grow_by_a_fraction_pass():
    x = torch.rand(1, 2, 6, 5)
    data = check_exported(exported(Grows(), x, dynamic_shapes={"x": {2: Dim.AUTO, 3: Dim.AUTO}}))
    x = torch.rand(1, 2, 8, 9)
    torch.testing.assert_close(computed(load_from_guest(data, CPU), x=x), Grows()(x))


def argument(case: str, value: object) -> Callable[[dict[str, Any]], None]:
    def change(document: dict[str, Any]) -> None:
        graph_of(document)["nodes"][0]["inputs"][0]["arg"] = {case: value}

    return change


def bounds(value: int) -> Callable[[dict[str, Any]], None]:
    return lambda document: document.update(range_constraints={"s77": {"min_val": value, "max_val": value}})


def hint(value: int) -> Callable[[dict[str, Any]], None]:
    def change(document: dict[str, Any]) -> None:
        size = next(size for size in graph_of(document)["tensor_values"]["x"]["sizes"] if "as_expr" in size)
        size["as_expr"]["hint"] = {"as_int": value}

    return change


def constant_input(value: int) -> Callable[[dict[str, Any]], None]:
    def change(document: dict[str, Any]) -> None:
        specs = document["graph_module"]["signature"]["input_specs"]
        specs.append({"constant_input": {"name": "n", "value": {"as_int": value}}})

    return change


PLACES: dict[str, Callable[[int], Callable[[dict[str, Any]], None]]] = {
    "an integer": lambda value: argument("as_int", value),
    "integers": lambda value: argument("as_ints", [0, value]),
    "a size": lambda value: argument("as_sym_int", {"as_int": value}),
    "sizes": lambda value: argument("as_sym_ints", [{"as_int": 1}, {"as_int": value}]),
    "bounds of a size": bounds,
    "the hint of a size": hint,
    "a constant input": constant_input,
}


@pytest.mark.parametrize("place", PLACES)
def test_an_exported_program_may_have_any_int64_wherever_an_integer_stands(place):
    for value in ALLOWED:
        data = check_exported(changed(SMALL, PLACES[place](value)))
        assert str(value) in json.dumps(json.loads(files(data)[PROGRAM]))


@pytest.mark.parametrize("place", PLACES)
def test_an_exported_program_may_not_have_a_larger_integer(place):
    for value in TOO_LARGE:
        with pytest.raises(NnError, match=f"`{value}` is not an integer of 64 bits") as caught:
            check_exported(changed(SMALL, PLACES[place](value)))
        assert "\n" not in caught.value.text


@pytest.mark.parametrize("value", ALLOWED)
def test_expressions_and_guards_have_any_int64(value):
    assert str(value) in str(expressions.size(f"Add(Symbol('s0'), Integer({value}))"))
    assert str(value) in str(expressions.guard(f"L['x'].size()[0] <= {value}"))


@pytest.mark.parametrize("value", TOO_LARGE)
def test_expressions_and_guards_have_no_larger_integer(value):
    with pytest.raises(Misfit):
        expressions.size(f"Add(Symbol('s0'), Integer({value}))")
    with pytest.raises(Misfit):
        expressions.guard(f"L['x'].size()[0] <= {value}")


@pytest.mark.parametrize(
    "text", ["Float('1.5', precision=99)", "Float('1e99999', precision=53)", "Float('x', precision=53)", "Float(1.5)"]
)
def test_a_fraction_of_unusual_precision_is_refused(text):
    with pytest.raises(Misfit):
        expressions.size(text)


@pytest.mark.parametrize("value", TOO_LARGE)
def test_code_with_a_larger_integer_is_refused(value, small):
    assert "a number is not an integer of 64 bits" in refusal(
        edited(small, CODE, "return", f"_9 = {value}\n    return")
    )


@pytest.mark.parametrize("value", TOO_LARGE)
def test_a_pickle_with_a_larger_integer_is_refused(value):
    data = scripted(Extremes())
    content = files(data)
    least = b"\x8a\x08" + LEAST.to_bytes(8, "little", signed=True)
    assert least in content["data.pkl"]
    packed = value.to_bytes(32, "little", signed=True)
    content["data.pkl"] = content["data.pkl"].replace(least, b"\x8a\x20" + packed, 1)
    assert "data.pkl: it holds an integer of more than 64 bits" in refusal(written(content))
