"""The ledger of a session, on the tensors of PyTorch's backend: its figures, peaks and limits."""

from __future__ import annotations

import dataclasses
import weakref

import pytest
import torch

from wasi_nn_torch.contract.errors import ErrorCode, NnError
from wasi_nn_torch.contract.ledger import STAGING, Ledger, Transfer
from wasi_nn_torch.contract.vocabulary import ElementType
from wasi_nn_torch.pytorch.staging import SessionMemory
from wasi_nn_torch.pytorch.tensors import DeviceTensor

FOUR = torch.zeros(4)  # 16 bytes
_FP32 = ElementType.FP32


def test_a_new_ledger_is_empty(ledger):
    snapshot = ledger.snapshot()
    assert (snapshot.live_bytes, snapshot.live_tensors, snapshot.computes) == (0, 0, 0)


def test_a_tensor_from_a_guest_lives_in_staging(ledger, tensor):
    kept = tensor(FOUR)
    place = ledger.snapshot().places[STAGING]
    assert (place.bytes, place.tensors) == (kept.data().nbytes, 1)


def test_a_tensor_that_moved_lives_on_the_device_only(ledger, tensor, device):
    moved = tensor(FOUR)
    moved.on(device, "x")
    places = ledger.snapshot().places
    assert (places[STAGING].bytes, places[STAGING].tensors) == (0, 0)
    assert (places[str(device)].bytes, places[str(device)].tensors) == (16, 1)


def test_peaks_stay_after_tensors_are_gone(ledger, tensor):
    both = [tensor(FOUR), tensor(FOUR)]
    for one in both:
        one.drop()
    place = ledger.snapshot().places[STAGING]
    assert (place.bytes, place.tensors, place.peak_bytes, place.peak_tensors) == (0, 0, 32, 2)


def test_copying_a_guests_bytes_is_counted(ledger, tensor):
    tensor(FOUR)
    tensor(FOUR)
    transfer = ledger.snapshot().transfers[Transfer.GUEST_TO_HOST]
    assert (transfer.copies, transfer.bytes) == (2, 32)


def test_nothing_is_transferred_to_use_a_tensor_on_the_cpu(ledger, tensor, read):
    used = tensor(FOUR)
    used.on(torch.device("cpu"), "x")
    read(used)
    transfers = ledger.snapshot().transfers
    assert {transfer: figures.copies for transfer, figures in transfers.items()} == {
        Transfer.GUEST_TO_HOST: 1,
        Transfer.HOST_TO_DEVICE: 0,
        Transfer.DEVICE_TO_HOST: 0,
        Transfer.DEVICE_TO_DEVICE: 0,
    }


def test_one_upload_and_each_download_of_an_accelerator_are_counted(ledger, tensor, read, accelerator):
    used = tensor(FOUR)
    used.on(accelerator, "x")
    used.on(accelerator, "x")
    read(used)
    read(used)
    transfers = ledger.snapshot().transfers
    assert (transfers[Transfer.HOST_TO_DEVICE].copies, transfers[Transfer.HOST_TO_DEVICE].bytes) == (1, 16)
    assert (transfers[Transfer.DEVICE_TO_HOST].copies, transfers[Transfer.DEVICE_TO_HOST].bytes) == (2, 32)


def test_computes_and_their_seconds_are_counted(ledger, tensor, context):
    identity = context(torch.nn.ReLU())
    identity.compute([("input", tensor(FOUR))])
    identity.compute([("input", tensor(FOUR))])
    snapshot = ledger.snapshot()
    assert snapshot.computes == 2
    assert snapshot.compute_seconds > 0


def test_a_sweep_drops_the_tensors_left_behind_and_counts_them(ledger, tensor, device, watch):
    left = [tensor(FOUR), tensor(FOUR)]
    is_free = watch(left[0].on(device, "x"))
    assert ledger.sweep() == 2
    assert is_free()
    assert (ledger.snapshot().live_bytes, ledger.snapshot().live_tensors) == (0, 0)


def test_a_second_sweep_finds_nothing(ledger, tensor):
    left = tensor(FOUR)
    assert ledger.sweep() == 1
    assert ledger.sweep() == 0
    left.drop()
    assert ledger.snapshot().live_bytes == 0


@pytest.mark.usefixtures("no_gc")
def test_a_tensor_without_references_is_freed_and_no_longer_counted(ledger, tensor, device, watch):
    forgotten = tensor(FOUR)
    is_free = watch(forgotten.on(device, "x"))
    del forgotten
    assert is_free()
    assert ledger.snapshot().live_tensors == 0


