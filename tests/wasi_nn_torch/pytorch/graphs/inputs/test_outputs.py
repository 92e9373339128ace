from typing import NamedTuple

import pytest
import torch

from wasi_nn_torch.contract.errors import ErrorCode, NnError
from wasi_nn_torch.contract.vocabulary import ElementType


class Detection(NamedTuple):
    boxes: torch.Tensor
    scores: torch.Tensor


class Single(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + 1


class Dict(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"logits": x, "probabilities": x + 1}


class Named(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> Detection:
        return Detection(x, x + 1)


class Nested(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> tuple[dict[str, list[torch.Tensor]], tuple[Detection, torch.Tensor]]:
        return {"aux": [x, x + 1]}, (Detection(x + 2, x + 3), x + 4)


class Numbers(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> tuple[int, float, bool]:
        return x.numel(), 0.5, True


class Absent(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        return x, None


class Text(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, str]:
        return x, "cat"


class Complex(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"magnitude": x, "spectrum": torch.complex(x, x)}


class Twice(torch.nn.Module):
    """Returns its input twice, a view of it, and its own weight."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(2))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        return x, x, x[:1], self.weight


class Increment(torch.nn.Module):
    """Writes to its input."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.add_(1)


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (Single, {"output": [1]}),
        (Dict, {"logits": [0], "probabilities": [1]}),
        (Named, {"boxes": [0], "scores": [1]}),
        (Nested, {"0.aux.0": [0], "0.aux.1": [1], "1.0.boxes": [2], "1.0.scores": [3], "1.1": [4]}),
        (Numbers, {"0": [1], "1": [0.5], "2": [1]}),
        (Absent, {"0": [0]}),
    ],
)
def test_outputs_are_named_by_the_structure_and_in_its_order(model, expected, context, tensor, values):
    outputs = context(model()).compute([("x", tensor(torch.zeros(1)))])
    assert [(name, values(output)) for name, output in outputs] == list(expected.items())


def test_numbers_have_the_type_that_holds_them(context, tensor):
    outputs = context(Numbers()).compute([("x", tensor(torch.zeros(1)))])
    assert [output.dtype for _, output in outputs] == [ElementType.I64, ElementType.FP64, ElementType.U8]


@pytest.mark.parametrize(
    ("model", "text"),
    [(Text, "output `1` has the type str"), (Complex, "output `spectrum` has the dtype complex64")],
)
def test_what_wasi_nn_cannot_express_is_refused_by_name(model, text, context, tensor, ledger):
    with pytest.raises(NnError, match=text) as caught:
        context(model()).compute([("x", tensor(torch.zeros(1)))])
    assert caught.value.code is ErrorCode.UNSUPPORTED_OPERATION
    assert ledger.snapshot().live_tensors == 0


def test_outputs_share_memory_with_nothing(context, tensor, values):
    twice, increment = context(Twice()), context(Increment())
    (_, first), (_, second), (_, part), (_, weight) = twice.compute([("x", tensor(torch.zeros(2)))])
    for output in (first, weight):
        increment.compute([("x", output)])
    assert (values(second), values(part)) == ([0, 0], [0])
    *_, (_, weight) = twice.compute([("x", tensor(torch.zeros(2)))])
    assert values(weight) == [0, 0]


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2]])
def test_outputs_are_dropped_in_any_order(order, context, tensor, values, ledger):
    outputs = context(Twice()).compute([("x", tensor(torch.tensor([5.0, 6.0])))])
    expected = [[5, 6], [5, 6], [5], [0, 0]]
    left = dict(enumerate(output for _, output in outputs))
    for position in order:
        left.pop(position).drop()
        assert {kept: values(output) for kept, output in left.items()} == {kept: expected[kept] for kept in left}
    assert ledger.snapshot().live_bytes == 0


def test_an_input_that_is_returned_is_taken_over_without_a_copy(context, tensor, device):
    given = tensor(torch.ones(4))
    address = given.on(device, "x").data_ptr()
    [(_, output)] = context(Increment()).compute([("x", given)])
    assert output.on(device, "x").data_ptr() == address
