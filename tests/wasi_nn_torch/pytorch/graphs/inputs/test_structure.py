"""Exported programs and modules that take and return objects of classes which this process does not have."""

import collections
import dataclasses
import subprocess
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from tests import warm
from wasi_nn_torch.pytorch import graphs
from wasi_nn_torch.pytorch.devices import CPU
from wasi_nn_torch.pytorch.graphs import ExecutionContext
from wasi_nn_torch.pytorch.graphs.inputs.outputs import flatten
from wasi_nn_torch.pytorch.inspecting import describe

EXPORTER = """
import collections, dataclasses, sys
from typing import NamedTuple
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

class ModelOutput(collections.OrderedDict):
    pass

@dataclasses.dataclass
class Pair:
    a: Tensor
    b: Tensor | None = None
    c: Tensor | None = None

class Detection(NamedTuple):
    boxes: Tensor
    scores: Tensor

class Cache:
    def __init__(self, parts):
        self.parts = parts

pytree.register_pytree_node(
    ModelOutput,
    lambda value: (list(value.values()), list(value.keys())),
    lambda values, keys: ModelOutput(zip(keys, values)),
    serialized_type_name="made_up.ModelOutput",
    flatten_with_keys_fn=pytree._dict_flatten_with_keys,
)
pytree.register_dataclass(Pair, serialized_type_name="made_up.Pair")
pytree._register_namedtuple(Detection, serialized_type_name="made_up.Detection")
pytree.register_pytree_node(
    Cache,
    lambda value: (list(value.parts), {"layers": [None]}),
    lambda values, _: Cache(list(values)),
    serialized_type_name="made_up.Cache",
    flatten_with_keys_fn=lambda value: (
        [(pytree.SequenceKey(at), part) for at, part in enumerate(value.parts)], {"layers": [None]}
    ),
)

class Returns(nn.Module):
    def forward(self, x):
        return ModelOutput(logits=x, past=Cache([x + 1, (x + 2, x + 3)]), pair=Pair(x + 4, None, x + 5), absent=None)

class ReturnsTuple(nn.Module):
    def forward(self, x):
        return Detection(x, x + 1)

class Takes(nn.Module):
    def forward(self, x, pair, found, cache):
        return x + 10 * pair.a + 100 * pair.c + 1000 * found.scores + 10000 * cache.parts[1]

x, a, c, boxes, scores, first, second = torch.ones(7, 1).unbind()
folder = sys.argv[1]
inputs = {"found": Detection(boxes, scores), "cache": Cache([first, second])}
torch.export.save(torch.export.export(Returns(), (x,)), folder + "/returns.pt2")
torch.export.save(torch.export.export(ReturnsTuple(), (x,)), folder + "/tuple.pt2")
torch.export.save(torch.export.export(Takes(), (x, Pair(a, None, c)), inputs), folder + "/takes.pt2")
"""
LEAVES = {"logits": 1, "past.0": 2, "past.1.0": 3, "past.1.1": 4, "pair.a": 5, "pair.c": 6}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The programs, exported by a process that has their classes."""
    path = tmp_path_factory.mktemp("programs")
    (path / "exporter.py").write_text(EXPORTER)
    subprocess.run([*warm.python(), "-W", "ignore", "exporter.py", str(path)], cwd=path, check=True, timeout=300)
    return path


@pytest.fixture
def compute(device, memory, tensor, values):
    """Compute a graph, given single numbers by name; its outputs by name."""

    def run(graph, **inputs):
        given = [(name, tensor(torch.tensor([float(value)]))) for name, value in inputs.items()]
        return {name: values(output)[0] for name, output in ExecutionContext(graph, memory).compute(given)}

    return run


def test_outputs_have_the_names_of_their_leaves(folder, device, compute):
    for _ in range(2):  # PyTorch remembers structures
        assert compute(graphs.load(folder / "returns.pt2", device, "net"), x=1) == LEAVES
    assert compute(graphs.load(folder / "tuple.pt2", device, "net"), x=1) == {"boxes": 1, "scores": 2}


def test_a_guest_may_bring_such_a_program(folder, device, compute):
    data = (folder / "returns.pt2").read_bytes()
    assert b"made_up" not in graphs.admit(data, graphs.ModelFormat.EXPORTED_PROGRAM), "no class is looked up"
    assert compute(graphs.load_from_guest(data, device, checks=True), x=1) == LEAVES


def test_inputs_have_the_names_of_their_leaves(folder, device, compute):
    graph = graphs.load(folder / "takes.pt2", device, "net")
    inputs = {"x": 1, "pair.a": 2, "pair.c": 3, "found.boxes": 9, "found.scores": 4, "cache.0": 9, "cache.1": 5}
    assert compute(graph, **inputs) == {"output": 54321}


def test_inspecting_tells_the_same_names(folder):
    contents = describe(folder / "returns.pt2", "net").contents
    assert [each.name for each in contents.outputs] == list(LEAVES)


def test_nothing_stays_registered(folder):
    before = dict(pytree.SERIALIZED_TYPE_TO_PYTHON_TYPE)
    graphs.load(folder / "returns.pt2", CPU, "net")
    assert before == pytree.SERIALIZED_TYPE_TO_PYTHON_TYPE


# --- live modules ---


@dataclasses.dataclass
class Encoded:
    last_hidden_state: Tensor
    pooler_output: Tensor | None = None


class Output(collections.OrderedDict):
    """As the outputs of transformers are."""


class Layers:
    """A cache: it has a length and parts, and is no list."""

    def __init__(self, *parts: object) -> None:
        self._parts = parts

    def __len__(self) -> int:
        return len(self._parts)

    def __iter__(self):
        return iter(self._parts)


class Row(NamedTuple):
    left: Tensor


@pytest.mark.parametrize(
    ("result", "names"),
    [
        (Encoded(torch.ones(1)), ["last_hidden_state"]),
        (
            Output(last_hidden_state=torch.ones(1), past_key_values=Layers((torch.ones(1), torch.ones(1), None))),
            ["last_hidden_state", "past_key_values.0.0", "past_key_values.0.1"],
        ),
        (collections.deque([torch.ones(1), Row(torch.ones(1))]), ["0", "1.left"]),
        (collections.UserDict(a=torch.ones(1)), ["a"]),
        (torch.return_types.max((torch.ones(1), torch.ones(1))), ["0", "1"]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_other_containers_are_taken_apart(result, names):
    assert [name for name, _ in flatten(result)] == names


def test_what_transformers_registers_is_taken_apart_by_its_keys():
    pytree.register_pytree_node(
        Layers, lambda value: ([value._parts[0], value._parts[1]], ["key_cache", "value_cache"]), lambda *_: None
    )
    try:
        assert [name for name, _ in flatten(Layers(torch.ones(1), [torch.ones(1)]))] == ["key_cache", "value_cache.0"]
    finally:
        pytree._deregister_pytree_node(Layers)


def test_a_module_that_returns_an_object(device, compute):
    class Encoder(nn.Module):
        def forward(self, x: Tensor) -> Encoded:
            return Encoded(x + 1, x + 2)

    assert compute(graphs.load(Encoder(), device, "net"), x=1) == {"last_hidden_state": 2, "pooler_output": 3}
