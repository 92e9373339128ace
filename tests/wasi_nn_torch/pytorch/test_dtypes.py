import pytest
import torch

from wasi_nn_torch.contract.errors import ErrorCode, NnError
from wasi_nn_torch.contract.vocabulary import ElementType
from wasi_nn_torch.pytorch.dtypes import DTYPES, nameable_dtype


def widen(tensor, name):
    return tensor.to(nameable_dtype(tensor, name))


EVERY_BYTE = torch.arange(256, dtype=torch.int16).to(torch.uint8)

FLOAT8 = [
    torch.float8_e4m3fn,
    torch.float8_e4m3fnuz,
    torch.float8_e5m2,
    torch.float8_e5m2fnuz,
    torch.float8_e8m0fnu,
]


@pytest.mark.parametrize(
    ("name", "dtype", "item_size"),
    [
        ("FP16", torch.float16, 2),
        ("FP32", torch.float32, 4),
        ("FP64", torch.float64, 8),
        ("BF16", torch.bfloat16, 2),
        ("U8", torch.uint8, 1),
        ("I32", torch.int32, 4),
        ("I64", torch.int64, 8),
    ],
)
def test_each_type_of_wasi_nn_has_its_dtype_and_size(name, dtype, item_size):
    assert DTYPES[ElementType[name]] is dtype
    assert ElementType[name].item_size == item_size


def test_there_are_no_other_types():
    assert len(ElementType) == 7


@pytest.mark.parametrize("element_type", ElementType)
def test_a_type_that_wasi_nn_can_name_is_not_copied(element_type):
    tensor = torch.zeros(3, dtype=DTYPES[element_type])
    assert widen(tensor, "output") is tensor


def test_booleans_become_u8(device):
    widened = widen(torch.tensor([False, True], device=device), "output")
    assert (widened.dtype, widened.tolist()) == (torch.uint8, [0, 1])


def test_every_int8_becomes_i32():
    narrow = EVERY_BYTE.view(torch.int8)
    widened = widen(narrow, "output")
    assert (widened.dtype, widened.tolist()) == (torch.int32, narrow.tolist())


@pytest.mark.parametrize("dtype", [torch.int16, torch.uint16])
def test_every_number_of_16_bits_becomes_i32(dtype):
    narrow = torch.arange(65536, dtype=torch.int32).to(dtype)
    widened = widen(narrow, "output")
    assert (widened.dtype, widened.tolist()) == (torch.int32, narrow.tolist())


def test_uint32_becomes_i64():
    widened = widen(torch.tensor([0, 2**31, 2**32 - 1], dtype=torch.uint32), "output")
    assert (widened.dtype, widened.tolist()) == (torch.int64, [0, 2**31, 2**32 - 1])


@pytest.mark.parametrize("dtype", FLOAT8, ids=str)
def test_every_float8_keeps_its_value(dtype):
    narrow = EVERY_BYTE.view(dtype)
    widened = widen(narrow, "output")
    assert widened.dtype in {torch.float16, torch.float32}
    assert torch.equal(widened.to(torch.float64).nan_to_num(nan=-0.3), narrow.to(torch.float64).nan_to_num(nan=-0.3))


def test_a_dtype_without_a_counterpart_is_unsupported():
    with pytest.raises(NnError) as caught:
        widen(torch.zeros(2, dtype=torch.complex64), "spectrum")
    assert caught.value.code is ErrorCode.UNSUPPORTED_OPERATION
    assert "`spectrum`" in caught.value.text
    assert "complex64" in caught.value.text


def test_uint64_becomes_int64_if_that_has_its_values():
    widened = widen(torch.tensor([0, 2**63 - 1], dtype=torch.uint64), "ids")
    assert (widened.dtype, widened.tolist()) == (torch.int64, [0, 2**63 - 1])
    with pytest.raises(NnError, match="`ids` has a value of uint64 above 9223372036854775807") as caught:
        widen(torch.tensor([2**63], dtype=torch.uint64), "ids")
    assert caught.value.code is ErrorCode.UNSUPPORTED_OPERATION


@pytest.mark.filterwarnings("ignore:.*quantized tensor creation functions:UserWarning")
def test_quantized_tensors_are_unsupported():
    quantized = torch.quantize_per_tensor(torch.ones(2), scale=0.5, zero_point=0, dtype=torch.quint8)
    with pytest.raises(NnError, match="`q` has the dtype quint8"):
        widen(quantized, "q")


def test_sparse_tensors_are_unsupported():
    with pytest.raises(NnError, match="`s` is a sparse_coo tensor"):
        widen(torch.eye(2).to_sparse(), "s")
