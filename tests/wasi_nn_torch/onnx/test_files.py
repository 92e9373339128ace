"""Files, folders and bytes of ONNX models of the operator."""

from __future__ import annotations

import subprocess
import sys
import zipfile

import onnx
import pytest
import torch

from tests.wasi_nn_torch.helpers.guest_models import scripted
from tests.wasi_nn_torch.onnx.conftest import elements, given
from tests.wasi_nn_torch.onnx.models import add, linear, unary
from wasi_nn_torch import Directory, Engine, ModelError
from wasi_nn_torch.contract import Ledger, NnError
from wasi_nn_torch.contract.vocabulary import Encoding
from wasi_nn_torch.onnx.files import files_of, is_onnx

pytestmark = pytest.mark.cpu


def computed(engine, name):
    serving = engine._runtime.serve(Ledger())
    [(_, y)] = serving.context(serving.load_by_name(name)).compute([("x", given(serving, torch.ones(1, 4)))])
    return elements(y).tolist()


@pytest.fixture
def folder(tmp_path):
    """A folder with `model.onnx` and its weights in another file."""
    folder = tmp_path / "linear"
    folder.mkdir()
    onnx.save(linear(), folder / "model.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0)
    assert (folder / "weights.bin").stat().st_size >= 64
    return folder


def test_a_file_is_recognized_by_its_content(engine, tmp_path):
    file = tmp_path / "anything"
    file.write_bytes(linear().SerializeToString())
    engine.register("linear", file)
    assert computed(engine, "linear") == [[9, 9, 9, 9]]


@pytest.mark.parametrize("encoding", [None, "onnx"])
def test_a_folder_with_weights_in_another_file_is_a_model(engine, folder, encoding):
    engine.register("linear", folder, encoding=encoding)
    engine.register("again", folder / "model.onnx", encoding=encoding)
    assert computed(engine, "linear") == computed(engine, "again") == [[9, 9, 9, 9]]


def test_the_size_of_a_model_includes_its_weights(engine, folder):
    engine.register("linear", folder)
    [figures] = engine.stats.models
    assert figures.bytes == sum(file.stat().st_size for file in folder.iterdir())


def test_a_model_whose_weights_have_changed_is_not_loaded_again(folder):
    size = sum(file.stat().st_size for file in folder.iterdir())
    with Engine("cpu", model_bytes=size) as engine:
        engine.register("linear", folder)
        engine.register("add", add())  # evicts it
        assert computed(engine, "linear") == [[9, 9, 9, 9]]
        engine._registry.graph("add")
        (folder / "weights.bin").write_bytes(bytes(64))
        with pytest.raises(NnError, match="this host could not load the graph `linear`; its log says why"):
            engine._registry.graph("linear")


def test_no_guest_is_lent_the_folder_of_the_weights_to_write_to(engine, folder):
    engine.register("linear", folder)
    with pytest.raises(ValueError, match="linear"):
        engine.session(dirs={str(folder): Directory("models", writable=True)})


def test_bytes_with_weights_in_another_file_are_refused(engine, folder):
    with pytest.raises(
        ModelError, match=r"was given as bytes, but has weights in the file `weights.bin`; give the path"
    ):
        engine.register("linear", (folder / "model.onnx").read_bytes())


def test_missing_weights_are_named(engine, folder):
    (folder / "weights.bin").unlink()
    with pytest.raises(
        ModelError, match=r"has weights in the file `weights.bin`, which is not in the folder of the model"
    ):
        engine.register("linear", folder)


def test_a_folder_without_a_model_is_not_one(engine, tmp_path):
    with pytest.raises(ModelError, match="is a directory; name the file in it that holds the model"):
        engine.register("nothing", tmp_path)
    with pytest.raises(ModelError, match="is a directory; name the file in it that holds the model"):
        engine.register("nothing", tmp_path, encoding="onnx")


@pytest.mark.parametrize("length", [10, 50, 100])
def test_a_truncated_model_is_refused(engine, length):
    with pytest.raises(ModelError, match=r"is truncated"):
        engine.register("linear", linear().SerializeToString()[:length])


def test_other_formats_are_not_taken_for_onnx(tmp_path):
    archive = tmp_path / "archive.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("model.onnx", linear().SerializeToString())
    saved_model = b"\x08\x01\x12\x04meta"  # of TensorFlow
    for content in (archive.read_bytes(), scripted(torch.nn.ReLU()), saved_model, b"", b"\x08", b"GGUF", bytes(10)):
        assert not is_onnx(content)


def test_a_model_is_recognized_by_its_graph_wherever_that_is():
    made = linear().SerializeToString()
    assert is_onnx(made)
    assert is_onnx(made[:10]), "even if it is truncated"
    assert is_onnx(made[2:]), "the version need not come first"
    assert not is_onnx(b"\x0a" + made)


def test_what_onnx_runtime_refuses_is_raised_and_not_printed(engine, capfd):
    data = linear().SerializeToString().replace(b"MatMul", b"Mat\xfful")
    with pytest.raises(ModelError, match="the model `net` cannot be loaded on cpu"):
        engine.register("net", data)
    assert capfd.readouterr() == ("", "")


def test_the_bytes_of_no_model_are_refused_by_name(engine):
    with pytest.raises(ModelError, match="the model `net` is truncated or damaged: it is not a valid ONNX model"):
        engine.register("net", b"something", encoding="onnx")
    with pytest.raises(
        ModelError, match="the model `net` has the type `int`; offer the path or the bytes of an ONNX model"
    ):
        engine.register("net", 5, encoding="onnx")


def test_the_files_of_a_model_are_itself_and_its_weights(folder, tmp_path):
    assert files_of(folder) == [folder / "model.onnx", folder / "weights.bin"]
    single = tmp_path / "neg.onnx"
    single.write_bytes(unary("Neg"))
    assert files_of(single) == [single]


def test_a_device_that_onnx_runtime_lacks_is_refused_by_name(engine):
    with pytest.raises(ValueError, match="ONNX Runtime has no device `cuda:0`; choose cpu, or install onnxruntime-gpu"):
        engine.register("neg", unary("Neg"), "cuda:0")


def test_without_onnx_runtime_the_model_is_refused_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setattr("wasi_nn_torch.onnx._MODULES", ("onnxruntime", "there_is_no_such_module"))
    with Engine("cpu", guest_models="any") as engine:
        engine.register("relu", scripted(torch.nn.ReLU()))
        with pytest.raises(ModelError) as caught:
            engine.register("neg", unary("Neg"), encoding="onnx")
        install = f"{sys.executable} -m pip install 'wasi-nn-torch[onnx]'"
        assert str(caught.value) == (
            "the model `neg` needs the backend for onnx: the package `there_is_no_such_module` is not installed; "
            + install
        )
        with pytest.raises(ModelError, match="is an ONNX model"):
            engine.register("neg", unary("Neg"))
        serving = engine._runtime.serve(Ledger())
        with pytest.raises(NnError, match="no backend for the encoding onnx; supply a model for pytorch"):
            serving.load([memoryview(unary("Neg"))], Encoding.ONNX, None)


def test_neither_onnx_runtime_nor_onnx_is_imported_for_models_of_pytorch():
    code = (
        "import sys, io, torch, wasi_nn_torch as w\n"
        "file = io.BytesIO(); torch.jit.save(torch.jit.script(torch.nn.ReLU()), file)\n"
        "with w.Engine('cpu') as engine: engine.register('relu', file.getvalue())\n"
        "print('onnxruntime' in sys.modules, 'wasi_nn_torch.onnx.backend' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "False False\n"
