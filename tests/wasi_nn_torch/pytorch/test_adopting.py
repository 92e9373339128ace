"""Inputs of a computation, whichever backend made them and whoever else holds them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.wasi_nn_torch.helpers.doubling import Doubled, Session
from wasi_nn_torch.contract import STAGING, ElementType, NnError, Transfer
from wasi_nn_torch.contract.errors import ErrorCode
from wasi_nn_torch.contract.shares import Share
from wasi_nn_torch.pytorch.adopting import Adopted
from wasi_nn_torch.pytorch.devices import CPU


@pytest.fixture
def reading(memory, device):
    return Adopted(memory, device, writes=False)


@pytest.fixture
def writing(memory, device):
    return Adopted(memory, device, writes=True)


@pytest.fixture
def foreign(ledger):
    """A tensor of another backend, on the CPU."""
    return lambda *numbers: Doubled(np.array(numbers, np.float32), Session(ledger))


class NotShared(Doubled):
    """A tensor whose memory no other engine can read."""

    def __dlpack__(self, **_):
        raise BufferError("it lies elsewhere")


# --- tensors of the session ---


@pytest.mark.parametrize("writes", [False, True])
def test_an_input_with_one_owner_is_used_as_it_is(writes, memory, device, tensor):
    given = tensor(torch.ones(3))
    assert Adopted(memory, device, writes).adopt(given, "x", True) is given


def test_an_input_that_others_hold_is_only_read(reading, tensor, ledger):
    given = tensor(torch.ones(3))
    share = Share.of(given)
    other = share.another()
    assert reading.adopt(share, "x", True) is given
    reading.drop()
    share.drop()
    assert ledger.snapshot().live_tensors == 1, "the other share has it"
    other.drop()
    assert ledger.snapshot().live_tensors == 0


def test_an_input_that_others_hold_is_copied_if_it_may_be_written_to(writing, tensor, values, ledger, device):
    given = tensor(torch.arange(3.0))
    share = Share.of(given)
    other = share.another()
    adopted = writing.adopt(share, "x", True)
    assert (adopted.dimensions, adopted.place, values(adopted)) == ((3,), str(device), [0, 1, 2])
    assert given.place == STAGING, "the one that is kept stays where it is"
    writing.release()
    assert ledger.snapshot().live_tensors == 1, "the one that is kept"
    share.drop()
    other.drop()
    assert ledger.snapshot().live_tensors == 0


def test_an_input_that_nobody_else_holds_any_more_is_not_copied(writing, tensor, ledger):
    given = tensor(torch.ones(3))
    share = Share.of(given)
    share.another().drop()
    assert writing.adopt(share, "x", True) is given
    writing.drop()
    assert ledger.snapshot().live_tensors == 0


def test_a_number_that_others_hold_is_not_copied(writing, tensor):
    given = tensor(torch.ones(1))
    share = Share.of(given)
    other = share.another()
    assert writing.adopt(share, "n", False) is given
    other.drop()


# --- tensors of another backend ---


@pytest.mark.cpu
def test_memory_of_another_backend_is_read_in_place(reading, foreign, values, ledger):
    given = foreign(1, 2, 3)
    adopted = reading.adopt(given, "x", True)
    assert adopted._content().data_ptr() == given.array.__array_interface__["data"][0]
    assert values(adopted) == [1, 2, 3]
    assert ledger.snapshot().transfers[Transfer.GUEST_TO_HOST].bytes == 0
    assert ledger.snapshot().live_bytes == 12, "its own backend counts it, and nobody else"
    reading.release()
    assert values(adopted) == [1, 2, 3], "an output on its memory must find another owner"
    reading.drop()
    assert ledger.snapshot().live_bytes == 0


@pytest.mark.cpu
def test_memory_of_another_backend_is_copied_if_it_may_be_written_to(writing, foreign, values, ledger):
    given = foreign(1, 2)
    adopted = writing.adopt(given, "x", True)
    assert adopted._content().data_ptr() != given.array.__array_interface__["data"][0]
    assert values(adopted) == [1, 2]
    writing.drop()
    assert ledger.snapshot().live_bytes == 0


@pytest.mark.parametrize("writes", [False, True])
def test_memory_on_another_device_is_copied_once(writes, memory, accelerator, foreign, values, ledger):
    adopted = Adopted(memory, accelerator, writes)
    moved = adopted.adopt(foreign(1, 2), "x", True)
    assert (moved.place, values(moved)) == (str(accelerator), [1, 2])
    assert ledger.snapshot().transfers[Transfer.HOST_TO_DEVICE].bytes == 8
    adopted.drop()
    assert ledger.snapshot().live_bytes == 0


def test_memory_that_is_not_shared_is_copied_through_the_host(reading, ledger, values):
    given = NotShared(np.array([4, 5], np.float32), Session(ledger))
    adopted = reading.adopt(given, "x", True)
    assert (adopted.place, values(adopted)) == (STAGING, [4, 5])
    reading.drop()
    assert ledger.snapshot().live_bytes == 0


def test_a_tensor_of_another_backend_that_others_hold_stays(reading, foreign, ledger):
    share = Share.of(foreign(1, 2))
    other = share.another()
    reading.adopt(share, "x", True)
    reading.drop()
    share.drop()
    assert ledger.snapshot().live_bytes == 8
    other.drop()
    assert ledger.snapshot().live_bytes == 0


def test_a_tensor_that_shares_other_memory_than_it_says_is_a_fault_of_its_backend(reading, foreign):
    class Wrong(Doubled):
        dimensions = (7,)

    with pytest.raises(RuntimeError, match=r"Wrong of FP32 \[7\] shares memory of torch.float32 \[2\]"):
        reading.adopt(Wrong(np.array([4, 5], np.float32), foreign()._session), "x", True)


@pytest.mark.cpu
@pytest.mark.usefixtures("no_gc")
def test_an_output_on_the_memory_of_another_backend_is_a_copy(part, foreign, values, load, ledger):
    class Same(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x

    given = foreign(1, 2)
    array = given.array
    [(_, output)] = part.context(load(Same())).compute([("x", given)])
    array[:] = 0
    assert values(output) == [1, 2]
    output.drop()
    assert ledger.snapshot().live_bytes == 0


# --- what others may read of ours ---


@pytest.mark.cpu
def test_another_engine_reads_a_tensor_in_place(tensor):
    given = tensor(torch.arange(4.0))
    shared = np.from_dlpack(given)
    assert shared.tolist() == [0, 1, 2, 3]
    assert shared.__array_interface__["data"][0] == given._content().data_ptr()


def test_a_tensor_tells_its_device(tensor, device):
    given = tensor(torch.ones(1))
    assert given.__dlpack_device__() == (1, 0)
    assert device == CPU or given.on(device, "x").device == device


@pytest.mark.cpu
def test_a_tensor_that_does_not_fit_is_not_shared(part):
    short = part.tensor([2], ElementType.FP32, memoryview(b"1234"))
    with pytest.raises(NnError) as caught:
        short.__dlpack__()
    assert caught.value.code is ErrorCode.INVALID_ARGUMENT


@pytest.mark.cpu
@pytest.mark.usefixtures("no_gc")
def test_staging_memory_that_another_engine_still_reads_is_not_reused(part):
    size = 1 << 20
    given = part.tensor([size], ElementType.U8, memoryview(b"\1" * size))
    shared = np.from_dlpack(given)
    given.drop()
    assert part.idle_bytes == 0
    other = part.tensor([size], ElementType.U8, memoryview(b"\2" * size))
    assert shared[0] == 1
    other.drop()
