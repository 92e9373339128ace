"""What a guest can give to a module, by the annotations of `forward`."""

# ruff: noqa: UP006, UP007, UP045  # older spellings are what this is about
from __future__ import annotations

import collections.abc
import inspect
import logging
import typing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, Optional, TypedDict, TypeVar, Union

import pytest
import torch
from torch import Tensor, nn

from wasi_nn_torch.contract.errors import ModelError
from wasi_nn_torch.contract.policy import ModelOptions, Optimize
from wasi_nn_torch.pytorch import graphs
from wasi_nn_torch.pytorch.devices import CPU
from wasi_nn_torch.pytorch.graphs import ExecutionContext, Kind, Parameter
from wasi_nn_torch.pytorch.graphs.inputs.annotations import argument_of
from wasi_nn_torch.pytorch.graphs.inputs.parameters import leaves

if TYPE_CHECKING:
    from nowhere import Cache, Unpack

pytestmark = pytest.mark.cpu

Numbers = TypeVar("Numbers", int, float)
Anything = TypeVar("Anything")
Ids = typing.NewType("Ids", torch.LongTensor)


class Pair(NamedTuple):
    left: Tensor
    right: Optional[Tensor] = None


@dataclass
class Encoded:
    last_hidden_state: Optional[torch.FloatTensor] = None
    name: str = ""


class Options(TypedDict, total=False):
    mask: torch.BoolTensor


class Shaped:
    """As jaxtyping's classes describe themselves."""

    array_type = Tensor
    dtypes = ("bool",)


def read(annotation, default=inspect.Parameter.empty):
    """What a guest can give for a parameter of that annotation: names, kinds and dtypes."""
    parameter = inspect.Parameter("x", inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
    found = argument_of(parameter, globals())
    return None if found is None else [(leaf.name, leaf.kind.value, leaf.dtype) for leaf in leaves(found)]


TENSOR = [("x", "tensor", None)]
LONG = [("x", "tensor", torch.int64)]
BOOL = [("x", "tensor", torch.bool)]


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        (inspect.Parameter.empty, TENSOR),
        (Any, TENSOR),
        (object, TENSOR),
        (Tensor, TENSOR),
        (nn.Parameter, TENSOR),
        (torch.FloatTensor, TENSOR),
        (torch.HalfTensor, TENSOR),
        (torch.LongTensor, LONG),
        (torch.IntTensor, [("x", "tensor", torch.int32)]),
        (torch.BoolTensor, BOOL),
        (Optional[torch.LongTensor], LONG),
        (Union[torch.LongTensor, torch.FloatTensor], TENSOR),
        (Union[torch.LongTensor, Tensor, None], TENSOR),
        (Union[int, Tensor], TENSOR),
        (Union[str, int], [("x", "integer", None)]),
        (Annotated[Tensor, torch.bool], BOOL),
        (Annotated[Tensor, "b c", torch.float16], [("x", "tensor", torch.float16)]),
        (Annotated[Tensor | None, "b c"], TENSOR),
        (Annotated[int, torch.bool], [("x", "integer", None)]),
        (Ids, LONG),
        (Numbers, [("x", "integer", None)]),
        (Anything, TENSOR),
        (Shaped, BOOL),
        (typing.Final[Tensor], TENSOR),
        (list[torch.LongTensor], [("x.*", "tensor", torch.int64)]),
        (collections.abc.Sequence[Tensor], [("x.*", "tensor", None)]),
        (typing.List[float], [("x.*", "float", None)]),
        (tuple[Tensor, ...], [("x.*", "tensor", None)]),
        (tuple, [("x.*", "tensor", None)]),
        (tuple[Tensor, int], [("x.0", "tensor", None), ("x.1", "integer", None)]),
        (tuple[tuple[Tensor, Tensor], ...], [("x.*.0", "tensor", None), ("x.*.1", "tensor", None)]),
        (dict[str, Tensor], [("x.*", "tensor", None)]),
        (collections.abc.Mapping[int, Tensor], [("x.*", "tensor", None)]),
        (Pair, [("x.left", "tensor", None), ("x.right", "tensor", None)]),
        (Encoded, [("x.last_hidden_state", "tensor", None)]),
        (Options, [("x.mask", "tensor", torch.bool)]),
        ("Tensor | None", TENSOR),
        ("Cache", TENSOR),
        ("Optional[Cache]", TENSOR),
        ("Cache | Tensor | None", TENSOR),
        ("torch.LongTensor | BlockMask", TENSOR),
        ("Float[Tensor, 'b c']", TENSOR),
        ("list['torch.LongTensor']", [("x.*", "tensor", torch.int64)]),
        ("no Python at all", TENSOR),
        (str, None),
        (bytes, None),
        (list[str], None),
        (tuple[Tensor, str], None),
        (dict[bytes, Tensor], None),
        (collections.abc.Callable[[Tensor], Tensor], None),
        (typing.Literal["mean", "sum"], None),
        (torch.dtype, None),
        (Optional[str], None),
    ],
    ids=str,
)
def test_what_can_be_a_tensor_is_one(annotation, expected):
    assert read(annotation) == expected


