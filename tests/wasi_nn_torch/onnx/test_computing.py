"""Registered ONNX models: names, types, shapes and errors."""

from __future__ import annotations

import struct
from concurrent.futures import ThreadPoolExecutor

import onnx
import pytest
import torch
from onnx import TensorProto

from tests.wasi_nn_torch.onnx.conftest import NUMBERS, elements, given
from tests.wasi_nn_torch.onnx.models import add, linear, model, node, split, unary, value
from wasi_nn_torch import ModelError
from wasi_nn_torch.contract import ElementType, ErrorCode, Ledger, NnError, read_bytes
from wasi_nn_torch.contract.warm_up import WarmUp

pytestmark = pytest.mark.cpu

#: The bits of special values: NaN with a payload, infinities, the least and greatest numbers, negative zero.
BITS = {
    torch.float16: (torch.int16, [0x7E01, -0x8000, 0x7C00, -0x400, 1, 0x3C00]),
    torch.bfloat16: (torch.int16, [0x7FC1, -0x8000, 0x7F80, -0x80, 1, 0x3F80]),
    torch.float32: (torch.int32, [0x7FC00001, -(2**31), 0x7F800000, 1, 0x3F800000]),
    torch.float64: (torch.int64, [0x7FF8000000000001, -(2**63), 0x7FF0000000000000, 1]),
    torch.uint8: (torch.uint8, [0, 1, 255]),
    torch.int32: (torch.int32, [-(2**31), -1, 2**31 - 1]),
    torch.int64: (torch.int64, [-(2**63), -1, 2**63 - 1]),
}


def refusal(compute, *args, **inputs):
    with pytest.raises(NnError) as caught:
        compute(*args, **inputs)
    return caught.value.code, caught.value.text


# --- types ---


@pytest.mark.parametrize("dtype", NUMBERS, ids=str)
def test_every_type_of_wasi_nn_crosses_with_the_same_bits(compute, dtype):
    whole, bits = BITS[dtype]
    x = torch.tensor(bits, dtype=whole).view(dtype)
    [(name, y)] = compute(unary("Identity", NUMBERS[dtype]), x=x)
    assert (name, y.dtype, y.dimensions) == ("y", ElementType[y.dtype.spelling], (len(bits),))
    assert elements(y).view(whole).tolist() == bits


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str)
def test_each_float_is_computed_in_its_own_precision(compute, dtype):
    x = torch.tensor([1.5, -2, 3], dtype=dtype)
    made = NUMBERS[dtype]
    halved = model([node("Cast", "x", "h", to=made)], [value("x", ["n"], made)], [value("h", ["n"], made)])
    [(_, y)] = compute(halved, x=x)
    assert torch.equal(elements(y), x)


@pytest.mark.parametrize(
    ("number", "shown", "numbers"),
    [
        (TensorProto.BOOL, torch.uint8, [0, 1, 1]),
        (TensorProto.INT8, torch.int32, [-128, 0, 127]),
        (TensorProto.INT16, torch.int32, [-(2**15), 0, 2**15 - 1]),
        (TensorProto.UINT16, torch.int32, [0, 1, 2**16 - 1]),
        (TensorProto.UINT32, torch.int64, [0, 1, 2**32 - 1]),
    ],
)
def test_types_that_wasi_nn_lacks_are_given_and_shown_as_wider_ones(compute, number, shown, numbers):
    [(_, y)] = compute(unary("Identity", number), x=torch.tensor(numbers, dtype=shown))
    assert (y.dimensions, elements(y).tolist()) == ((3,), numbers)


def test_what_is_not_zero_is_true(compute):
    [(_, y)] = compute(unary("Identity", TensorProto.BOOL), x=torch.tensor([0, 256, -1]))
    assert elements(y).tolist() == [0, 1, 1]


