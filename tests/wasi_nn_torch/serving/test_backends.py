"""Engines other than PyTorch, which are found through an entry point."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import torch
from typer.testing import CliRunner

from tests import warm
from tests.conftest import ROOT
from tests.wasi_nn_torch.helpers.doubling import MODEL, PLACE, Doubling
from tests.wasi_nn_torch.helpers.guest_models import scripted
from wasi_nn_torch import Engine, ModelError
from wasi_nn_torch.cli import app
from wasi_nn_torch.contract.errors import ErrorCode, NnError
from wasi_nn_torch.contract.findings import Health
from wasi_nn_torch.contract.ledger import Ledger
from wasi_nn_torch.contract.vocabulary import ElementType, Encoding, ExecutionTarget
from wasi_nn_torch.doctor.checks import examine

pytestmark = pytest.mark.cpu

DOUBLING = "tests.wasi_nn_torch.helpers.doubling:Doubling"


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Install a package that provides a backend."""

    def add(package="doubling", encoding="openvino", backend=DOUBLING):
        directory = tmp_path / f"{package}-1.0.dist-info"
        directory.mkdir()
        (directory / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (directory / "entry_points.txt").write_text(f"[wasi_nn_torch.backends]\n{encoding} = {backend}\n")

    monkeypatch.syspath_prepend(str(tmp_path))
    return add


@pytest.fixture
def engine(install):
    install()
    with Engine("cpu", guest_models="checked") as engine:
        yield engine


def doubled(serving, graph, **inputs):
    tensors = [
        (name, serving.tensor([len(data) // 4], ElementType.FP32, memoryview(data))) for name, data in inputs.items()
    ]
    return serving.context(graph).compute(tensors)


def floats(tensor):
    source = tensor.data()
    content = bytearray(source.nbytes)
    source.write_into(memoryview(content))
    return memoryview(content).cast("f").tolist()


def packed(*numbers):
    return bytes(torch.tensor(numbers).view(torch.uint8).tolist())


@pytest.mark.parametrize("encoding", [Encoding.OPENVINO, Encoding.AUTODETECT])
def test_a_guests_model_goes_to_the_backend_of_its_encoding(engine, encoding):
    ledger = Ledger()
    serving = engine._runtime.serve(ledger)
    graph = serving.load([memoryview(MODEL)], encoding, ExecutionTarget.CPU)
    [(name, output)] = doubled(serving, graph, x=packed(1.5, -2))
    assert (name, floats(output), output.dimensions) == ("twice x", [3, -4], (2,))
    assert (ledger.snapshot().places[PLACE].bytes, ledger.snapshot().live_tensors) == (8, 1)
    output.drop()
    assert ledger.snapshot().live_bytes == 0


def test_an_output_of_one_engine_is_an_input_of_another(engine):
    engine.register("double", MODEL)
    engine.register("relu", scripted(torch.nn.ReLU()))
    ledger = Ledger()
    serving = engine._runtime.serve(ledger)
    [(_, twice)] = doubled(serving, serving.load_by_name("double"), x=packed(1.5, -2))
    [(_, positive)] = serving.context(serving.load_by_name("relu")).compute([("input", twice)])
    assert floats(positive) == [3, 0]
    [(_, again)] = serving.context(serving.load_by_name("double")).compute([("x", positive)])
    assert floats(again) == [6, 0]
    assert again.origin.read_in_place == 2, "by DLPack, without a copy through the host"
    again.drop()
    assert ledger.snapshot().live_bytes == 0


def test_an_error_of_another_backend_reaches_the_guest(engine):
    serving = engine._runtime.serve(Ledger())
    tensor = serving.tensor([2], ElementType.U8, memoryview(b"ab"))
    with pytest.raises(NnError, match="invalid-argument: tensor `x` is U8"):
        serving.context(serving.load([memoryview(MODEL)], Encoding.OPENVINO, ExecutionTarget.CPU)).compute(
            [("x", tensor)]
        )


def test_the_operator_can_choose_the_encoding_of_a_model(engine):
    with pytest.raises(ModelError, match="the model `net` doubles nothing"):
        engine.register("net", b"something", encoding="openvino")
    with pytest.raises(
        ModelError, match="ggml, for which no backend is installed; expected one of `pytorch`, `onnx`, `openvino`"
    ):
        engine.register("net", b"something", encoding="ggml")
    with pytest.raises(ModelError, match="`net` is not a PyTorch model"):
        engine.register("net", b"something")
    with pytest.raises(ValueError, match="there is no cpu for doubling"):
        engine.register("net", MODEL, "cpu")


def test_a_guest_learns_which_encodings_are_served(engine):
    with pytest.raises(NnError) as caught:
        engine._runtime.serve(Ledger()).load([memoryview(b"x")], Encoding.GGML, ExecutionTarget.CPU)
    assert caught.value.code is ErrorCode.INVALID_ENCODING
    assert (
        caught.value.text
        == "this host has no backend for the encoding ggml; supply a model for pytorch or onnx or openvino"
    )


def test_a_component_computes_on_another_engine(engine, probe_file, tmp_path):
    file = tmp_path / "guest" / "model.xml"
    file.parent.mkdir()
    file.write_bytes(MODEL)
    lines = []
    inputs = json.dumps([["x", [2], "FP32", packed(1.0, 2).hex()]])
    arguments = ["from_bytes", "models/model.xml", "OPENVINO", "CPU", inputs]
    with engine.session(args=arguments, dirs={str(file.parent): "models"}, stdout=lines.append) as session:
        assert session.run(probe_file) == 0
        assert session.stats.memory.live_bytes == 0
    assert json.loads(b"".join(lines)) == [["twice x", [2], "FP32", packed(2.0, 4).hex()]]


def test_the_command_line_knows_another_engine(install, tmp_path):
    install()
    model = tmp_path / "model.xml"
    model.write_bytes(MODEL)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}

    def run(*arguments):
        command = [*warm.python(), "-m", "wasi_nn_torch", *arguments]
        result = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=120)
        return result.stdout

    assert "a doubler" in run("inspect", str(model))
    assert "it doubles" in run("doctor")


def test_a_backend_need_not_describe_models(install, tmp_path):
    install(backend="tests.wasi_nn_torch.helpers.doubling:Plain")
    model = tmp_path / "model.xml"
    model.write_bytes(MODEL)
    with Engine("cpu", release="driver") as engine:
        engine.register("double", model)
        [(_, output)] = doubled(engine._runtime.serve(Ledger()), engine._registry.graph("double"), x=packed(1.0))
        assert floats(output) == [2]
    result = CliRunner().invoke(app, ["inspect", str(model)])
    assert (result.exit_code, result.stderr) == (2, "error: the backend for openvino cannot describe models\n")
    findings = {finding.name: finding.health for finding in examine()}
    assert findings["backend for openvino"] is Health.OK


def test_a_model_is_recognized_once_when_it_is_registered(engine, monkeypatch):
    asked = []
    monkeypatch.setattr(Doubling, "recognize", lambda _, model: asked.append(model) or "a doubler")
    engine.register("double", MODEL)
    assert asked == [MODEL]


def test_two_backends_for_one_encoding_are_refused_by_name(install):
    install("one")
    install("other")
    with pytest.raises(
        ValueError, match="one and other both provide a backend for the encoding openvino; uninstall one"
    ):
        Engine("cpu")


def test_an_unknown_encoding_is_refused(install):
    install(encoding="onyx")
    with pytest.raises(
        ValueError, match="the package doubling provides a backend for the unknown encoding onyx; expected one of"
    ):
        Engine("cpu")


def test_a_backend_is_imported_when_it_is_needed(install):
    install(backend="there_is_no_such_module:Backend")
    with Engine("cpu") as engine:
        engine.register("relu", scripted(torch.nn.ReLU()))
        with pytest.raises(ModuleNotFoundError):
            engine.register("net", b"something", encoding="openvino")


def test_only_the_backend_of_pytorch_imports_torch():
    modules = "cli cli.stats_table contract doctor.checks engine hosts serving.serving sessions.session"
    code = (
        f"import sys, {', '.join(f'wasi_nn_torch.{name}' for name in modules.split())}; print('torch' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "False\n"
