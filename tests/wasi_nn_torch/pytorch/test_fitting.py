"""What a guest gives, and what the model gets of it: for every pair of an element type and a dtype."""

import io
import math
import warnings

import pytest
import torch

from tests.wasi_nn_torch.helpers.exported_models import exported
from wasi_nn_torch.contract.errors import ErrorCode, NnError
from wasi_nn_torch.contract.policy import ModelOptions
from wasi_nn_torch.pytorch import graphs
from wasi_nn_torch.pytorch.dtypes import DTYPES
from wasi_nn_torch.pytorch.fitting import FLOATS, INTEGERS, OFFERED, require_values
from wasi_nn_torch.pytorch.graphs import ExecutionContext

WHOLE = [0, 1, 2, -1, 127, 128, -128, -129, 255, 256, 300, 32767, 32768, -32769, 65535, 65536, 70000]
WHOLE += [2**31 - 1, 2**31, -(2**31) - 1, 2**32 - 1, 2**32, 2**63 - 1, -(2**63)]
FRACTIONS = [
    0.0,
    1.0,
    -1.0,
    0.1,
    448.0,
    449.0,
    -241.0,
    57344.0,
    65504.0,
    65536.0,
    2.0**127,
    -3.4e38,
    3.4028235e38,
    1e39,
]
FRACTIONS += [1e300, math.inf, -math.inf, math.nan]
FINITE_ONLY = {torch.float8_e4m3fn, torch.float8_e4m3fnuz, torch.float8_e5m2fnuz, torch.float8_e8m0fnu}
REAL = sorted(OFFERED - {torch.complex32, torch.complex64, torch.complex128}, key=str)


def given(dtype):
    """The numbers that a tensor of this dtype can hold, one by one."""
    if dtype in INTEGERS:
        limits = torch.iinfo(dtype)
        return [torch.tensor([value], dtype=dtype) for value in WHOLE if limits.min <= value <= limits.max]
    return [torch.tensor([value], dtype=torch.float64).to(dtype) for value in FRACTIONS]


def fits(value, source, wanted):
    """Whether the number may become one of the dtype, by the rule alone."""
    if wanted is torch.bool:
        return source in INTEGERS
    if wanted in INTEGERS:
        return source in INTEGERS and torch.iinfo(wanted).min <= value <= torch.iinfo(wanted).max
    if source in INTEGERS:
        return False
    if math.isnan(value):
        return True
    if math.isinf(value):
        return wanted not in FINITE_ONLY
    limits = torch.finfo(wanted)
    return (value > 0 if wanted is torch.float8_e8m0fnu else True) and -limits.max <= value <= limits.max


@pytest.mark.parametrize("wanted", REAL, ids=str)
@pytest.mark.parametrize("source", DTYPES.values(), ids=str)
def test_a_value_arrives_as_it_is_or_rounded_or_is_refused(source, wanted, device):
    for tensor in given(source):
        value = tensor.item()
        if not fits(value, source, wanted):
            with pytest.raises(NnError, match=r"tensor `x` (is|has the value)") as caught:
                require_values(tensor.to(device), wanted, "x")
            assert caught.value.code is ErrorCode.INVALID_ARGUMENT
            continue
        require_values(tensor.to(device), wanted, "x")
        arrived = tensor.to(wanted).to(torch.float64).item() if wanted in FLOATS else tensor.to(wanted).item()
        if wanted is torch.bool or wanted in INTEGERS:
            assert arrived == (value != 0 if wanted is torch.bool else value)
        else:
            assert math.isfinite(arrived) == math.isfinite(value)


@pytest.mark.parametrize("wanted", REAL, ids=str)
def test_no_element_of_many_slips_through(wanted, device):
    for source in (torch.int64, torch.float64):
        values = [tensor.item() for tensor in given(source)]
        good = [value for value in values if fits(value, source, wanted)]
        if good:
            require_values(torch.tensor(good, dtype=source, device=device), wanted, "x")
        for bad in (value for value in values if not fits(value, source, wanted)):
            with pytest.raises(NnError):
                require_values(torch.tensor([*good, bad, *good], dtype=source, device=device), wanted, "x")