def test_a_value_that_the_type_of_the_model_cannot_hold_is_refused(compute):
    assert refusal(compute, unary("Identity", TensorProto.INT8), x=torch.tensor([0, 128])) == (
        ErrorCode.INVALID_ARGUMENT,
        "tensor `x` has the value 128; the model takes int8, from -128 to 127",
    )
    code, text = refusal(compute, unary("Identity", TensorProto.FLOAT16), x=torch.tensor([1e6]))
    assert (code, text) == (
        ErrorCode.INVALID_ARGUMENT,
        "tensor `x` has the value 1000000.0; the model takes float16, from -65504.0 to 65504.0",
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64], ids=str)
def test_another_float_is_converted(compute, dtype):
    x = torch.tensor([1.5, float("inf"), float("nan")], dtype=torch.float32)
    [(_, y)] = compute(unary("Identity", NUMBERS[dtype]), x=x)
    assert elements(y).view(-1).float().nan_to_num(7, 8).tolist() == [1.5, 8, 7]


def test_a_float_for_whole_numbers_is_refused(compute):
    code, text = refusal(compute, unary("Identity", TensorProto.BOOL), x=torch.tensor([1.0]))
    assert code is ErrorCode.INVALID_ARGUMENT
    assert text == "tensor `x` is FP32; the model wants bool: give U8, I32 or I64, where 0 is false"


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (TensorProto.STRING, "has the input `x` of the type tensor(string); wasi-nn has no strings; turn text into"),
        (TensorProto.UINT64, "has the input `x` of the type tensor(uint64); expected a tensor of float16, float,"),
    ],
)
def test_types_that_cannot_be_given_are_refused_with_a_reason(engine, number, reason):
    with pytest.raises(ModelError) as caught:
        engine.register("net", unary("Identity", number))
    assert reason in str(caught.value)


def test_a_sequence_is_refused_with_a_reason(engine):
    sequence = onnx.helper.make_tensor_sequence_value_info("s", TensorProto.FLOAT, None)
    with pytest.raises(
        ModelError, match=r"the output `s` of the type seq\(tensor\(float\)\); wasi-nn has no sequences"
    ):
        engine.register("net", model([node("SequenceConstruct", "x", "s")], [value("x", ["n"])], [sequence]))


# --- names and shapes ---


@pytest.mark.parametrize("names", [("x", "y"), ("y", "x"), ("0", "1"), ("1", "0")])
def test_inputs_are_given_by_their_names_or_positions(compute, names):
    numbers = [torch.tensor([1.0, 2]), torch.tensor([10.0, 20])]
    [(name, output)] = compute(add(), **dict(zip(names, numbers, strict=True)))
    assert (name, elements(output).tolist()) == ("output", [11, 22])


def test_a_model_with_one_input_takes_it_under_any_name(compute):
    [(_, y)] = compute(unary("Neg"), anything=torch.tensor([1.0]))
    assert elements(y).tolist() == [-1]


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        ((), "missing: `x`, `y`; the model wants `x`, `y`; given: none"),
        (("x",), "missing: `y`; the model wants `x`, `y`; given: `x`"),
        (("x", "1"), "names and positions are mixed, or unknown: `1`; the model wants `x`, `y`; given: `x`, `1`"),
        (("a", "b"), "unknown: `a`, `b`; the model wants `x`, `y`; given: `a`, `b`"),
        (("x", "y", "z"), "unknown: `z`; the model wants"),
        (("x", "x"), "repeated: `x`; the model wants"),
    ],
)
def test_wrong_names_are_refused_by_name(engine, serving, names, reason):
    engine.register("add", add())
    context = serving.context(serving.load_by_name("add"))
    with pytest.raises(NnError) as caught:
        context.compute([(name, given(serving, torch.ones(2))) for name in names])
    assert caught.value.code is ErrorCode.INVALID_ARGUMENT
    assert reason in caught.value.text


def test_any_number_of_outputs_comes_in_the_order_of_the_model(compute):
    outputs = compute(split(), x=torch.tensor([1.0, -2, 4]))
    assert [(name, output.dimensions, output.dtype.spelling) for name, output in outputs] == [
        ("twice", (3,), "FP32"),
        ("sum", (1,), "FP32"),
        ("is positive", (3,), "U8"),
    ]
    assert [elements(output).tolist() for _, output in outputs] == [[2, -4, 8], [3], [1, 0, 1]]


