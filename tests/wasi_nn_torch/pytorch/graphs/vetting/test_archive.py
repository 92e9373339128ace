"""The check of the archives that guests' models come in."""

import io
import pickle
import re
import struct
import warnings
import zipfile

import pytest
import torch

from tests.wasi_nn_torch.helpers.guest_models import CODE, files, refusal, written
from wasi_nn_torch.contract.errors import NnError
from wasi_nn_torch.pytorch.graphs.vetting.archive import Archive

# These are told from bytes, on whatever device.
pytestmark = [
    pytest.mark.cpu,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning"),
]


def test_what_is_no_archive_is_refused(small):
    for data in (b"", b"PK\x03\x04", b"\x80\x02}.", pickle.dumps({}), bytes(1000)):
        assert "broken" in refusal(data)


def test_a_truncated_archive_is_refused(small):
    for size in range(0, len(small), 97):
        refusal(small[:size])


def test_an_archive_with_anything_before_or_behind_it_is_refused(small):
    assert "broken" in refusal(b"\0" * 64 + small)
    assert "broken" in refusal(small + b"\0")
    assert "broken" in refusal(small + small)


def test_an_archive_that_pytorch_would_take_for_another_format_is_refused(small):
    data = bytearray(small)
    data[4:8] = b"PTMF"  # a FlatBuffer: PyTorch looks there first
    assert "broken" in refusal(bytes(data))


@pytest.mark.parametrize("name", ["data.pkl", "DATA.PKL", "code/__TORCH__.py"])
def test_duplicate_entries_are_refused(name, small):
    content = files(small)
    file = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(file, "w") as archive:
        warnings.simplefilter("ignore")
        for path, data in [*content.items(), (name, content["data.pkl"])]:
            archive.writestr(f"archive/{path}", data)
    refusal(file.getvalue())  # not laid out as PyTorch does, to begin with
    content["code/__torch__/A.py"] = content["code/__torch__/a.py"] = b""
    assert "the same name" in refusal(written(content))


@pytest.mark.parametrize(
    "name", ["model.json", "bytecode.pkl", "../data.pkl", "code/../data.pkl", "code/a.py", "data/x"]
)
def test_entries_that_pytorch_does_not_write_are_refused(name, small):
    assert "PyTorch does not write entries such as" in refusal(written({**files(small), name: b""}))


@pytest.mark.parametrize("name", ["data.pkl", "constants.pkl"])
def test_a_missing_file_is_refused(name, small):
    content = files(small)
    del content[name]
    assert f"{name}: it is missing" in refusal(written(content))


def with_size(data: bytes, name: str, size: int) -> bytes:
    """Let the directory declare another size for an entry."""
    entry = re.search(rb"PK\x01\x02.{42}archive/" + re.escape(name.encode()) + rb"PK", data, re.DOTALL)
    assert entry
    at = entry.start()
    return data[: at + 24] + struct.pack("<L", size) + data[at + 28 :]


@pytest.mark.parametrize("size", [0, 100, 1 << 20, 1 << 21, 0xFFFFFFFE, 0xFFFFFFFF])
def test_a_size_that_is_not_the_declared_one_is_refused(size, small):
    refusal(with_size(small, CODE, size))


def test_code_that_is_too_large_is_refused_before_it_is_unpacked(small):
    bomb = with_size(small, CODE, 1 << 31)
    assert f"{CODE}: it is too large to check" in refusal(bomb)


def test_pytorch_reads_what_is_checked(small):
    """Whatever byte is changed, the archive is refused, or both readers see the same files with the same content."""
    accepted = 0
    for at in range(len(small)):
        data = bytearray(small)
        data[at] ^= 0xFF
        try:
            archive = Archive(memoryview(data))
            content = {path: archive.read(path) for path in archive}
        except NnError:
            continue
        if content["version"] != files(small)["version"]:  # which PyTorch reads at once
            continue
        reader = torch._C.PyTorchFileReader(io.BytesIO(bytes(data)))
        accepted += 1
        assert set(reader.get_all_records()) == set(content), at
        assert {path: reader.get_record(path) for path in content} == content, at
    assert accepted > 100
