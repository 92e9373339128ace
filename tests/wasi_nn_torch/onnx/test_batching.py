"""ONNX models whose computations are joined, those that are refused, and guests that do not notice."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from onnx import TensorProto, numpy_helper

from tests.wasi_nn_torch.helpers.architectures import ARCHITECTURES
from tests.wasi_nn_torch.onnx.conftest import elements, given
from tests.wasi_nn_torch.onnx.models import FLOAT, linear, model, node, unary, value
from tests.wasi_nn_torch.pytorch.graphs.test_batching import rows_like
from tests.wasi_nn_torch.sessions.test_batching import ENOUGH, Door, Threads, asking, until
from wasi_nn_torch import Batch, Engine, Limits, ModelError
from wasi_nn_torch.contract.backend import BackendOptions
from wasi_nn_torch.contract.errors import ErrorCode, NnError
from wasi_nn_torch.contract.ledger import Ledger
from wasi_nn_torch.contract.policy import ModelOptions
from wasi_nn_torch.contract.warm_up import WarmUp
from wasi_nn_torch.onnx import batched, batching
from wasi_nn_torch.onnx.backend import OnnxBackend
from wasi_nn_torch.onnx.batched import BatchedOnnxGraph
from wasi_nn_torch.pytorch import PyTorch

pytestmark = pytest.mark.cpu

ROW = torch.arange(4.0).view(1, 4)
OPTIONS = BackendOptions("cpu", threads=1)
DOUBLE = TensorProto.DOUBLE


def joinable(data: bytes, batch: Batch | None = None, **sizes: object) -> BatchedOnnxGraph:
    """Load a model for batches."""
    options = ModelOptions(batch=batch or Batch(), warm_up=WarmUp.of(sizes or None))
    graph = OnnxBackend(OPTIONS).load(data, "cpu", "the model", options)
    assert isinstance(graph, BatchedOnnxGraph)
    return graph


class Session:
    """A session of both engines, and its requests to a graph."""

    def __init__(self, graph: BatchedOnnxGraph, device_bytes: int | None = None) -> None:
        self.ledger = Ledger(device_bytes)
        self._tensors = PyTorch(OPTIONS).session(self.ledger)
        self._context = OnnxBackend(OPTIONS).session(self.ledger).context(graph)

    def request(self, **inputs: torch.Tensor):
        return self._context.request(self._given(inputs))

    def alone(self, **inputs: torch.Tensor) -> list[torch.Tensor]:
        return [elements(output) for _, output in self._context.compute(self._given(inputs))]

    def answers(self, request) -> list[torch.Tensor]:
        try:
            return [elements(output) for _, output in request.outputs()]
        finally:
            request.drop()

    def _given(self, inputs: dict[str, torch.Tensor]):
        return [(name, given(self._tensors, content)) for name, content in inputs.items()]


def together(graph: BatchedOnnxGraph, *contents: torch.Tensor) -> list[list[torch.Tensor]]:
    """What several sessions get that ask for these inputs at once; nothing of it is left."""
    sessions = [Session(graph) for _ in contents]
    requests = [session.request(**{"0": content}) for session, content in zip(sessions, contents, strict=True)]
    assert len({request.kind for request in requests}) == 1
    assert graph.compute_together(requests)
    found = [session.answers(request) for session, request in zip(sessions, requests, strict=True)]
    assert [session.ledger.snapshot().live_bytes for session in sessions] == [0] * len(sessions)
    return found


# --- the same as alone ---


def exported(module: torch.nn.Module, example: torch.Tensor, dynamic_shapes: object) -> bytes:
    """A module as PyTorch exports it."""
    file = io.BytesIO()
    logging.disable(logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval(), (example,), file, external_data=False, verbose=False, dynamic_shapes=dynamic_shapes
        )
    logging.disable(logging.NOTSET)
    return file.getvalue()


@pytest.mark.parametrize("name", ["T5", "ViT", "ResNet, DenseNet, MobileNet", "a detector"])
def test_each_session_gets_what_it_would_get_alone(name):
    make, example = ARCHITECTURES[name]
    torch.manual_seed(0)
    two = torch.cat([example[:1]] * 2)
    graph = joinable(exported(make(), two, ({0: torch.export.Dim("batch")},)))
    rows = rows_like(example, 5)
    contents = [rows[0], torch.cat(rows[1:3]), *rows[3:]]  # the second asks for two rows
    wanted = [Session(graph).alone(**{"0": content}) for content in contents]
    for found, alone in zip(together(graph, *contents), wanted, strict=True):
        for one, other in zip(found, alone, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("kind", ["float16", "bfloat16", "double", "int64", "int8", "bool", "uint32"])
def test_rows_of_every_type_are_joined_and_split(kind):
    number = getattr(TensorProto, kind.upper())
    graph = joinable(unary("Identity", number, ("n", 2)))
    a, b = torch.tensor([[0, 1]]), torch.tensor([[1, 0], [1, 1]])
    if kind in ("float16", "bfloat16", "double"):
        a, b = (each.to(getattr(torch, kind)) for each in (a, b))
    for found, content in zip(together(graph, a, b), (a, b), strict=True):
        assert torch.equal(found[0].to(content.dtype), content)


def test_rows_of_no_elements_are_joined():
    graph = joinable(unary("Neg", shape=("n", "m")), x=(1, 3))
    assert [found[0].shape for found in together(graph, torch.ones(2, 0), torch.ones(1, 0))] == [(2, 0), (1, 0)]


def test_all_outputs_are_split():
    nodes = [node("Add", "x x", "twice"), node("ReduceSum", "x axis", "sum", keepdims=0)]
    axis = numpy_helper.from_array(np.array([1]), "axis")
    made = model(nodes, [value("x", ["n", 4])], [value("twice", ["n", 4]), value("sum", ["n"])], [axis])
    for found, factor in zip(together(joinable(made), ROW, 2 * ROW), (1, 2), strict=True):
        assert [each.tolist() for each in found] == [[[0, 2 * factor, 4 * factor, 6 * factor]], [6 * factor]]


# --- apart ---


def lookup() -> bytes:
    """A model that fails for numbers beyond 10."""
    table = numpy_helper.from_array(np.arange(40, dtype=np.float32).reshape(10, 4), "table")
    ids = value("ids", ["n", 2], TensorProto.INT64)
    return model([node("Gather", "table ids", "y")], [ids], [value("y", ["n", 2, 4])], [table])


def test_an_index_out_of_range_fails_alone():
    graph = joinable(lookup())
    sessions = [Session(graph) for _ in range(3)]
    contents = [torch.tensor([[1, 2]]), torch.tensor([[3, 99]]), torch.tensor([[5, 6]])]
    requests = [session.request(ids=content) for session, content in zip(sessions, contents, strict=True)]
    assert not graph.compute_together(requests)
    assert not any(request.has_failed for request in requests)
    for request in requests:
        assert graph.compute_together([request])
    assert [request.has_failed for request in requests] == [False, True, False]
    with pytest.raises(NnError, match=r"computing `ids` I64 \[1, 2\].*out of data bounds"):
        sessions[1].answers(requests[1])
    for index in (0, 2):
        [found] = sessions[index].answers(requests[index])
        assert found.tolist() == torch.arange(40.0).view(10, 4)[contents[index]].tolist()
    assert all(session.ledger.snapshot().live_bytes == 0 for session in sessions)


@pytest.mark.parametrize("poison", [float("nan"), float("inf"), -float("inf")])
def test_nan_and_infinities_do_not_reach_others(poison):
    found = together(joinable(linear().SerializeToString()), ROW, torch.full((1, 4), poison), 2 * ROW)
    assert [bool(torch.isfinite(each[0]).all()) for each in found] == [True, False, True]


def test_an_output_is_freed_when_its_session_drops_it_whatever_others_hold():
    graph = joinable(unary("Identity", shape=("n", 4)))
    sessions = [Session(graph) for _ in range(4)]
    requests = [session.request(x=ROW) for session in sessions]
    graph.compute_together(requests)
    outputs = [request.outputs()[0][1] for request in requests]
    assert len({output.value.data_ptr() for output in outputs}) == 4
    for request in requests:
        request.drop()
    outputs[0].drop()
    assert [session.ledger.snapshot().live_bytes for session in sessions] == [0, 16, 16, 16]


@pytest.mark.parametrize("number", [1, 2])
def test_an_output_never_lies_on_the_memory_of_an_input(number):
    graph = joinable(unary("Identity", shape=("n", 4)))
    sessions = [Session(graph) for _ in range(number)]
    requests = [session.request(x=ROW) for session in sessions]
    graph.compute_together(requests)
    [(_, output)] = requests[0].outputs()
    inputs = requests[0]._inputs[0][1]._content()
    inputs.zero_()
    for request in requests:
        request.drop()
    assert torch.equal(elements(output), ROW)


# --- limits ---


def test_the_copy_of_joined_inputs_counts_until_the_request_is_dropped():
    session = Session(joinable(unary("Neg", shape=("n", 4))))
    request = session.request(x=ROW)
    assert session.ledger.snapshot().places["cpu"].bytes == 16
    request.drop()
    assert session.ledger.snapshot().live_bytes == 0


def test_without_room_for_that_copy_a_request_is_computed_alone():
    session = Session(joinable(unary("Neg", shape=("n", 4))), device_bytes=15)
    request = session.request(x=ROW)
    assert request.kind is None
    request.drop()


def test_an_output_beyond_a_limit_is_refused_to_its_session_alone():
    graph = joinable(linear(400).SerializeToString())
    row = torch.ones(1, 400)
    small, large = Session(graph, device_bytes=1600), Session(graph)
    requests = [small.request(x=row), large.request(x=row)]
    assert graph.compute_together(requests)
    with pytest.raises(NnError, match="output `y` needs 1600 bytes"):
        small.answers(requests[0])
    assert large.answers(requests[1])[0].shape == (1, 400)
    assert small.ledger.snapshot().live_bytes == 0


# --- kinds ---


def test_only_equal_sizes_can_be_joined_whatever_names_and_types_the_guest_gives():
    made = model(
        [node("Add", "x y", "z")],
        [value("x", ["n", "m"], DOUBLE), value("y", ["n", "m"], DOUBLE)],
        [value("z", ["n", "m"], DOUBLE)],
    )
    session = Session(joinable(made, x=(1, 4), y=(1, 4)))
    kinds = {
        name: session.request(**inputs).kind
        for name, inputs in {
            "one row": {"x": ROW.double(), "y": ROW.double()},
            "two rows": {"x": torch.cat([ROW, ROW]), "y": torch.cat([ROW, ROW])},
            "by position": {"0": ROW, "1": ROW.double()},
            "the other way round": {"y": ROW, "x": ROW},
            "shorter": {"x": ROW[:, :2], "y": ROW[:, :2]},
            "no rows": {"x": ROW[:0], "y": ROW[:0]},
            "unequal rows": {"x": torch.cat([ROW, ROW]), "y": ROW},
        }.items()
    }
    assert kinds["one row"] == kinds["two rows"] == kinds["by position"] == kinds["the other way round"]
    assert kinds["one row"] != kinds["shorter"]
    assert kinds["no rows"] is None
    assert kinds["unequal rows"] is None


def test_numbers_are_joined_if_they_are_the_same():
    made = model([node("Mul", "x factor", "y")], [value("x", ["n", 4]), value("factor", [])], [value("y", ["n", 4])])
    graph = joinable(made, x=(1, 4), factor=2.0)
    session = Session(graph)
    two, three = torch.tensor([2.0]), torch.tensor([3.0])
    requests = [session.request(x=ROW, factor=factor) for factor in (two, two, three)]
    assert requests[0].kind == requests[1].kind != requests[2].kind
    assert graph.compute_together(requests[:2])
    assert torch.equal(session.answers(requests[0])[0], 2 * ROW)


# --- refused ---


def over_rows(*nodes, weights=(), output=("n", 4)) -> bytes:
    return model(nodes, [value("x", ["n", 4])], [value("y", output)], weights)


AXIS = numpy_helper.from_array(np.array([0]), "axis")
ZERO = numpy_helper.from_array(np.float32(0), "zero")

#: Models that treat rows together, or not the same each time.
MIXING = {
    "mean": over_rows(node("ReduceMean", "x axis", "m"), node("Sub", "x m", "y"), weights=[AXIS]),
    "softmax": over_rows(node("Softmax", "x", "y", axis=0)),
    "one scale for all": over_rows(node("DynamicQuantizeLinear", "x", "q s z"), node("DequantizeLinear", "q s z", "y")),
    "NaN": over_rows(
        node("ReduceSum", "x", "s", keepdims=0), node("Mul", "s zero", "o"), node("Add", "x o", "y"), weights=[ZERO]
    ),
    "the number of rows": over_rows(
        node("Shape", "x", "s", start=0, end=1), node("Cast", "s", "f", to=FLOAT), node("Mul", "x f", "y")
    ),
}


@pytest.mark.parametrize("name", MIXING)
def test_a_model_that_mixes_rows_is_refused(name):
    with pytest.raises(ModelError, match="cannot be batched: it mixes rows: its output `y` for one row depends on"):
        joinable(MIXING[name])


def test_a_model_with_random_numbers_is_refused():
    made = over_rows(node("RandomNormalLike", "x", "r"), node("Add", "x r", "y"))
    with pytest.raises(ModelError, match="it keeps a state, or draws random numbers"):
        joinable(made)


@pytest.mark.parametrize("op", ["ReduceSum", "Transpose"])
def test_outputs_without_rows_are_refused(op):
    with pytest.raises(ModelError, match=r"its output `y` is \[.*\] for [13] rows of the inputs, which must be"):
        joinable(over_rows(node(op, "x", "y"), output=None))


def test_a_model_for_one_row_says_how_to_export_it():
    with pytest.raises(ModelError) as refusal:
        joinable(unary("Neg", shape=(1, 8)))
    assert str(refusal.value) == (
        "the model cannot be batched, because it was exported for the fixed size [1, 8] of `x`; leave dimension 0 open "
        'and export it with two rows: batch = torch.export.Dim("batch"); torch.onnx.export(model, inputs, path, '
        'dynamic_shapes={"x": {0: batch}})'
    )


def test_the_advice_for_a_model_works():
    batch = torch.export.Dim("batch")
    assert joinable(exported(torch.nn.Linear(4, 4), torch.cat([ROW, ROW]), {"input": {0: batch}}))
    with pytest.raises(ModelError, match=r"for the fixed size \[1, 4\] of `input`"):
        joinable(exported(torch.nn.Linear(4, 4), ROW, None))


def test_a_model_that_is_made_for_one_row_inside_is_refused():
    shape = numpy_helper.from_array(np.array([1, 4]), "s")
    with pytest.raises(ModelError, match="it failed when that was tried"):
        joinable(over_rows(node("Reshape", "x s", "y"), weights=[shape]))


def test_a_model_without_rows_in_any_input_is_refused():
    with pytest.raises(ModelError, match="because none of its inputs has rows"):
        joinable(unary("Neg", shape=()))


def test_without_sizes_a_model_cannot_be_tried():
    made = unary("Neg", shape=("n", "m"))
    with pytest.raises(
        ModelError, match=r"does not tell the sizes of `x`; give them.*warm_up=.*or vouch for the model"
    ):
        joinable(made)
    with pytest.raises(ModelError, match="does not tell the sizes of `x`"):
        joinable(unary("Neg", shape=None))
    assert joinable(made, x=(1, 3))
    assert joinable(unary("Neg", shape=None), x=(1, 3))


def test_a_model_that_the_operator_vouches_for_is_not_tried():
    graph = joinable(over_rows(node("ReduceSum", "x", "y", keepdims=0), output=()), Batch(trial=False))
    session = Session(graph)
    requests = [session.request(x=ROW) for _ in range(2)]
    assert not graph.compute_together(requests), "the outputs cannot be split"
    for request in requests:
        assert graph.compute_together([request])
        assert session.answers(request)[0].tolist() == [6]


# --- guests ---

DOOR = Door()


@pytest.fixture(autouse=True)
def computed(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The rows of each computation; they pass the door, which is open, one at a time on any machine."""
    call, rows = batched.called, []

    def held(graph, wanted, values):
        DOOR()
        rows.extend(value.shape()[0] for value in values[:1] if value.shape())
        return call(graph, wanted, values)

    monkeypatch.setattr(batching, "lanes_for", lambda threads: 1)
    monkeypatch.setattr(batched, "called", held)
    monkeypatch.setattr("wasi_nn_torch.onnx.context.called", held)
    DOOR.open()
    yield rows
    DOOR.open()


