import io
import zipfile

import pytest
import torch

from wasi_nn_torch.pytorch.graphs import ModelFormat, sniff, sniff_bytes

# These are told from bytes, on whatever device.
pytestmark = pytest.mark.cpu

PT2 = {"net/archive_format": b"pt2"}


def archive(entries: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as out:
        for name, content in entries.items():
            out.writestr(name, content)
    return file.getvalue()


def saved(content: object, **options: bool) -> bytes:
    file = io.BytesIO()
    torch.save(content, file, **options)
    return file.getvalue()


@pytest.fixture(scope="module")
def exported() -> bytes:
    file = io.BytesIO()
    torch.export.save(torch.export.export(torch.nn.ReLU(), (torch.ones(2),)), file)
    return file.getvalue()


def test_torchscript(script):
    assert sniff_bytes(script(torch.nn.Linear(3, 2))) is ModelFormat.TORCHSCRIPT


def test_an_exported_program(exported):
    assert sniff_bytes(exported) is ModelFormat.EXPORTED_PROGRAM


def test_an_exported_program_of_the_older_layout():
    data = archive({"serialized_exported_program.json": b"{}", "version": b"1"})
    assert sniff_bytes(data) is ModelFormat.EXPORTED_PROGRAM


def test_native_code_is_told_even_beside_an_exported_program():
    data = archive({**PT2, "net/models/model.json": b"{}", "net/data/aotinductor/model/model.so": b"\x7fELF"})
    assert sniff_bytes(data) is ModelFormat.AOTI_PACKAGE


def test_a_state_dict():
    assert sniff_bytes(saved(torch.nn.Linear(3, 2).state_dict())) is ModelFormat.STATE_DICT


def test_a_state_dict_of_the_older_format():
    data = saved(torch.nn.Linear(3, 2).state_dict(), _use_new_zipfile_serialization=False)
    assert sniff_bytes(data) is ModelFormat.STATE_DICT


@pytest.mark.parametrize(
    "data", [b"", b"P", b"GGUF" + bytes(100), b"PK\x03\x04", b"PK\x03\x04" + bytes(1000), archive({})]
)
def test_other_bytes_are_no_model(data):
    assert sniff_bytes(data) is ModelFormat.UNKNOWN


@pytest.mark.parametrize(
    "entries",
    [
        {"readme.txt": b"hello"},
        {"net/code/model.py": b"", "net/constants.pkl": b""},
        PT2,
        {"net/archive_format": b"other", "net/models/model.json": b"{}"},
    ],
    ids=" ".join,
)
def test_another_archive_is_no_model(entries):
    assert sniff_bytes(archive(entries)) is ModelFormat.UNKNOWN


def test_a_broken_archive_is_no_model_and_raises_nothing(exported):
    for length in range(0, len(exported), 97):
        assert sniff_bytes(exported[:length]) is ModelFormat.UNKNOWN


def test_an_archive_with_any_byte_changed_raises_nothing():
    data = bytearray(archive({**PT2, "net/models/model.json": b"{}"}))
    for position in range(4, len(data)):
        for flip in (0x01, 0x80, 0xFF):
            data[position] ^= flip
            assert sniff_bytes(data) in ModelFormat
            data[position] ^= flip


def test_an_archive_behind_other_bytes_is_no_model():
    assert sniff_bytes(archive({}) + archive({"net/data.pkl": b""})) is ModelFormat.UNKNOWN
    assert sniff_bytes(archive({"a": b""})[:30] + archive({"net/data.pkl": b""})) is ModelFormat.UNKNOWN


def test_an_archive_with_a_huge_directory_is_no_model():
    names = [f"net/{number:060000}" for number in range(200)]
    assert sniff_bytes(archive(dict.fromkeys(["net/data.pkl", *names], b""))) is ModelFormat.UNKNOWN


def test_a_small_entry_that_unpacks_to_much_is_hardly_read():
    data = archive({"net/archive_format": b"pt2" + bytes(64 << 20), "net/models/model.json": b"{}"})
    assert sniff_bytes(data) is ModelFormat.EXPORTED_PROGRAM


def test_a_file_is_sniffed_by_its_path(tmp_path, script):
    path = tmp_path / "net.pt"
    path.write_bytes(script(torch.nn.ReLU()))
    assert sniff(path) is ModelFormat.TORCHSCRIPT


def test_a_file_that_cannot_be_read_is_an_error_of_the_system(tmp_path):
    with pytest.raises(FileNotFoundError):
        sniff(tmp_path / "nothing.pt")


def test_a_view_of_a_guests_memory_is_sniffed(script):
    assert sniff_bytes(memoryview(script(torch.nn.ReLU()))) is ModelFormat.TORCHSCRIPT
