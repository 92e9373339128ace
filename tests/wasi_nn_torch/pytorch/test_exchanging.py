"""What can be made into a tensor of a session, on whose memory, and what is taken out of it."""

from __future__ import annotations

import warnings
from array import array

import numpy as np
import pytest
import torch
from torch._subclasses import FakeTensorMode

from tests.simulated import Counters
from tests.wasi_nn_torch.helpers.doubling import Doubled, Session
from wasi_nn_torch.contract import STAGING, ElementType, ErrorCode, Ledger, NnError, Transfer
from wasi_nn_torch.contract.shares import Share
from wasi_nn_torch.pytorch.devices import CPU, Devices
from wasi_nn_torch.pytorch.dtypes import DTYPES
from wasi_nn_torch.pytorch.session import PyTorchSession

pytestmark = pytest.mark.usefixtures("no_gc")

BIG = 1 << 20


@pytest.fixture
def wrap(part):
    def wrap(source, dimensions=None, dtype=None):
        return part.wrap(source, dimensions, dtype)

    return wrap


class Overwrites(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.add_(100)


class Same(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


def is_on(tensor, memory):
    """Whether a tensor is on the memory of another one."""
    return tensor._content().data_ptr() == memory.data_ptr()


# --- the memory of a tensor of PyTorch ---


@pytest.mark.parametrize("dtype", DTYPES.values())
def test_a_tensor_is_made_on_the_memory_of_another(wrap, device, values, dtype):
    x = torch.arange(6, device=device).to(dtype).view(2, 3)
    made = wrap(x)
    assert is_on(made, x)
    assert (made.dimensions, DTYPES[made.dtype], values(made)) == ((2, 3), dtype, [0, 1, 2, 3, 4, 5])


def test_memory_of_the_host_counts_as_staging_and_that_of_a_device_there(wrap, ledger, device):
    here, there = torch.ones(3), torch.ones(5, device=device)
    made = [wrap(here), wrap(there)]
    places = ledger.snapshot().places
    if device == CPU:
        assert (places[STAGING].bytes, places[STAGING].tensors) == (32, 2)
    else:
        assert (places[STAGING].bytes, places[str(device)].bytes) == (12, 20)
    assert all(not figures.copies for figures in ledger.snapshot().transfers.values())
    del made
    assert (ledger.snapshot().live_bytes, ledger.snapshot().live_tensors) == (0, 0)


def test_dropping_releases_the_memory_and_leaves_it_to_its_owner(wrap, device, watch):
    x = torch.ones(BIG, device=device)
    gone = watch(x)
    made = wrap(x)
    made.drop()
    made.drop()
    assert x.sum() == BIG
    del x
    assert gone()


def test_a_tensor_keeps_the_memory_after_its_owner_has_left(wrap, device, values, watch):
    x = torch.ones(3, device=device)
    gone = watch(x)
    made = wrap(x)
    del x
    assert values(made) == [1, 1, 1]
    made.drop()
    assert gone()


@pytest.mark.parametrize(
    "view",
    [lambda x: x.t(), lambda x: x[:, 1:], lambda x: x[:1].expand(4, 3), lambda x: x[::2], lambda x: x.flip(0)],
    ids="transposed sliced expanded strided flipped".split(),
)
def test_a_view_is_as_it_looks(wrap, device, values, view):
    x = view(torch.arange(6.0).view(2, 3).to(device))
    made = wrap(x)
    assert (made.dimensions, values(made)) == (tuple(x.shape), x.flatten().tolist())
    assert is_on(made, x)


def test_a_negative_view_is_copied(wrap, values):
    x = torch.tensor([1 + 2j, 3 - 4j]).conj().imag
    assert x.is_neg()
    assert values(wrap(x)) == [-2, 4]


def test_a_scalar_has_one_dimension(wrap, values):
    made = wrap(torch.tensor(7.0))
    assert (made.dimensions, values(made)) == ((1,), [7])


def test_an_empty_tensor_stays_empty(wrap, part):
    made = wrap(torch.ones(2, 0, 3))
    assert made.dimensions == (2, 0, 3)
    assert part.take(made).shape == (2, 0, 3)


def test_a_subclass_without_a_dispatch_of_its_own_is_a_plain_tensor(wrap, values):
    class Image(torch.Tensor):
        """Changes nothing."""

    assert values(wrap(torch.ones(2).as_subclass(Image))) == [1, 1]
    assert values(wrap(torch.nn.Parameter(torch.ones(2), requires_grad=False))) == [1, 1]


def quantized():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.quint8)


def nested():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.nested.nested_tensor([torch.ones(1), torch.ones(2)])


def fake():
    with FakeTensorMode():
        return torch.ones(3)


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: torch.ones(2, requires_grad=True), ValueError, r"requires a gradient.*tensor\.detach\(\)"),
        (lambda: torch.ones(2).bool(), TypeError, r"no element type for bool; convert with `\.to\(torch\.uint8\)`"),
        (lambda: torch.ones(2).short(), TypeError, r"int16; convert with `\.to\(torch\.int32\)`"),
        (lambda: torch.ones(2).to(torch.uint16), TypeError, r"uint16; convert with `\.to\(torch\.int32\)`"),
        (lambda: torch.ones(2).to(torch.complex64), TypeError, "complex64; convert to one of FP16, FP32"),
        (lambda: torch.ones(2).to_sparse(), TypeError, r"layout sparse_coo.*to_dense\(\)"),
        (lambda: torch.ones(2).to_mkldnn(), TypeError, r"layout mkldnn.*to_dense\(\)"),
        (lambda: torch.ones(2, device="meta"), TypeError, "`meta` has no elements"),
        (quantized, TypeError, "quint8"),
        (nested, TypeError, r"nested tensor is not dense; pass `tensor\.to_padded_tensor\(0\)`"),
        (fake, TypeError, "^FakeTensor may have no memory"),
        (lambda: [1.0, 2.0], TypeError, r"cannot be made from a value of type list; pass a torch\.Tensor, an array"),
        (lambda: None, TypeError, "cannot be made from a value of type NoneType"),
    ],
)
def test_a_source_that_cannot_be_a_tensor_is_refused_with_advice(wrap, ledger, make, error, text):
    with pytest.raises(error, match=text):
        wrap(make())
    assert ledger.snapshot().live_tensors == 0