@pytest.mark.parametrize("shape", [[], [1]])
@pytest.mark.parametrize("declared", [(), (1,)])
def test_a_scalar_is_given_with_or_without_a_dimension(compute, shape, declared):
    [(_, y)] = compute(unary("Neg", shape=declared), x=torch.full(shape, 2.0))
    assert (y.dimensions, elements(y).tolist()) == ((1,), [-2])


@pytest.mark.parametrize("shape", [[], [1], [3], [2, 1, 3]])
def test_an_input_that_does_not_tell_its_dimensions_takes_any(compute, shape):
    [(_, y)] = compute(unary("Neg", shape=None), x=torch.full(shape, 2.0))
    assert (y.dimensions, elements(y).unique().tolist()) == (tuple(shape) or (1,), [-2])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int64], ids=str)
def test_an_empty_tensor_is_given_and_got(compute, dtype):
    [(_, y)] = compute(unary("Identity", NUMBERS[dtype], ("n", 3)), x=torch.empty(0, 3, dtype=dtype))
    assert (y.dimensions, read_bytes(y)) == ((0, 3), b"")
    [(_, y)] = compute(unary("Identity", TensorProto.BOOL, ("n", 3)), x=torch.empty(0, 3, dtype=torch.uint8))
    assert (y.dimensions, read_bytes(y)) == ((0, 3), b"")


def test_sizes_that_vary_may_vary_with_each_computation(engine, serving):
    engine.register("neg", unary("Neg", shape=("n", 2)))
    context = serving.context(serving.load_by_name("neg"))
    for size in (1, 3, 0, 1000):
        [(_, y)] = context.compute([("x", given(serving, torch.ones(size, 2)))])
        assert y.dimensions == (size, 2)
        assert elements(y).sum() == -2 * size


@pytest.mark.parametrize(
    ("shape", "reason"),
    [
        ([3, 2], "tensor `x` is [3, 2]; the model wants [`n`, 4]"),
        ([4], "tensor `x` is [4]; the model wants [`n`, 4]"),
        ([1, 1, 4], "tensor `x` is [1, 1, 4]; the model wants [`n`, 4]"),
    ],
)
def test_a_wrong_shape_is_refused_with_both_shapes(compute, shape, reason):
    text = refusal(compute, linear().SerializeToString(), x=torch.ones(shape))
    assert text == (ErrorCode.INVALID_ARGUMENT, reason)


def test_bytes_that_do_not_fill_the_dimensions_are_refused(engine, serving, ledger):
    engine.register("neg", unary("Neg"))
    short = serving.tensor([1000], ElementType.FP32, memoryview(b"1234"))
    with pytest.raises(NnError, match="need 4000 bytes, but 4 were given"):
        serving.context(serving.load_by_name("neg")).compute([("x", short)])
    assert ledger.snapshot().live_tensors == 0


def test_an_input_with_a_default_is_left_at_it(compute):
    weight = onnx.helper.make_tensor("w", TensorProto.FLOAT, [2], [10, 20])
    made = model([node("Add", "x w", "y")], [value("x", [2]), value("w", [2])], [value("y", [2])], [weight])
    [(_, y)] = compute(made, x=torch.ones(2))
    assert elements(y).tolist() == [11, 21]


# --- failures ---


def test_a_model_that_fails_says_why_in_one_line_without_paths(compute):
    reshaped = model(
        [node("Reshape", "x s", "y")], [value("x", ["n"]), value("s", [1], TensorProto.INT64)], [value("y", None)]
    )
    code, text = refusal(compute, reshaped, x=torch.ones(4), s=torch.tensor([7]))
    assert code is ErrorCode.RUNTIME_ERROR
    assert text.startswith("the model failed while computing `x` FP32 [4], `s` I64 [1]: Non-zero status code returned")
    assert "cannot be reshaped to the requested shape. Input shape:{4}, requested shape:{7}" in text
    assert "onnxruntime_src" not in text
    assert len(text.splitlines()) == 1


def test_an_output_beyond_memory_is_too_large(compute, ledger):
    filled = model([node("ConstantOfShape", "s", "y")], [value("s", [2], TensorProto.INT64)], [value("y", None)])
    code, text = refusal(compute, filled, s=torch.tensor([2**22, 2**24]))
    assert (code, "out of memory on cpu" in text) == (ErrorCode.TOO_LARGE, True)
    assert ledger.snapshot().live_bytes == 0


