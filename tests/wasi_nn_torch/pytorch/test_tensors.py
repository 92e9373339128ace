import struct

import numpy as np
import pytest
import torch

from wasi_nn_torch.contract.errors import ErrorCode, NnError
from wasi_nn_torch.contract.ledger import STAGING, Ledger
from wasi_nn_torch.contract.vocabulary import ElementType
from wasi_nn_torch.pytorch.staging import SessionMemory
from wasi_nn_torch.pytorch.tensors import DeviceTensor

# Every bit pattern of 16 bits, NaNs with payloads and both zeros among them.
PATTERNS = struct.pack("<65536H", *range(65536))


@pytest.fixture
def misfit(memory):
    """A tensor whose dimensions want 16 bytes, of which the guest gave 12."""
    return DeviceTensor.from_guest([2, 2], ElementType.FP32, memoryview(bytes(range(12))), memory)


@pytest.mark.parametrize("element_type", ElementType)
def test_bytes_come_back_as_they_went_in(element_type, memory, read, device):
    count = len(PATTERNS) // element_type.item_size
    kept = DeviceTensor.from_guest([count], element_type, memoryview(PATTERNS), memory)
    kept.on(device, "x")
    assert read(kept) == PATTERNS


def test_bytes_come_back_before_any_use(tensor, read):
    assert read(tensor(torch.arange(3))) == struct.pack("<3q", 0, 1, 2)


def test_the_guests_buffer_is_copied_and_not_kept(memory, values):
    data = bytearray(struct.pack("<2i", 1, 2))
    kept = DeviceTensor.from_guest([2], ElementType.I32, memoryview(data), memory)
    data[:] = bytes(8)
    data.clear()  # raises BufferError while anyone still holds the buffer
    assert values(kept) == [1, 2]


def test_dimensions_and_type_are_those_that_the_guest_gave(tensor):
    kept = tensor(torch.zeros(2, 0, 3, dtype=torch.int64))
    assert (kept.dimensions, kept.dtype) == ((2, 0, 3), ElementType.I64)


def test_the_elements_are_in_row_major_order(tensor, device):
    assert tensor(torch.arange(6).view(2, 3)).on(device, "x").tolist() == [[0, 1, 2], [3, 4, 5]]


def test_no_dimensions_mean_one_element(memory, device):
    scalar = DeviceTensor.from_guest([], ElementType.I32, memoryview(struct.pack("<i", 7)), memory)
    assert scalar.on(device, "x").item() == 7


@pytest.mark.parametrize("dimensions", [[0], [3, 0], [0, 2**32 - 1], [1] * 64])
def test_dimensions_may_be_zero_or_many(dimensions, memory, device, read):
    data = bytes(0 if 0 in dimensions else 4)
    kept = DeviceTensor.from_guest(dimensions, ElementType.FP32, memoryview(data), memory)
    assert list(kept.on(device, "x").shape) == dimensions
    assert read(kept) == data


@pytest.mark.parametrize(
    ("dimensions", "given", "expected"),
    [
        ([2, 2], 12, 16),
        ([2], 12, 8),
        ([], 0, 4),
        ([0], 4, 0),
        ([2**32 - 1] * 4, 16, 4 * (2**32 - 1) ** 4),
        ([2**16] * 4, 0, 4 * 2**64),  # zero modulo 2**64
    ],
)
def test_dimensions_that_do_not_fit_are_refused_when_the_content_is_needed(dimensions, given, expected, memory, device):
    kept = DeviceTensor.from_guest(dimensions, ElementType.FP32, memoryview(bytes(given)), memory)
    with pytest.raises(NnError) as caught:
        kept.on(device, "image")
    assert caught.value.code is ErrorCode.INVALID_ARGUMENT
    for part in ("`image`", str(dimensions), "FP32", f"{expected} bytes", f"{given} were given"):
        assert part in caught.value.text


def test_dimensions_that_do_not_fit_are_still_shown(misfit):
    assert misfit.dimensions == (2, 2)


def test_data_that_does_not_fit_comes_back_as_it_was_given(misfit, read):
    assert read(misfit) == bytes(range(12))


def test_a_million_dimensions_are_refused_at_once(memory):
    kept = DeviceTensor.from_guest([2**32 - 1] * 1_000_000, ElementType.U8, memoryview(b""), memory)
    with pytest.raises(NnError, match="has 1000000 dimensions; at most 64"):
        kept.require_fit("x")


def test_zero_elements_in_dimensions_beyond_any_address_are_refused(memory, device):
    kept = DeviceTensor.from_guest([0, *[2**32 - 1] * 3], ElementType.U8, memoryview(b""), memory)
    with pytest.raises(NnError, match="too large"):
        kept.on(device, "x")


def test_staging_is_free_once_the_tensor_is_on_an_accelerator(tensor, accelerator, watch):
    kept = tensor(torch.zeros(8))
    staging_is_free = watch(kept._content())
    kept.on(accelerator, "x")
    assert staging_is_free()


def test_a_tensor_says_where_it_is(tensor, device):
    kept = tensor(torch.zeros(8))
    assert kept.place == STAGING
    kept.on(device, "x")
    assert kept.place == str(device)


@pytest.mark.usefixtures("no_gc")
def test_dropping_frees_the_memory_at_once(tensor, device, watch):
    kept = tensor(torch.zeros(8))
    is_free = watch(kept.on(device, "x"))
    assert not is_free()
    kept.drop()
    assert is_free()


def test_dropping_twice_is_fine(tensor, ledger):
    kept = tensor(torch.zeros(8))
    kept.drop()
    kept.drop()
    assert ledger.snapshot().live_tensors == 0


