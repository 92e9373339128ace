"""What is not a model, and what the operator and a guest are told that it is."""

import bz2
import gzip
import io
import json
import lzma
import struct
import zipfile

import pytest
import torch
from torch import nn
from torch.package import PackageExporter
from typer.testing import CliRunner

from tests.wasi_nn_torch.helpers.guest_models import scripted
from wasi_nn_torch import Engine
from wasi_nn_torch.cli import app
from wasi_nn_torch.contract.errors import ErrorCode, ModelError, NnError
from wasi_nn_torch.pytorch.devices import CPU
from wasi_nn_torch.pytorch.graphs import load_from_guest
from wasi_nn_torch.pytorch.graphs.recognizing.unloadable import identify

# These are told from bytes, on whatever device.
pytestmark = pytest.mark.cpu

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:0000\nsize 102400\n"


def saved(content: object, **options: bool) -> bytes:
    file = io.BytesIO()
    torch.save(content, file, **options)
    return file.getvalue()


def archive(*names: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as out:
        for name in names:
            out.writestr(name, b"content")
    return file.getvalue()


def package() -> bytes:
    file = io.BytesIO()
    with PackageExporter(file) as exporter:
        exporter.save_pickle("model", "model.pkl", {"weight": torch.ones(2)})
    return file.getvalue()


def safetensors(*sizes: int) -> bytes:
    ends = [sum(sizes[: index + 1]) for index in range(len(sizes))]
    tensors = {
        f"weight.{index}": {"dtype": "U8", "shape": [size], "data_offsets": [end - size, end]}
        for index, (size, end) in enumerate(zip(sizes, ends, strict=True))
    }
    header = json.dumps(tensors).encode()
    return struct.pack("<Q", len(header)) + header + bytes(sum(sizes))


def tar() -> bytes:
    import tarfile

    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as out:
        out.addfile(tarfile.TarInfo("model.pt"))
    return file.getvalue()


TRUNCATED = scripted(nn.Linear(20, 20))[:1500]
LIGHTNING = {"epoch": 1, "pytorch-lightning_version": "2.4.0", "state_dict": nn.Linear(1, 1).state_dict()}
CASES = {
    "an empty file": (b"", "an empty file; copy or download it again"),
    "zeros": (bytes(5000), "nothing but zeros; copy or download it again"),
    "a Git LFS pointer": (LFS, "a Git LFS pointer to the file of 102400 bytes, not the file itself; fetch it: git lfs"),
    "a truncated archive": (TRUNCATED, "a truncated archive: it ends after 1500 bytes, without its directory; copy or"),
    "a damaged archive": (
        b"PK\x03\x04" + bytes(50) + b"PK\x05\x06" + b"\xff" * 18,
        "a damaged archive; copy or download",
    ),
    "ONNX": (
        b"\x08\x08\x12\x07pytorch",
        "an ONNX model; load it with the encoding onnx, if the host has `wasi-nn-torch[onnx]`; or take",
    ),
    "ONNX without a producer": (b"\x08\x0a\x1a\x031.0", "an ONNX model"),
    "a SavedModel's file": (b"\x08\x01\x12\x90\x07\x0a\x02", "a TensorFlow SavedModel"),
    "safetensors": (safetensors(10, 20), "a safetensors file; it has weights without the code of a model"),
    "truncated safetensors": (safetensors(10, 20)[:-25], "at least 25 bytes are missing"),
    "GGUF": (b"GGUF\x03\0\0\0" + bytes(100), "a GGUF model, for llama.cpp"),
    "TensorFlow Lite": (b"\x1c\0\0\0TFL3" + bytes(100), "a TensorFlow Lite model"),
    "ExecuTorch": (b"\x1c\0\0\0ET12eh00" + bytes(100), "an ExecuTorch program (.pte)"),
    "torch.package": (
        package(),
        "a torch.package archive, which contains Python code; load it with torch.package.Pack",
    ),
    "HDF5": (b"\x89HDF\r\n\x1a\n" + bytes(100), "an HDF5 file, such as Keras writes"),
    "Keras": (archive("metadata.json", "config.json", "model.weights.h5"), "a Keras model"),
    "OpenVINO": (b'<?xml version="1.0"?>\n<net name="Model0" version="11">', "an OpenVINO model"),
    "XML": (b'<?xml version="1.0"?>\n<Error><Code>AccessDenied', "an XML document; a download may have failed"),
    "a web page": (b"<!DOCTYPE html>\n<html>", "a web page; the download failed, or asked for a login"),
    "a web page after a comment": (b"<!-- x --> <!-- y -->\n<html lang='en'>", "a web page"),
    "JSON": (b'{"error": "not found"}', "a JSON document; it may be a configuration, or the response to a failed"),
    "another archive": (archive("readme.txt", "a/b.bin"), "a ZIP archive of other files: `readme.txt`, `a/b.bin`"),
    "a model in an archive": (
        archive("net/model.pt"),
        "a ZIP archive of other files: `net/model.pt`; name the model's",
    ),
    "the mobile interpreter": (archive("net/bytecode.pkl", "net/data.pkl"), "a model for PyTorch's mobile interpreter"),
    "NumPy": (b"\x93NUMPY\x01\0", "a NumPy array"),
    "arrays of NumPy": (archive("a.npy", "b.npy"), "NumPy arrays (.npz)"),
    "a state dict": (saved(nn.Linear(1, 1).state_dict()), "a state dict or another pickle: weights without the code"),
    "an old state dict": (saved(nn.Linear(1, 1).state_dict(), _use_new_zipfile_serialization=False), "a state dict or"),
    "a whole module": (saved(nn.ReLU()), "a pickled object of the class `torch.nn.modules.activation.ReLU`"),
    "an old whole module": (
        saved(nn.ReLU(), _use_new_zipfile_serialization=False),
        "`torch.nn.modules.activation.ReLU`",
    ),
    "Lightning": (saved(LIGHTNING), "a Lightning checkpoint: weights without the code of a model; load it with"),
    "an old Lightning checkpoint": (
        saved(LIGHTNING, _use_new_zipfile_serialization=False),
        "a Lightning checkpoint",
    ),
    "gzip": (gzip.compress(scripted(nn.ReLU())), "compressed with gzip; unpack it: gunzip"),
    "bzip2": (bz2.compress(b"model"), "compressed with bzip2"),
    "xz": (lzma.compress(b"model"), "compressed with xz"),
    "Zstandard": (b"\x28\xb5\x2f\xfd" + bytes(20), "compressed with Zstandard"),
    "tar": (tar(), "a tar archive; unpack it"),
    "WebAssembly": (b"\0asm\x01\0\0\0", "WebAssembly: a guest, not a model; run it: wasi-nn-torch run"),
    "a library": (b"\x7fELF\x02\x01\x01" + bytes(20), "native code without a package"),
    "TensorRT": (b"ftrt\0\0\0\0", "a TensorRT engine"),
    "other bytes": (b"hello", "not a PyTorch model; export the whole model"),
}


@pytest.fixture(scope="module")
def engine():
    with Engine("cpu", cache=False) as made:
        yield made


@pytest.mark.parametrize("name", CASES)
def test_the_operator_and_a_guest_are_told_what_it_is_and_what_to_do(name, engine, tmp_path):
    content, text = CASES[name]
    path = tmp_path / "model.pt"
    path.write_bytes(content)
    said = []
    for model in (path, content):
        with pytest.raises(ModelError) as refused:
            engine.register("net", model)
        said.append(str(refused.value))
    with pytest.raises(NnError) as caught:
        load_from_guest(content, CPU)
    assert caught.value.code is ErrorCode.INVALID_ENCODING
    said.append(caught.value.text)
    inspected = CliRunner().invoke(app, ["inspect", str(path)])
    assert inspected.exit_code == 2
    said.append(inspected.stderr)
    for each in said:
        assert f" is {text}" in each or (text in each and " is a" in each)
        assert each.strip().isprintable()
    assert said[0].startswith(f"the model file `{path}` is ")
    assert said[2].startswith("the model is ")


def test_names_in_an_archive_are_quoted_and_bounded():
    text = identify(archive(*(f"\x1b[31m{number}" + "x" * 1000 for number in range(100)))).what
    assert text.isprintable()
    assert len(text) < 2000


def test_hardly_anything_of_a_large_file_is_read(tmp_path):
    path = tmp_path / "model.onnx"
    with path.open("wb") as file:
        file.write(b"\x08\x08\x12\x07pytorch")
        file.truncate(1 << 40)  # a hole
    assert identify(path).what == "an ONNX model"


@pytest.mark.parametrize("length", range(0, 2000, 61))
def test_whatever_begins_as_something_raises_nothing(length):
    for content, _ in CASES.values():
        assert identify(content[:length]).what
        assert identify(bytes(length) + content).what


def test_a_deeply_nested_text_is_not_a_model():
    assert identify(b"[" * 900_000).what
    assert identify(b"<!--" * 200_000).what
    assert identify(b"<!-- x -->" * 80_000).what


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (["saved_model.pb", "variables"], "a directory with a TensorFlow SavedModel"),
        (
            ["config.json", "model.safetensors", "tokenizer.json"],
            "a Hugging Face checkpoint.*load it with from_pretrai",
        ),
        (["config.json", "pytorch_model.bin"], "a Hugging Face checkpoint"),
        (["model.xml", "model.bin"], "a directory with an OpenVINO model"),
        (["data.pkl", "version", "data"], "a directory with the files of a PyTorch archive; name the archive itself"),
        (
            ["b.pt2", "a.pt", "readme.md"],
            "is a directory; name the file in it that holds the model: it has `a.pt`, `b.pt2`",
        ),
        ([], "is a directory; name the file in it that holds the model$"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_folder_is_told_by_what_is_in_it(names, text, engine, tmp_path):
    for name in names:
        (tmp_path / name).write_bytes(b"content")
    with pytest.raises(ModelError, match=text):
        engine.register("net", tmp_path)
    assert CliRunner().invoke(app, ["inspect", str(tmp_path)]).exit_code == 2