def test_a_tensor_inside_a_transform_is_refused(wrap):
    def inside(x):
        with pytest.raises(TypeError, match="not in memory"):
            wrap(x)
        return x

    torch.vmap(inside)(torch.ones(2, 3))


def test_dimensions_are_for_bytes_only(wrap):
    with pytest.raises(
        TypeError, match="`dimensions` and `dtype` are for bytes, and a value of type Tensor has its own"
    ):
        wrap(torch.ones(2), [2], "FP32")


# --- arrays of other libraries ---


def test_an_array_is_shared_without_a_copy(wrap, values):
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    made = wrap(x)
    x[0, 0] = 7
    assert (made.dimensions, values(made)) == ((2, 3), [7, 1, 2, 3, 4, 5])


@pytest.mark.parametrize(
    ("source", "error", "text"),
    [
        (np.arange(3.0)[::-1], ValueError, "reversed.*pass a copy"),
        (np.arange(3, dtype=">f4"), ValueError, "cannot be shared: .*byte order"),
        (np.array(["text"]), ValueError, "cannot be shared"),
        (np.zeros(2, np.complex64), TypeError, "complex64"),
        (np.zeros(2, bool), TypeError, "bool; convert"),
        (np.float32(3), (TypeError, ValueError), "float32"),
    ],
    ids="reversed big-endian text complex bool scalar".split(),
)
def test_an_array_that_cannot_be_shared_is_refused(wrap, source, error, text):
    with pytest.raises(error, match=text):
        wrap(source)


def test_what_is_taken_is_never_memory_that_may_be_for_reading_only(wrap, part):
    x = np.frombuffer(b"1234", np.uint8)
    taken = part.take(wrap(x))
    taken.zero_()
    assert x.tolist() == [49, 50, 51, 52]


# --- bytes ---


@pytest.mark.parametrize("dtype", ["FP32", "float32", torch.float32, ElementType.FP32])
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, lambda data: memoryview(array("f", [1, 2]))])
def test_bytes_are_copied_to_staging(wrap, values, ledger, kind, dtype):
    made = wrap(kind(array("f", [1, 2]).tobytes()), [2, 1], dtype)
    assert (made.dimensions, made.dtype, made.place, values(made)) == ((2, 1), ElementType.FP32, STAGING, [1, 2])
    assert ledger.snapshot().transfers[Transfer.GUEST_TO_HOST].copies == 0


def test_no_bytes_are_an_empty_tensor(wrap):
    assert wrap(b"", [0, 3], "I64").dimensions == (0, 3)