@pytest.fixture
def engine(computed):
    scale = numpy_helper.from_array(np.arange(1, 5, dtype=np.float32), "scale")
    scaled = model([node("Mul", "x scale", "y")], [value("x", ["n", 4])], [value("y", ["n", 4])], [scale])
    with Engine("cpu", cache=False) as engine:
        engine.register("scale", scaled, batch=Batch(max_size=8, max_queue=8))
        computed.clear()
        yield engine


def sizes(engine: Engine) -> dict[int, int]:
    [figures] = engine.stats.models
    return dict(figures.batching.sizes)


def waiting(engine: Engine) -> int:
    return engine._registry.graph("scale").batcher.waiting


def ask(engine: Engine, threads: Threads, sessions: list, guests: list) -> None:
    """Run guests while another one computes, so that they all wait."""
    DOOR.close()
    for position, (session, guest) in enumerate(zip(sessions, guests, strict=True)):
        threads.run(str(position), lambda session=session, guest=guest: session.run(guest))
        assert DOOR.arrived.wait(ENOUGH)
        until(lambda position=position: waiting(engine) == position)


def test_guests_are_computed_together_and_do_not_notice(engine):
    guests = [engine.compile(asking("scale", rows)) for rows in (1, 2, 1, 3)]
    sessions, threads = [engine.session() for _ in guests], Threads()
    ask(engine, threads, sessions, guests)
    DOOR.open()
    assert set(threads.join().values()) == {0}
    assert sizes(engine) == {1: 1, 6: 1}
    assert sessions[1].stats.batching["scale"].sizes == {6: 1}
    assert sessions[1].stats.memory.live_bytes == 0


