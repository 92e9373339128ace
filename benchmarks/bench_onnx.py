"""The cost of running an ONNX model from a guest, compared with ONNX Runtime, and of a chain of both engines."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Callable

import numpy as np
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper

from benchmarks.bench_inference import guest_with, resnet18, scripted
from benchmarks.bench_witx import guest_with as core_module_with
from benchmarks.comparison import Comparison, Work
from wasi_nn_torch import Engine
from wasi_nn_torch.contract.ledger import Ledger
from wasi_nn_torch.contract.vocabulary import ElementType
from wasi_nn_torch.onnx.loading import thread_count

#: Elements of 602 kB, as a photograph of 224 by 224 points.
PHOTO = (1, 3, 224, 224)


def unary(op: str, *shape: int) -> bytes:
    """A model with one operator."""
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in "xy")
    graph = helper.make_graph([helper.make_node(op, ["x"], ["y"])], "graph", [x], [y])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10).SerializeToString()


@pytest.fixture(scope="module")
def resnet() -> bytes:
    """ResNet-18, exported by PyTorch."""
    file = io.BytesIO()
    logging.disable(logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(resnet18().eval(), (torch.zeros(PHOTO),), file, external_data=False, verbose=False)
    logging.disable(logging.NOTSET)
    return file.getvalue()


def called(model: bytes) -> onnxruntime.InferenceSession:
    """ONNX Runtime with the number of threads that the host gives it, and else with its defaults."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = thread_count(None)
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def directly(model: bytes, *shape: int) -> Callable[[int], None]:
    """The four steps of the guest: make an array from bytes, compute, read the result's bytes, release both."""
    session = called(model)
    name, data = session.get_inputs()[0].name, bytes(4 * int(np.prod(shape)))
    result = bytearray(session.run(None, {name: np.zeros(shape, np.float32)})[0].nbytes)

    def infer(times: int) -> None:
        for _ in range(times):
            array = np.frombuffer(bytearray(data), np.float32).reshape(shape)
            [output] = session.run(None, {name: array})
            result[:] = memoryview(output).cast("B")

    return infer


def test_a_small_model(compare: Comparison) -> None:
    model = unary("Identity", 1, 4)
    with guest_with(model, 1, 4, optimize=None) as guest:
        here, there = compare.measure(Work(guest["infer"], 500), Work(directly(model, 1, 4), 500), rounds=21)
    compare.above("ONNX: inference of a 1x4 identity", "ONNX Runtime directly", there, here, goal=60e-6)


def test_a_small_model_in_a_core_module(compare: Comparison) -> None:
    model = unary("Identity", 1, 4)
    with core_module_with(model, 1, 4) as function:
        here, there = compare.measure(Work(function("infer"), 500), Work(directly(model, 1, 4), 500), rounds=21)
    compare.above("ONNX: core module: inference of a 1x4 identity", "ONNX Runtime directly", there, here, goal=60e-6)


def test_a_usual_model(compare: Comparison, resnet: bytes) -> None:
    session, picture = called(resnet), np.zeros(PHOTO, np.float32)
    name = session.get_inputs()[0].name

    def call(times: int) -> None:
        for _ in range(times):
            session.run(None, {name: picture})

    with guest_with(resnet, *PHOTO, optimize=None) as guest:
        here, there = compare.measure(Work(guest["infer"], 5), Work(call, 5), rounds=15)
    compare.within("ONNX: ResNet-18, batch 1", "ONNX Runtime called directly", there, here, goal=1.03)


def test_a_chain_of_both_engines(compare: Comparison) -> None:
    """Three graphs on 602 kB, where the one in the middle is on ONNX Runtime or on PyTorch."""
    data = memoryview(bytes(4 * int(np.prod(PHOTO))))
    with Engine("cpu") as engine:
        engine.register("torch", scripted(torch.nn.ReLU()))
        engine.register("onnx", unary("Relu", *PHOTO))
        serving = engine._runtime.serve(Ledger())
        contexts = {name: serving.context(serving.load_by_name(name)) for name in ("torch", "onnx")}

        def chain(*names: str) -> Callable[[int], None]:
            def run(times: int) -> None:
                for _ in range(times):
                    tensor = serving.tensor(PHOTO, ElementType.FP32, data)
                    for name in names:
                        [(_, tensor)] = contexts[name].compute([("0", tensor)])
                    tensor.drop()

            return run

        mixed, alone = Work(chain("torch", "onnx", "torch"), 50), Work(chain("torch", "torch", "torch"), 50)
        here, there = compare.measure(mixed, alone, rounds=21)
        serving.close()
    compare.within("a chain torch, onnx, torch on 602 kB", "the same on PyTorch alone", there, here, goal=None)
