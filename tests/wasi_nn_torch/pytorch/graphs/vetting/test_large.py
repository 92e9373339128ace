"""Archives of 4 GiB and more are in order: they are too large for a guest, and the operator's to offer."""

import mmap
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.wasi_nn_torch.helpers.exported_attacks import SMALL
from tests.wasi_nn_torch.helpers.guest_models import written
from wasi_nn_torch.contract.errors import ErrorCode, NnError
from wasi_nn_torch.pytorch.graphs import ModelFormat, sniff
from wasi_nn_torch.pytorch.graphs.vetting.archive import _CENTRAL, _END, _END64, _LOCATOR, Archive
from wasi_nn_torch.pytorch.graphs.vetting.check_exported import check_exported
from wasi_nn_torch.pytorch.graphs.vetting.check_torchscript import check_torchscript
from wasi_nn_torch.pytorch.inspecting import describe

# These are told from bytes, on whatever device.
pytestmark = [pytest.mark.cpu, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

FULL, HUGE = 0xFFFFFFFF, 5 << 30
Check = Callable[[object], object]
CHECKS: dict[str, Check] = {"TorchScript": check_torchscript, "exported program": check_exported}


@pytest.fixture(params=CHECKS)
def model(request, small) -> tuple[bytes, Check]:
    """A model, and the check of its format."""
    return small if request.param == "TorchScript" else SMALL, CHECKS[request.param]


def sparse(path: Path, data: bytes) -> None:
    """Write an archive with a hole of 5 GiB in front of its directory, which takes no room on a disk."""
    tail = len(data) - _END64.size - _LOCATOR.size - _END.size
    *head, size, offset = _END64.unpack_from(data, tail)
    count = head[-1]
    with path.open("wb") as file:
        file.write(data[:offset])
        file.seek(offset + HUGE)
        file.write(data[offset:tail])
        file.write(_END64.pack(*head, size, offset + HUGE))
        file.write(_LOCATOR.pack(b"PK\x06\x07", 0, tail + HUGE, 1))
        file.write(_END.pack(b"PK\x05\x06", 0, 0, count, count, size, FULL, 0))


def refusal(check: Check, data: object) -> str:
    with pytest.raises(NnError) as caught:
        check(data)
    assert caught.value.code is ErrorCode.TOO_LARGE
    assert "\n" not in caught.value.text
    return caught.value.text


def test_a_model_above_4_gib_is_too_large_for_a_guest(model, tmp_path):
    data, check = model
    sparse(tmp_path / "large.pt", data)
    with (tmp_path / "large.pt").open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    text = refusal(check, memoryview(mapped))
    assert text == ("the model has 4 GiB or more, which is too large for a guest; the operator can register it by name")


def test_the_operator_is_told_what_a_model_above_4_gib_is(model, tmp_path):
    data, check = model
    path = tmp_path / "large.pt"
    sparse(path, data)
    found = ModelFormat.TORCHSCRIPT if check is check_torchscript else ModelFormat.EXPORTED_PROGRAM
    assert sniff(path) is found
    description = describe(path, "large.pt")
    assert description.format == found.value
    assert "too large for a guest" in str(description.refusal)


def with_large_entry(data: bytes, field: int) -> bytes:
    """Say of the first entry of the directory that its packed size, size or offset is in its extra field."""
    tail = len(data) - _END64.size - _LOCATOR.size - _END.size
    *head, _, offset = _END64.unpack_from(data, tail)
    count = head[-1]
    record = list(_CENTRAL.unpack_from(data, offset))
    name_end = offset + _CENTRAL.size + record[10]
    record[field], record[11] = FULL, 12
    extra = struct.pack("<HHQ", 1, 8, HUGE)
    directory = _CENTRAL.pack(*record) + data[offset + _CENTRAL.size : name_end] + extra + data[name_end:tail]
    end = offset + len(directory)
    last = _END.pack(b"PK\x05\x06", 0, 0, count, count, len(directory), offset, 0)
    locator = _LOCATOR.pack(b"PK\x06\x07", 0, end, 1)
    return data[:offset] + directory + _END64.pack(*head, len(directory), offset) + locator + last


@pytest.mark.parametrize("field", [8, 9, 16], ids=["packed size", "size", "offset"])
def test_a_weight_above_4_gib_makes_a_model_too_large_for_a_guest(field, model):
    data, check = model
    refusal(check, with_large_entry(data, field))


def test_a_model_of_more_entries_than_the_older_record_counts_is_read():
    content = {f"data/{number}": b"" for number in range(1 << 16)}
    assert len(list(Archive(memoryview(written(content))))) >= 1 << 16


def test_what_is_broken_stays_broken(model):
    data, check = model
    for end in (len(data) - 1, len(data) - 30):
        with pytest.raises(NnError) as caught:
            check(data[:end])
        assert caught.value.code is ErrorCode.SECURITY