def test_data_keeps_no_memory_alive(tensor, device, watch):
    kept = tensor(torch.zeros(8))
    is_free = watch(kept.on(device, "x"))
    data = kept.data()
    kept.drop()
    assert is_free()
    with pytest.raises(RuntimeError, match="dropped"):
        data.write_into(memoryview(bytearray(32)))


@pytest.mark.parametrize("use", [DeviceTensor.data, lambda kept: kept.on(torch.device("cpu"), "x")])
def test_using_a_dropped_tensor_is_an_error_of_the_host(tensor, use):
    kept = tensor(torch.zeros(8))
    kept.drop()
    with pytest.raises(RuntimeError, match="dropped"):
        use(kept)


def test_a_destination_of_another_size_is_refused(tensor):
    with pytest.raises(ValueError, match="7 bytes; the tensor has 8"):
        tensor(torch.zeros(2)).data().write_into(memoryview(bytearray(7)))


def test_the_destination_is_not_kept(tensor):
    destination = bytearray(8)
    with memoryview(destination) as view:
        tensor(torch.zeros(2)).data().write_into(view)
    destination.clear()  # raises BufferError while anyone still holds the buffer


def test_an_unaligned_destination_is_filled(tensor, device):
    kept = tensor(torch.tensor([1.0, 2.0], dtype=torch.float64))
    kept.on(device, "x")
    destination = bytearray(19)
    kept.data().write_into(memoryview(destination)[3:])
    assert struct.unpack_from("<2d", destination, 3) == (1.0, 2.0)


def test_a_scalar_is_the_only_element(tensor):
    assert tensor(torch.tensor([5])).scalar("rate") == 5


def test_there_is_no_scalar_of_several_elements(tensor):
    with pytest.raises(NnError, match="`rate` is \\[2\\]; expected one element"):
        tensor(torch.tensor([5, 6])).scalar("rate")


def test_an_output_of_rank_zero_is_shown_as_one_element(memory, device, values):
    output = DeviceTensor.from_output("output", torch.tensor(2.5, device=device), memory)
    assert (output.dimensions, values(output)) == ((1,), [2.5])


def test_a_strided_output_is_read_in_row_major_order(memory, device, values):
    columns = torch.arange(6, dtype=torch.int32).view(2, 3).to(device).t()
    output = DeviceTensor.from_output("output", columns.detach(), memory)
    assert values(output) == [0, 3, 1, 4, 2, 5]


def test_an_output_of_its_own_is_not_copied(memory, device):
    made = torch.zeros(8, device=device)
    address = made.data_ptr()
    output = DeviceTensor.from_output("output", made, memory)
    assert output.on(device, "x").data_ptr() == address


def test_an_output_that_others_refer_to_is_made_independent(memory, device, values):
    weights = torch.zeros(2, device=device)
    output = DeviceTensor.from_output("output", weights.detach(), memory)
    weights.fill_(1)
    assert values(output) == [0, 0]


def test_an_output_that_is_negated_on_reading_is_read_negated(memory, device, values):
    output = DeviceTensor.from_output("output", torch._neg_view(torch.tensor([1.0, -2.0], device=device)), memory)
    assert values(output) == [-1.0, 2.0]


@torch.inference_mode()
def test_a_slice_keeps_no_hidden_memory_alive(memory, device, watch):
    part = torch.zeros(1000, device=device)[:2]
    is_free = watch(part)
    output = DeviceTensor.from_output("output", part, memory)
    del part
    assert is_free()
    assert output.dimensions == (2,)


@torch.inference_mode()
def test_an_expanded_output_is_filled(memory, device, values):
    output = DeviceTensor.from_output("output", torch.ones(1, device=device).expand(3), memory)
    assert values(output) == [1, 1, 1]
    assert output.on(device, "x").is_contiguous()


def test_an_output_that_wasi_nn_cannot_name_is_refused(memory):
    with pytest.raises(NnError, match="unsupported-operation: output `spectrum` has the dtype complex64"):
        DeviceTensor.from_output("spectrum", torch.zeros(2, dtype=torch.complex64), memory)


def test_half_precision_outputs_keep_every_bit(memory, device, read):
    for dtype in (torch.float16, torch.bfloat16):
        content = torch.frombuffer(bytearray(PATTERNS), dtype=dtype).to(device).view(256, 256)
        output = DeviceTensor.from_output("output", content.t(), memory)
        transposed = torch.frombuffer(bytearray(PATTERNS), dtype=torch.int16).view(256, 256).t().contiguous()
        assert read(output) == bytes(transposed.flatten().view(torch.uint8).tolist())


def test_an_output_beyond_the_limit_is_refused_before_it_is_copied(device):
    memory = SessionMemory.of(Ledger(device_limit=100))
    huge = torch.ones(1, dtype=torch.bool, device=device).expand(1 << 45)
    with pytest.raises(NnError, match=f"too-large: output `output` needs {1 << 45} bytes on {device}"):
        DeviceTensor.from_output("output", huge, memory)


def test_an_output_without_elements_in_memory_is_refused(memory):
    with pytest.raises(NnError, match="unsupported-operation: output `output` is on the device `meta`"):
        DeviceTensor.from_output("output", torch.zeros(4, device="meta"), memory)


@pytest.mark.cpu
def test_dropping_a_large_output_on_memory_of_something_else_leaves_its_content():
    table = np.ones(20 << 20, dtype=np.float32)
    DeviceTensor.from_output("table", torch.from_numpy(table), SessionMemory.of(Ledger())).drop()
    assert table.all()