@pytest.mark.parametrize("wanted", [torch.int16, torch.float16, torch.bool], ids=str)
def test_a_tensor_without_elements_fits(wanted):
    require_values(torch.empty(0, 3, dtype=torch.float32 if wanted.is_floating_point else torch.int64), wanted, "x")


def test_a_real_number_is_a_complex_one():
    require_values(torch.tensor([1.5]), torch.complex64, "x")
    with pytest.raises(NnError, match="tensor `x` has the value 1e"):
        require_values(torch.tensor([1e300], dtype=torch.float64), torch.complex64, "x")


@pytest.mark.parametrize(
    ("tensor", "wanted", "text"),
    [
        (torch.tensor([1, 70000]), torch.int16, "has the value 70000; the model takes int16, from -32768 to 32767"),
        (torch.tensor([1.5]), torch.bool, "is FP32; the model wants bool: give U8, I32 or I64, where 0 is false"),
        (torch.tensor([7]), torch.float32, "is I64; the model wants float32: give FP16, BF16, FP32 or FP64"),
        (
            torch.tensor([1e5]),
            torch.float16,
            "has the value 100000.0; the model takes float16, from -65504.0 to 65504.0",
        ),
    ],
)
def test_a_refusal_says_what_came_and_what_would_do(tensor, wanted, text):
    with pytest.raises(NnError) as caught:
        require_values(tensor, wanted, "x")
    assert caught.value.text == f"tensor `x` {text}"


# --- through every format ---


class Same(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.clone()


def saved(module):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        file = io.BytesIO()
        torch.jit.save(module() if callable(module) and not isinstance(module, torch.nn.Module) else module, file)
    return file.getvalue()


def traced(dtype):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return saved(torch.jit.trace(Same(), torch.zeros(3).to(dtype), check_trace=False))


def declared(source, dtype, device):
    name = str(dtype).removeprefix("torch.")
    return graphs.load(source, device, "net", ModelOptions(dtypes=(("x", name),)))


FORMATS = {
    "module": lambda dtype, device: declared(Same(), dtype, device),
    "scripted": lambda dtype, device: declared(saved(lambda: torch.jit.script(Same())), dtype, device),
    "traced": lambda dtype, device: graphs.load(traced(dtype), device, "net"),
    "traced, from a guest": lambda dtype, device: graphs.load_from_guest(traced(dtype), device),
    "exported": lambda dtype, device: graphs.load(exported(Same(), torch.zeros(3).to(dtype)), device, "net"),
    "exported, from a guest": lambda dtype, device: graphs.load_from_guest(
        exported(Same(), torch.zeros(3).to(dtype)), device, checks=True
    ),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("dtype", [torch.bool, torch.int8, torch.int16, torch.uint16, torch.uint32], ids=str)
@pytest.mark.parametrize("load", FORMATS.values(), ids=FORMATS.keys())
def test_what_fits_comes_back_and_what_does_not_is_refused(
    request, load, dtype, device, ledger, tensor, values, memory
):
    if "exported" in request.node.name and dtype is torch.uint32 and torch.__version__ < "2.10":
        pytest.skip("PyTorch 2.9 does not export uint32")
    context = ExecutionContext(load(dtype, device), memory)
    [(_, output)] = context.compute([("x", tensor(torch.tensor([1, 0, 100])))])
    assert values(output) == ([1, 0, 1] if dtype is torch.bool else [1, 0, 100])
    bad = torch.tensor([0.5, 0, 1]) if dtype is torch.bool else torch.tensor([1, 0, 1 << 40])
    with pytest.raises(NnError, match="tensor `x`") as caught:
        context.compute([("x", tensor(bad))])
    assert caught.value.code is ErrorCode.INVALID_ARGUMENT
    assert ledger.snapshot().places == {} or ledger.snapshot().live_tensors == 1