@pytest.mark.parametrize(
    ("annotation", "default", "expected"),
    [
        (inspect.Parameter.empty, 1.5, [("x", "float", None)]),
        (Any, True, [("x", "boolean", None)]),
        (Any, None, TENSOR),
        ("Cache", None, TENSOR),
        ("Cache", "auto", None),
        (inspect.Parameter.empty, (1, 2), None),
    ],
    ids=str,
)
def test_a_default_tells_what_an_annotation_does_not(annotation, default, expected):
    assert read(annotation, default) == expected


class Decoder(nn.Module):
    """Takes what a decoder of transformers takes."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(10, 2)

    def forward(
        self,
        input_ids: Optional[torch.LongTensor] = None,
        attention_mask: Optional[torch.FloatTensor] = None,
        past_key_values: Cache | None = None,
        inputs_embeds: torch.FloatTensor | None = None,
        use_cache: bool | None = None,
        mode: str = "eager",
        logits_to_keep: int | Tensor = 0,
        **kwargs: Unpack[Any],
    ) -> Tensor:
        words = self.words(input_ids) if inputs_embeds is None else inputs_embeds
        return words if attention_mask is None else words * attention_mask.unsqueeze(-1)


def test_a_decoder_as_transformers_annotates_it(memory, tensor, values, caplog):
    caplog.set_level(logging.INFO, "wasi_nn_torch")
    module = Decoder().eval()
    graph = graphs.load(module, CPU, "the model `net`")
    assert graph.signature.parameters == (
        Parameter("input_ids", Kind.TENSOR, optional=True, dtype=torch.int64),
        Parameter("attention_mask", Kind.TENSOR, optional=True),
        Parameter("past_key_values", Kind.TENSOR, optional=True),
        Parameter("inputs_embeds", Kind.TENSOR, optional=True),
        Parameter("use_cache", Kind.BOOLEAN, optional=True),
        Parameter("logits_to_keep", Kind.TENSOR, optional=True),
    )
    assert "the model `net`: no guest can give mode (str), which keeps its default" in caplog.text
    assert "no guest can give **kwargs" in caplog.text
    ids, mask = torch.tensor([[1, 2]], dtype=torch.int32), torch.tensor([[1, 0]])
    inputs = [("input_ids", tensor(ids)), ("attention_mask", tensor(mask))]
    [(_, output)] = ExecutionContext(graph, memory).compute(inputs)
    assert values(output) == [*module.words.weight[1].tolist(), 0, 0]


class Encodes(nn.Module):
    def forward(self, pair: Pair, encoded: Encoded | None = None) -> Tensor:
        y = pair.left if pair.right is None else pair.left + pair.right
        return y if encoded is None else y * encoded.last_hidden_state


@pytest.mark.parametrize(
    ("names", "expected"),
    [(["pair.left"], 3), (["pair.left", "pair.right"], 6), (["pair.left", "encoded.last_hidden_state"], 9)],
    ids=str,
)
def test_a_module_gets_objects_of_its_own_classes(names, expected, memory, tensor, values):
    context = ExecutionContext(graphs.load(Encodes(), CPU, "net"), memory)
    [(_, output)] = context.compute([(name, tensor(torch.tensor([3]))) for name in names])
    assert values(output) == [expected]


class ByPosition(nn.Module):
    def forward(self, x: Tensor, y: Tensor | None = None, /, *, z: Tensor) -> Tensor:
        return x - z if y is None else x - y - z


def test_parameters_that_have_no_names_are_given_by_name(memory, tensor, values):
    context = ExecutionContext(graphs.load(ByPosition(), CPU, "net"), memory)
    for names, expected in ((["z", "x"], 0), (["y", "x", "z"], -1)):
        [(_, output)] = context.compute([(name, tensor(torch.tensor([1]))) for name in names])
        assert values(output) == [expected]


def test_what_no_guest_can_give_and_has_no_default_is_refused_by_name():
    class Needs(nn.Module):
        def forward(self, x: Tensor, mode: str) -> Tensor:
            return x

    with pytest.raises(ModelError, match=r"its parameter `mode` is .*str"):
        graphs.load(Needs(), CPU, "net")


class Masks(nn.Module):
    def forward(self, x: Tensor, mask: torch.BoolTensor) -> Tensor:
        return x * ~mask


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("optimize", [None, Optimize.FREEZE])
def test_a_dtype_is_known_and_stays_so_when_a_module_is_frozen(optimize, memory, tensor, values):
    graph = graphs.load(Masks(), CPU, "net", ModelOptions(optimize))
    given = [("x", tensor(torch.ones(2))), ("mask", tensor(torch.tensor([1, 0], dtype=torch.uint8)))]
    assert [values(output) for _, output in ExecutionContext(graph, memory).compute(given)] == [[0, 1]]