def test_sessions_with_a_higher_priority_go_first(engine, computed):
    guests = [engine.compile(asking("scale", rows)) for rows in (5, 6, 7, 8)]  # no two of them fit into a batch
    sessions = [engine.session(priority=priority) for priority in (0, 0, 0, 5)]
    threads = Threads()
    ask(engine, threads, sessions, guests)
    DOOR.open()
    assert set(threads.join().values()) == {0}
    assert computed == [5, 8, 6, 7]


def test_a_guest_whose_limit_does_not_suffice_fails_alone(engine):
    guests = [engine.compile(asking("scale")) for _ in range(3)]
    sessions = [engine.session(), engine.session(limits=Limits(device_bytes=20, timeout=0.5)), engine.session()]
    threads = Threads()
    ask(engine, threads, sessions, guests)
    DOOR.open()
    outcomes = threads.join()
    assert (outcomes["0"], outcomes["2"]) == (0, 0)
    assert isinstance(outcomes["1"], Exception)
    assert sizes(engine) == {1: 1, 2: 1}


def test_a_queue_that_is_full_refuses_one_more(engine):
    guests = [engine.compile(asking("scale")) for _ in range(9)]
    sessions, threads = [engine.session() for _ in guests], Threads()
    ask(engine, threads, sessions, guests)
    with Engine("cpu", cache=False):
        serving = engine._runtime.serve(Ledger())
        context = serving.context(serving.load_by_name("scale"))
        with pytest.raises(NnError, match="the queue of the graph `scale` is full: 8 requests wait") as caught:
            context.compute([("x", given(serving, ROW))])
    assert caught.value.code is ErrorCode.RUNTIME_ERROR
    DOOR.open()
    assert set(threads.join().values()) == {0}
    assert sizes(engine) == {1: 1, 8: 1}
