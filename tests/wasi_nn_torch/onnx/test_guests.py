"""Guests of every version of wasi-nn compute ONNX models as they compute others."""

from __future__ import annotations

import json
import struct

import pytest
import torch

from tests.guests.witx import F32, I64, playing
from tests.wasi_nn_torch.helpers.versions import SIZES, STEPWISE, VERSIONS, floats, open_guest
from tests.wasi_nn_torch.onnx.conftest import NUMBERS
from tests.wasi_nn_torch.onnx.models import add, split, unary
from wasi_nn_torch import Engine
from wasi_nn_torch.hosts.witx_numbers import Errno
from wasi_nn_torch.pytorch.dtypes import ELEMENT_TYPES

pytestmark = pytest.mark.cpu


@pytest.fixture(scope="module")
def engine():
    with Engine("cpu", guest_models="none") as engine:
        engine.register("add", add())
        engine.register("split", split())
        for dtype, number in NUMBERS.items():
            engine.register(f"keep {ELEMENT_TYPES[dtype].name}", unary("Identity", number))
        yield engine


@pytest.mark.parametrize("version", VERSIONS)
def test_a_component_of_each_version_computes_by_names(engine, version):
    with open_guest(engine, version) as guest:
        context = guest.context("add")
        [output] = guest.compute(context, {"x": guest.floats(1, 2), "y": guest.floats(10, 20)}, "output")
        assert floats(output) == [11, 22]
        for held in (output, context):
            held.drop()


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("ty", SIZES)
def test_every_type_crosses_in_each_version(engine, version, ty):
    with open_guest(engine, version) as guest:
        types = guest.types("tensor").TensorType
        data = bytes(range(1, 1 + 2 * SIZES[ty]))
        given = guest.tensor.new_tensor([2], types[ty], data)
        with guest.context(f"keep {ty}") as context:
            [output] = guest.compute(context, {"x": given}, "y")
            assert (output.ty().name, list(output.dimensions()), bytes(output.data())) == (ty, [2], data)
            output.drop()


@pytest.mark.parametrize("version", STEPWISE)
def test_a_stepwise_guest_gets_outputs_by_name_and_position_and_computes_again(engine, version):
    with open_guest(engine, version) as guest, guest.context("split") as context:
        context.set_input("x", guest.floats(1, -2))
        for _ in range(2):
            context.compute()
            for name, shown in (("twice", [2, -4]), ("0", [2, -4]), ("sum", [-1]), ("1", [-1])):
                with context.get_output(name) as output:
                    assert floats(output) == shown
            with context.get_output("is positive") as output:
                assert bytes(output.data()) == b"\1\0"


def test_a_core_module_computes_by_positions(engine):
    with playing(engine) as guest:
        context = guest.begin("add")
        guest.set_input(context, 0, 1, 2)
        guest.set_input(context, 1, 10, 20)
        for _ in range(2):  # the inputs stay
            guest.compute(context)
            assert guest.floats(context) == [11, 22]
        context = guest.begin("split")
        guest.set_input(context, 0, 1, -2)
        guest.compute(context)
        assert [guest.floats(context, 0), guest.floats(context, 1)] == [[2, -4], [-1]]
        assert guest.output(context, 2) == b"\1\0"
        context = guest.begin("keep I64")
        guest.set_input(context, 0, -5, type_=I64)
        guest.compute(context)
        assert struct.unpack("<q", guest.output(context, 0)) == (-5,)


def test_a_core_module_computes_a_model_in_half_precision_that_its_abi_lacks(engine):
    with playing(engine) as guest:
        context = guest.begin("keep BF16")
        guest.set_input(context, 0, 1.5, type_=F32)
        guest.compute(context)
        assert guest.output(context, 0) == b"\xc0\x3f"


def test_a_core_module_gets_an_errno_for_a_wrong_shape(engine):
    with playing(engine) as guest:
        context = guest.begin("add")
        guest.set_input(context, 0, 1, 2, 3)
        guest.set_input(context, 1, 1, 2)
        assert guest.call("compute", context) == Errno.INVALID_ARGUMENT


def test_a_program_computes_in_a_session_and_leaves_nothing(engine, probe_file):
    lines = []
    x = torch.tensor([1.0, -2]).numpy().tobytes().hex()
    arguments = ["by_name", "split", json.dumps([["x", [2], "FP32", x]])]
    with engine.session(args=arguments, stdout=lines.append) as session:
        assert session.run(probe_file) == 0
        assert session.stats.memory.live_bytes == 0
    shown = json.loads(b"".join(lines))
    assert [each[:3] for each in shown] == [["twice", [2], "FP32"], ["sum", [1], "FP32"], ["is positive", [2], "U8"]]
    assert shown[2][3] == "0100"