def test_an_output_beyond_the_limit_of_the_session_is_freed(engine):
    ledger = Ledger(device_limit=100)
    serving = engine._runtime.serve(ledger)
    engine.register("neg", unary("Neg"))
    context = serving.context(serving.load_by_name("neg"))
    with pytest.raises(NnError, match="output `y` needs 400 bytes on cpu") as caught:
        context.compute([("x", given(serving, torch.ones(100)))])
    assert caught.value.limit == "device_bytes"
    [(_, y)] = context.compute([("x", given(serving, torch.ones(25)))])
    assert ledger.snapshot().live_bytes == 100
    y.drop()


def test_a_model_computes_for_several_sessions_at_a_time(engine):
    engine.register("linear", linear().SerializeToString())

    def session(number):
        ledger = Ledger()
        serving = engine._runtime.serve(ledger)
        context = serving.context(serving.load_by_name("linear"))
        for _ in range(50):
            [(_, y)] = context.compute([("x", given(serving, torch.full((1, 4), float(number))))])
            assert elements(y).tolist() == [[9 * number] * 4]
        return ledger.snapshot()

    with ThreadPoolExecutor(4) as pool:
        for snapshot in pool.map(session, range(8)):
            assert (snapshot.live_tensors, snapshot.computes) == (0, 50)


# --- options ---


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"method": "encode"}, "is an ONNX model, which has no method `encode`"),
        ({"dtypes": {"x": "bool"}}, "declares the types of its inputs"),
        ({"optimize": "compile"}, "cannot be compiled; choose optimize=none or freeze"),
        ({"warm_up": {"z": (1,)}}, "cannot be warmed up with `z`; its inputs are `x`, `y`"),
        ({"warm_up": {"x": (3,)}}, "cannot be warmed up on zeros of `x` [3], `y` [2]: tensor `x` is [3]"),
        ({"warm_up": (2,)}, "needs 2 inputs, `x`, `y`; give the sizes of each"),
    ],
)
def test_options_that_do_not_fit_an_onnx_model_are_refused(engine, options, reason):
    with pytest.raises(ModelError) as caught:
        engine.register("add", add(), **options)
    assert reason in str(caught.value)


@pytest.mark.parametrize("optimize", ["none", "freeze"])
def test_a_model_computes_the_same_however_it_is_optimized(engine, serving, optimize):
    engine.register("net", linear().SerializeToString(), optimize=optimize, warm_up={"x": (2, 4)})
    [(_, y)] = serving.context(serving.load_by_name("net")).compute([("x", given(serving, torch.ones(1, 4)))])
    assert elements(y).tolist() == [[9, 9, 9, 9]]


def test_a_number_that_a_model_takes_is_given_to_warm_it_up(engine):
    steps = [node("ConstantOfShape", "n1", "zeros"), node("Gather", "zeros last", "y", axis=0)]
    made = model(
        [node("Unsqueeze", "n axis", "n1"), *steps],
        [value("n", [], TensorProto.INT64)],
        [value("y", [])],
        [
            onnx.helper.make_tensor("axis", TensorProto.INT64, [1], [0]),
            onnx.helper.make_tensor("last", TensorProto.INT64, [], [4]),
        ],
    )
    engine.register("five", made, warm_up={"n": 5})
    with pytest.raises(ModelError, match=r"cannot be warmed up on zeros of `n` 0: .*out of data bounds"):
        engine.register("none", made, warm_up=True)


def test_a_model_that_does_not_tell_its_sizes_needs_them_to_be_warmed_up(engine):
    engine.register("add", add(), warm_up=True)
    with pytest.raises(ModelError, match="does not tell the sizes of `x`; give them"):
        engine.register("neg", unary("Neg"), warm_up=WarmUp())


def test_the_bytes_of_an_output_are_little_endian(compute):
    [(_, y)] = compute(unary("Neg"), x=torch.tensor([1.0]))
    assert bytes(read_bytes(y)) == struct.pack("<f", -1)