@pytest.mark.parametrize(
    ("data", "dimensions", "dtype", "error", "text"),
    [
        (b"1234", [2], "FP32", ValueError, r"dimensions \[2\] of FP32, which need 8 bytes, but 4 were given"),
        (b"1234", [-1, -4], "U8", ValueError, r"\[-1, -4\] have a negative size"),
        (b"1234", [1.0, 4], "U8", TypeError, "float"),
        (b"", [0, 2**62, 2**62], "U8", ValueError, "too large even though one of them is 0"),
        (b"1" * 65, [1] * 64 + [65], "U8", ValueError, "65 dimensions; at most 64"),
        (b"1234", None, "FP32", TypeError, "bytes need `dimensions` and `dtype`"),
        (b"1234", [1], None, TypeError, "bytes need `dimensions` and `dtype`"),
        (b"1234", [1], "FP33", ValueError, "`FP33` is not a dtype; choose one of FP16"),
        (b"1234", [4], "bool", TypeError, "no element type for bool"),
        (memoryview(b"1234")[::2], [2], "U8", ValueError, "not contiguous"),
    ],
)
def test_bytes_that_are_no_tensor_are_refused(wrap, ledger, data, dimensions, dtype, error, text):
    with pytest.raises(error, match=text):
        wrap(data, dimensions, dtype)
    assert ledger.snapshot().live_tensors == 0


# --- limits ---


@pytest.mark.parametrize(
    ("ledger", "limit"), [(Ledger(host_limit=20), "host_bytes"), (Ledger(tensor_limit=1), "tensors")]
)
def test_a_limit_of_the_session_is_named(part, limit):
    kept = part.wrap(torch.ones(4), None, None)
    with pytest.raises(NnError) as caught:
        part.wrap(torch.ones(4), None, None)
    assert (caught.value.code, caught.value.limit) == (ErrorCode.TOO_LARGE, limit)
    kept.drop()
    part.wrap(torch.ones(4), None, None)


@pytest.mark.parametrize("ledger", [Ledger(device_limit=20)])
def test_the_limit_of_a_device_is_named(part, accelerator):
    with pytest.raises(NnError) as caught:
        part.wrap(torch.ones(6, device=accelerator), None, None)
    assert caught.value.limit == "device_bytes"


# --- computing on memory that was lent ---


def test_a_model_that_writes_to_its_input_gets_a_copy(wrap, context, device, values, ledger):
    x = torch.zeros(3, device=device)
    [(_, output)] = context(Overwrites()).compute([("x", wrap(x))])
    assert values(output) == [100, 100, 100]
    assert x.tolist() == [0, 0, 0]
    assert ledger.snapshot().live_tensors == 1


def test_a_model_that_writes_to_its_input_gets_a_copy_also_of_a_share(wrap, context, device):
    x = torch.zeros(3, device=device)
    share = Share.of(wrap(x))
    context(Overwrites()).compute([("x", share)])
    assert x.tolist() == [0, 0, 0]


def test_an_array_that_nobody_else_knows_is_not_written_to_either(wrap, context):
    x = np.zeros(3, np.float32)
    shared = torch.from_numpy(x)
    made = wrap(shared)
    del shared
    context(Overwrites()).compute([("x", made)])
    assert x.tolist() == [0, 0, 0]


def test_an_output_on_lent_memory_is_a_copy(wrap, context, device, values):
    x = torch.ones(3, device=device)
    [(_, output)] = context(Same()).compute([("x", wrap(x))])
    x.zero_()
    assert values(output) == [1, 1, 1]


def test_a_computation_drops_lent_memory(wrap, context, device, watch, ledger):
    x = torch.ones(3, device=device)
    gone = watch(x)
    made = wrap(x)
    [(_, output)] = context(Overwrites()).compute([("x", made)])
    del x
    assert gone()
    output.drop()
    assert ledger.snapshot().live_bytes == 0


def test_a_tensor_moves_to_the_device_of_a_graph(wrap, accelerator, context, values, ledger, simulator):
    x = torch.ones(3)
    made = wrap(x)
    simulator.reset()
    [(_, output)] = context(Overwrites()).compute([("x", made)])
    assert x.tolist() == [1, 1, 1]
    assert ledger.snapshot().transfers[Transfer.HOST_TO_DEVICE].copies == simulator.counters().h2d.number == 1
    assert values(output) == [101, 101, 101]