@pytest.mark.usefixtures("no_gc")
def test_tensors_and_their_ledger_do_not_form_a_reference_cycle():
    ledger = Ledger()
    kept = DeviceTensor.from_output("output", torch.zeros(2), SessionMemory.of(ledger))
    ledger_is_gone = weakref.ref(ledger)
    del ledger, kept
    assert ledger_is_gone() is None


def test_a_ledger_knows_its_live_tensors_and_no_others(ledger, tensor):
    made = tensor(torch.ones(3))
    assert ledger.has(made)
    assert not Ledger().has(made)
    made.drop()
    assert not ledger.has(made)


def test_a_snapshot_does_not_change(ledger, tensor):
    before = ledger.snapshot()
    kept = tensor(FOUR)
    assert before.live_tensors == 0
    with pytest.raises(dataclasses.FrozenInstanceError):
        before.computes = 1
    kept.drop()


def test_the_limit_of_a_device_is_enforced_before_the_upload(device):
    memory = SessionMemory.of(Ledger(device_limit=20))
    first, second = (DeviceTensor.from_guest([4], _FP32, memoryview(bytes(16)), memory) for _ in range(2))
    first.on(device, "x")
    with pytest.raises(NnError) as caught:
        second.on(device, "y")
    assert caught.value.code is ErrorCode.TOO_LARGE
    assert "20" in caught.value.text
    assert "16" in caught.value.text
    assert second.place == STAGING


def test_all_devices_share_one_limit_and_staging_has_its_own():
    ledger = Ledger(device_limit=20, host_limit=10)
    ledger.enter_other(ledger, "cpu", 12)
    ledger.grant(STAGING, 10, "it")
    ledger.grant("cuda:0", 8, "it")
    with pytest.raises(NnError, match=r"it needs 9 bytes on cuda:0, but this guest already uses 12 \(limit 20\)"):
        ledger.grant("cuda:0", 9, "it")


def test_memory_that_moved_or_left_makes_room():
    class Held:
        def drop(self) -> None: ...

    held, ledger = Held(), Ledger(device_limit=20, host_limit=20)
    ledger.enter(held, STAGING, 16)
    ledger.move(STAGING, "cpu", 16)
    ledger.grant(STAGING, 20, "it")
    with pytest.raises(NnError, match="already uses 16"):
        ledger.grant("cpu", 5, "it")
    ledger.leave(held, "cpu", 16)
    ledger.grant("cpu", 20, "it")


def test_the_limit_of_staging_memory_is_enforced_before_the_copy():
    memory = SessionMemory.of(Ledger(host_limit=20))
    first = DeviceTensor.from_guest([4], _FP32, memoryview(bytes(16)), memory)
    with pytest.raises(NnError, match="too-large"):
        DeviceTensor.from_guest([4], _FP32, memoryview(bytes(16)), memory)
    first.drop()
    DeviceTensor.from_guest([4], _FP32, memoryview(bytes(16)), memory)


def test_the_limit_of_tensors_is_enforced_before_the_copy(device):
    ledger = Ledger(tensor_limit=2)
    memory = SessionMemory.of(ledger)
    first, second = (DeviceTensor.from_guest([4], _FP32, memoryview(bytes(16)), memory) for _ in range(2))
    first.on(device, "x")
    with pytest.raises(NnError) as caught:
        DeviceTensor.from_guest([4], _FP32, memoryview(bytes(16)), memory)
    assert caught.value.code is ErrorCode.TOO_LARGE
    assert caught.value.text.startswith(
        "a new tensor is one tensor too many: this guest already has 2 (limit 2); drop tensors"
    )
    assert ledger.snapshot().transfers[Transfer.GUEST_TO_HOST].copies == 2
    second.drop()
    DeviceTensor.from_guest([4], _FP32, memoryview(bytes(16)), memory)


def test_outputs_beyond_the_limit_of_tensors_are_refused_by_name(device):
    memory = SessionMemory.of(Ledger(tensor_limit=1))
    kept = DeviceTensor.from_output("first", torch.zeros(4, device=device), memory)
    with pytest.raises(NnError, match="too-large: output `second` is one tensor too many: this guest already has 1"):
        DeviceTensor.from_output("second", torch.zeros(4, device=device), memory)
    kept.drop()


def test_a_tensor_without_references_makes_room_for_another(device):
    ledger = Ledger(tensor_limit=1)
    memory = SessionMemory.of(ledger)
    for _ in range(3):
        DeviceTensor.from_guest([4], _FP32, memoryview(bytes(16)), memory).on(device, "x")
    assert ledger.snapshot().places[str(device)].peak_tensors == 1
