"""ONNX models of guests in the confined process of their session."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from tests.guests.witx import ONNX, playing
from tests.wasi_nn_torch.helpers.direct import Direct
from tests.wasi_nn_torch.helpers.guest_models import scripted
from tests.wasi_nn_torch.onnx.conftest import NUMBERS
from tests.wasi_nn_torch.onnx.models import FLOAT, add, linear, model, node, split, unary, value
from wasi_nn_torch import Engine
from wasi_nn_torch.contract import ErrorCode, NnError
from wasi_nn_torch.contract.vocabulary import ElementType, Encoding, ExecutionTarget
from wasi_nn_torch.workers.confinement import lacking

pytestmark = [
    pytest.mark.cpu,
    pytest.mark.skipif(bool(lacking()), reason=f"a process cannot be confined here: {', '.join(lacking())}"),
]


@pytest.fixture(scope="module")
def engine():
    with Engine("cpu", guest_models="isolated") as engine:
        engine.register("negative", unary("Neg"))
        yield engine


@pytest.fixture
def direct(engine):
    with Direct(engine) as direct:
        yield direct


def worker(direct):
    """The process of a session."""
    [found] = [part._worker for part in direct._serving._sessions.values() if hasattr(part, "_worker")]
    return found


def test_a_model_is_computed_in_another_process(direct):
    context = direct.load(linear().SerializeToString())
    [(name, y)] = direct.compute(context, x=torch.ones(1, 4))
    assert (name, y.tolist()) == ("y", [9, 9, 9, 9])
    assert worker(direct).pid != os.getpid()
    assert len(direct._serving._sessions) == 1, "the part of ONNX Runtime in this process was not needed"


@pytest.mark.parametrize("dtype", NUMBERS, ids=str)
@pytest.mark.parametrize("size", [3, 100_000], ids=["in a message", "in shared memory"])
def test_every_type_crosses_with_the_same_bits(direct, dtype, size):
    context = direct.load(unary("Identity", NUMBERS[dtype]))
    x = (torch.arange(size) % 100).to(dtype)
    [(_, y)] = direct.compute(context, x=x)
    assert torch.equal(y, x)


def test_several_outputs_of_different_types(direct):
    outputs = direct.compute(direct.load(split()), x=torch.tensor([1.0, -2, 4]))
    assert [(name, y.tolist()) for name, y in outputs] == [
        ("twice", [2, -4, 8]),
        ("sum", [3]),
        ("is positive", [1, 0, 1]),
    ]


def test_a_chain_of_models_of_both_engines_stays_in_the_process(direct):
    """Large outputs are held there, and are inputs of the next model without leaving it."""
    contexts = [direct.load(each) for each in (scripted(torch.nn.ReLU()), unary("Neg"), scripted(torch.nn.Identity()))]
    x = torch.ones(100_000)
    tensor = direct._serving.tensor([100_000], ElementType.FP32, memoryview(x.numpy()).cast("B"))
    direct.deadline.start(None)
    for context in contexts:
        [(_, tensor)] = context.compute([("0", tensor)])
    shown = bytearray(400_000)
    tensor.data().write_into(memoryview(shown))
    tensor.drop()
    assert torch.frombuffer(shown, dtype=torch.float32).unique().tolist() == [-1]
    assert direct.ledger.snapshot().live_tensors == 0


def test_an_output_of_an_isolated_model_is_an_input_of_the_operators(direct):
    context = direct.load(add())
    serving = direct._serving
    ones = [serving.tensor([2], ElementType.FP32, memoryview(np.ones(2, np.float32)).cast("B")) for _ in range(2)]
    [(_, two)] = context.compute(list(zip("xy", ones, strict=True)))
    [(_, negative)] = serving.context(serving.load_by_name("negative")).compute([("x", two)])
    shown = bytearray(8)
    negative.data().write_into(memoryview(shown))
    assert memoryview(shown).cast("f").tolist() == [-2, -2]
    negative.drop()


def test_the_check_is_made_in_the_process(direct):
    looping = helper.make_node("Loop", ["n", "is"], ["y"], body=helper.make_graph([], "body", [], []))
    with pytest.raises(NnError, match="uses the operator `Loop`: it may compute without end") as caught:
        direct.load(model([looping], [value("n", [], TensorProto.INT64)], [value("y", None)]))
    assert caught.value.code is ErrorCode.SECURITY
    assert not worker(direct).has_ended


def test_bytes_that_are_not_a_model_are_refused(direct):
    serving = direct._serving
    with pytest.raises(NnError) as caught:
        serving.load([memoryview(b"nonsense")], Encoding.ONNX, ExecutionTarget.CPU)
    assert caught.value.code is ErrorCode.INVALID_ENCODING
    with pytest.raises(NnError, match="2 were given"):
        serving.load([memoryview(add())] * 2, Encoding.ONNX, ExecutionTarget.CPU)


def test_a_model_that_computes_long_is_stopped(engine):
    matrix = numpy_helper.from_array(np.eye(2048, dtype=np.float32), "m")
    names = [f"y{index}" for index in range(200)]
    nodes = [helper.make_node("MatMul", [last, "m"], [name]) for last, name in zip(["x", *names], names, strict=False)]
    with Direct(engine, timeout=0.5) as direct:
        direct.deadline.start(None)
        context = direct._serving.context(
            direct._serving.load(
                [memoryview(model(nodes, [value("x", [2048, 2048])], [value(names[-1], None)], [matrix]))],
                Encoding.ONNX,
                ExecutionTarget.CPU,
            )
        )
        with pytest.raises(NnError) as caught:
            direct.compute(context, x=torch.ones(2048, 2048))
        assert caught.value.code is ErrorCode.TIMEOUT
        assert worker(direct).has_ended


def test_a_model_that_needs_much_memory_fails_alone(engine):
    filled = model([node("ConstantOfShape", "s", "y")], [value("s", [1], TensorProto.INT64)], [value("y", None, FLOAT)])
    with Direct(engine, device_bytes=64 << 20) as direct:
        context = direct.load(filled)
        with pytest.raises(NnError) as caught:
            direct.compute(context, s=torch.tensor([1 << 30]))
        assert caught.value.code is ErrorCode.TOO_LARGE
        [(_, y)] = direct.compute(context, s=torch.tensor([3]))
        assert y.tolist() == [0, 0, 0]


def test_a_core_module_supplies_a_model(engine):
    with playing(engine) as guest:
        context = guest.context(guest.load(unary("Neg"), encoding=ONNX))
        guest.set_input(context, 0, 1, 2)
        guest.compute(context)
        assert guest.floats(context) == [-1, -2]


def test_a_program_supplies_a_model_and_leaves_nothing(engine, probe_file, tmp_path):
    (tmp_path / "model.onnx").write_bytes(add())
    lines = []
    inputs = [[name, [2], "FP32", np.array([1, 2], np.float32).tobytes().hex()] for name in "xy"]
    arguments = ["from_bytes", "models/model.onnx", "ONNX", "CPU", json.dumps(inputs)]
    with engine.session(args=arguments, dirs={str(tmp_path): "models"}, stdout=lines.append) as session:
        assert session.run(probe_file) == 0
        assert session.stats.memory.live_bytes == 0
    assert json.loads(b"".join(lines)) == [["output", [2], "FP32", np.array([2, 4], np.float32).tobytes().hex()]]