# --- taking ---


def test_an_output_is_taken_without_a_copy(part, context, tensor, ledger, device):
    [(_, output)] = context(Overwrites()).compute([("x", tensor(torch.ones(3)))])
    address = output.address
    taken = part.take(output)
    assert (taken.data_ptr(), taken.device, taken.tolist()) == (address, device, [101, 101, 101])
    assert ledger.snapshot().live_tensors == 0


def test_what_is_taken_can_be_changed_and_trained_on(part, context, tensor):
    [(_, output)] = context(Overwrites()).compute([("x", tensor(torch.ones(3)))])
    with torch.inference_mode():
        taken = part.take(output)
    assert not taken.is_inference()
    taken += 1
    weight = torch.ones(3, requires_grad=True)
    (weight.to(taken.device) * taken).sum().backward()
    assert weight.grad.tolist() == [102, 102, 102]


def test_taking_what_was_lent_gives_its_memory_back(wrap, part, device, ledger):
    x = torch.ones(2, 3, device=device)
    taken = part.take(wrap(x.t()))
    assert (taken.data_ptr(), taken.shape, taken.stride()) == (x.data_ptr(), (3, 2), (1, 3))
    assert ledger.snapshot().live_tensors == 0


def test_staging_memory_that_was_taken_is_not_reused(part):
    made = part.tensor([BIG], ElementType.U8, memoryview(b"\1" * BIG))
    address = made.address
    taken = part.take(made)
    assert taken.data_ptr() == address
    assert part.idle_bytes == 0
    other = part.tensor([BIG], ElementType.U8, memoryview(b"\2" * BIG))
    assert (taken.min(), taken.max()) == (1, 1)
    other.drop()


def test_staging_memory_that_a_worker_can_read_is_copied(part):
    part.memory.staging.share(torch.UntypedStorage, 1)
    made = part.tensor([3], ElementType.U8, memoryview(b"abc"))
    address = made.address
    taken = part.take(made)
    assert taken.data_ptr() != address
    assert bytes(taken.tolist()) == b"abc"


def test_a_share_of_several_is_taken_as_a_copy(part, tensor, values, ledger):
    share = Share.of(tensor(torch.ones(3)))
    other = share.another()
    taken = part.take(share)
    taken.zero_()
    assert values(other) == [1, 1, 1]
    assert ledger.snapshot().live_tensors == 1
    address = other.content.address
    assert part.take(other).data_ptr() == address
    assert ledger.snapshot().live_tensors == 0


def test_a_share_of_lent_memory_is_that_memory(part, wrap, device, ledger):
    x = torch.ones(3, device=device)
    share = Share.of(wrap(x))
    other = share.another()
    assert part.take(share).data_ptr() == x.data_ptr()
    assert part.take(other).data_ptr() == x.data_ptr()
    assert ledger.snapshot().live_tensors == 0


def test_a_share_of_lent_memory_that_has_moved_is_like_any_other(part, accelerator, wrap, values):
    share = Share.of(wrap(torch.ones(3)))
    other = share.another()
    other.content.on(accelerator, "x")
    part.take(share).zero_()
    assert values(other) == [1, 1, 1]
    assert other.take_if_last() is not None


def test_memory_that_a_model_keeps_is_copied(part, device, tensor):
    kept = tensor(torch.ones(3))
    seen = kept.on(device, "x")  # as a model gets it
    taken = part.take(kept)
    taken.zero_()
    assert seen.tolist() == [1, 1, 1]


def test_a_tensor_of_another_backend_is_copied(part, ledger):
    made = Doubled(np.array([1, 2], np.float32), Session(ledger))
    taken = part.take(made)
    assert taken.tolist() == [1, 2]
    assert ledger.snapshot().live_tensors == 0


def test_taking_from_a_device_copies_nothing(part, accelerator, wrap, simulator):
    x = torch.ones(1024, device=accelerator)
    made = wrap(x)
    simulator.reset()
    taken = part.take(made)
    assert simulator.counters() == Counters()
    assert taken.device == accelerator


@pytest.mark.cpu
def test_a_tensor_of_another_session_is_not_computed_with(part, load):
    other = PyTorchSession(Ledger(), Devices("cpu"), pinned=False, checks=True)
    with pytest.raises(NnError, match="`x` belongs to another session"):
        part.context(load(Same())).compute([("x", other.wrap(torch.ones(3), None, None))])
