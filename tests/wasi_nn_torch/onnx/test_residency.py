"""Tensors stay where they are between engines, and are freed when they are dropped."""

from __future__ import annotations

import gc
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils.dlpack import from_dlpack

from tests.wasi_nn_torch.helpers.guest_models import scripted
from tests.wasi_nn_torch.onnx.conftest import elements, given
from tests.wasi_nn_torch.onnx.models import FLOAT, linear, model, node, unary, value
from wasi_nn_torch.contract import STAGING, ElementType, NnError, Transfer
from wasi_nn_torch.contract.shares import Share
from wasi_nn_torch.onnx.devices import CPU
from wasi_nn_torch.onnx.loading import load_vetted
from wasi_nn_torch.onnx.session import OnnxSession
from wasi_nn_torch.pytorch import adopting
from wasi_nn_torch.pytorch.session import PyTorchSession

pytestmark = pytest.mark.cpu

SIZE = 1 << 16
BYTES = 4 * SIZE


class Twice(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * 2


@pytest.fixture
def chain(engine, serving):
    """Contexts of a graph on each engine."""
    engine.register("torch", scripted(Twice()))
    engine.register("onnx", unary("Neg"))
    return [serving.context(serving.load_by_name(name)) for name in ("torch", "onnx", "torch")]


@pytest.fixture
def read(monkeypatch):
    """The addresses of the inputs that ONNX Runtime read."""
    from onnxruntime import IOBinding

    addresses = []
    bind = IOBinding.bind_ortvalue_input

    def observed(binding, name, value):
        addresses.append(value.data_ptr())
        bind(binding, name, value)

    monkeypatch.setattr(IOBinding, "bind_ortvalue_input", observed)
    return addresses


def address(tensor):
    return np.from_dlpack(tensor.content).__array_interface__["data"][0]


def part(serving, cls):
    """The part of a session that belongs to an engine."""
    [found] = [each for each in serving._sessions.values() if isinstance(each, cls)]
    return found


@pytest.mark.usefixtures("no_gc")
def test_a_chain_of_both_engines_copies_nothing(chain, serving, ledger, read, monkeypatch):
    views = []
    monkeypatch.setattr(adopting, "from_dlpack", lambda tensor: views.append(address(tensor)) or from_dlpack(tensor))
    first, second, third = chain
    [(_, a)] = first.compute([("x", given(serving, torch.ones(SIZE)))])
    at = address(a)
    [(_, b)] = second.compute([("x", a)])
    assert read == [at], "ONNX Runtime reads the memory of PyTorch"
    at = address(b)
    [(_, c)] = third.compute([("x", b)])
    assert views == [at], "PyTorch reads the memory of ONNX Runtime"
    assert part(serving, OnnxSession).reader.copies == 0
    snapshot = ledger.snapshot()
    assert snapshot.transfers[Transfer.GUEST_TO_HOST].copies == 1
    assert sum(snapshot.transfers[way].copies for way in Transfer) == 1
    assert (snapshot.places["cpu"].bytes, snapshot.places["cpu"].peak_bytes) == (BYTES, 2 * BYTES)
    assert elements(c).unique().tolist() == [-4]
    assert ledger.snapshot().live_bytes == 0


def test_a_guests_tensor_is_read_where_the_guest_put_it(chain, serving, ledger, read):
    tensor = given(serving, torch.ones(SIZE))
    at = tensor.address
    [(_, y)] = chain[1].compute([("x", tensor)])
    assert read == [at]
    assert ledger.snapshot().places[STAGING].bytes == 0, "it was dropped"
    y.drop()


def test_an_output_is_an_input_of_the_same_engine_in_place(chain, serving, read):
    [(_, a)] = chain[1].compute([("x", given(serving, torch.ones(SIZE)))])
    at = address(a)
    [(_, b)] = chain[1].compute([("x", a)])
    assert read[1] == at
    assert elements(b).unique().tolist() == [1]


@pytest.mark.usefixtures("no_gc")
def test_the_ledger_counts_outputs_to_the_byte_until_they_are_dropped(chain, serving, ledger):
    outputs = [chain[1].compute([("x", given(serving, torch.ones(size)))])[0][1] for size in (1, 1000, 0)]
    assert ledger.snapshot().places["cpu"].bytes == 4004
    assert ledger.snapshot().live_tensors == 3
    for output in outputs:
        output.drop()
        output.drop()
    assert ledger.snapshot().live_bytes == 0


def resident() -> int:
    """The memory of this process, in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.mark.usefixtures("no_gc")
def test_dropping_an_output_frees_its_memory_and_onnx_runtime_keeps_none(engine, serving):
    size = 64 << 20
    nodes = [node("Add", "x x", "a"), node("Mul", "a x", "b"), node("Add", "b a", "y")]
    engine.register("large", model(nodes, [value("x", ["n"])], [value("y", ["n"])]), optimize="none")
    context = serving.context(serving.load_by_name("large"))
    context.compute([("x", given(serving, torch.ones(4)))])[0][1].drop()
    gc.collect()
    before = resident()
    zeros = serving.tensor([size // 4], ElementType.FP32, memoryview(bytes(size)))
    [(_, y)] = context.compute([("x", zeros)])
    part(serving, PyTorchSession).close()
    held = resident() - before
    assert held < size + (16 << 20), "the output, and nothing of the intermediate results"
    y.drop()
    assert resident() - before < 16 << 20


@pytest.mark.usefixtures("no_gc")
def test_a_model_that_is_given_as_bytes_takes_the_memory_of_its_weights_once():
    load_vetted(linear().SerializeToString(), CPU, 1)
    size = 1 << 26
    weights = onnx.numpy_helper.from_array(np.random.default_rng(0).random((1 << 12, 1 << 12), np.float32), "w")
    data = model([node("MatMul", "x w", "y")], [value("x", ["n", 1 << 12])], [value("y", None)], [weights])
    del weights
    before = resident()
    graph = load_vetted(data, CPU, 1)
    del data  # the caller's
    held = resident() - before
    assert abs(held) < 16 << 20, "the weights, in place of the bytes; if twice, ONNX Runtime keeps the bytes"
    del graph
    assert before - resident() > size - (16 << 20)


@pytest.mark.usefixtures("no_gc")
def test_dropping_one_output_frees_its_memory_while_others_are_held(engine, serving):
    size = 64 << 20
    nodes = [node("Neg", "x", "a"), node("Abs", "x", "b")]
    engine.register("two", model(nodes, [value("x", ["n"])], [value("a", ["n"]), value("b", ["n"])]))
    zeros = serving.tensor([size // 4], ElementType.FP32, memoryview(bytes(size)))
    [(_, a), (_, b)] = serving.context(serving.load_by_name("two")).compute([("x", zeros)])
    held = resident()
    a.drop()
    assert held - resident() > size - (1 << 20)
    b.drop()
    assert held - resident() > 2 * size - (2 << 20)


@pytest.mark.usefixtures("no_gc")
def test_an_input_that_a_guest_keeps_is_read_and_stays(chain, serving, ledger, read):
    share = Share.of(given(serving, torch.ones(SIZE)))
    for _ in range(2):
        [(_, y)] = chain[1].compute([("x", share.another())])
        y.drop()
    assert read[0] == read[1]
    assert ledger.snapshot().live_bytes == BYTES
    share.drop()
    assert ledger.snapshot().live_bytes == 0


@pytest.mark.parametrize("op", ["Identity", "Reshape", "Squeeze", "Flatten", "Cast", "Dropout", "nothing", "If"])
def test_an_output_never_lies_on_the_memory_of_an_input(engine, serving, op):
    shape = onnx.helper.make_tensor("s", onnx.TensorProto.INT64, [2], [-1, 1])
    branch = onnx.helper.make_graph([node("Identity", "x", "z")], "branch", [], [value("z", None)])
    nodes = {
        "Reshape": node("Reshape", "x s", "y"),
        "Cast": node("Cast", "x", "y", to=FLOAT),
        "If": node("If", "yes", "y", then_branch=branch, else_branch=branch),
    }
    yes = onnx.helper.make_tensor("yes", onnx.TensorProto.BOOL, [], [True])
    made = [] if op == "nothing" else [nodes.get(op, node(op, "x", "y"))]
    output = "x" if op == "nothing" else "y"
    for optimize in ("none", "freeze"):
        engine.register(
            f"{op} {optimize}",
            model(made, [value("x", ["n", 1, 4])], [value(output, None)], [shape, yes]),
            optimize=optimize,
        )
        tensor = given(serving, torch.ones(2, 1, 4))
        content = tensor._content()
        share = Share.of(tensor)
        [(_, y)] = serving.context(serving.load_by_name(f"{op} {optimize}")).compute([("x", share.another())])
        content.zero_()
        assert elements(y).flatten().tolist() == [1] * 8
        share.drop()


@pytest.mark.usefixtures("no_gc")
def test_an_output_outlives_its_model(engine, serving):
    weight = onnx.helper.make_tensor("w", FLOAT, [3], [1, 2, 3])
    engine.register(
        "constant", model([node("Neg", "x", "y")], [value("x", [1])], [value("y", [1]), value("w", [3])], [weight])
    )
    outputs = serving.context(serving.load_by_name("constant")).compute([("x", given(serving, torch.ones(1)))])
    engine.unregister("constant")
    gc.collect()
    assert [elements(output).tolist() for _, output in outputs] == [[-1], [1, 2, 3]]


@pytest.mark.usefixtures("no_gc")
def test_a_computation_that_fails_keeps_nothing(engine, serving, ledger):
    reshape = model(
        [node("Reshape", "x s", "y")], [value("x", ["n"]), value("s", [1], onnx.TensorProto.INT64)], [value("y", None)]
    )
    engine.register("reshape", reshape)
    context = serving.context(serving.load_by_name("reshape"))
    inputs = {"x": torch.ones(SIZE), "s": torch.tensor([7])}
    watched = []
    for _ in range(2):
        tensors = [(name, given(serving, content)) for name, content in inputs.items()]
        watched += [StorageWeakRef(tensor._content().untyped_storage()) for _, tensor in tensors]
        with pytest.raises(NnError, match="cannot be reshaped"):
            context.compute(tensors)
        del tensors
    assert ledger.snapshot().live_bytes == 0
    part(serving, PyTorchSession).close()
    assert all(storage.expired() for storage in watched)


def test_a_transposed_output_of_pytorch_is_copied_once(engine, serving):
    class Transposed(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return (x * 1).t()

    engine.register("transposed", scripted(Transposed()))
    engine.register("onnx", unary("Neg", shape=("n", "m")))
    x = torch.arange(6.0).view(2, 3)
    [(_, a)] = serving.context(serving.load_by_name("transposed")).compute([("x", given(serving, x))])
    [(_, b)] = serving.context(serving.load_by_name("onnx")).compute([("x", a)])
    assert part(serving, OnnxSession).reader.copies == 1
    assert torch.equal(elements(b), -x.t())


def test_the_operator_takes_an_output_out_of_the_session(chain, serving, ledger):
    [(_, y)] = chain[1].compute([("x", given(serving, torch.ones(3)))])
    assert serving.take(y).tolist() == [-1, -1, -1]
    assert ledger.snapshot().live_bytes == 0
