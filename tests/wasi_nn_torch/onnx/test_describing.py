"""What `inspect` and `doctor` tell about ONNX models and ONNX Runtime."""

from __future__ import annotations

import json
import sys

import onnx
import onnxruntime
import pytest
from typer.testing import CliRunner

from tests.wasi_nn_torch.onnx.models import linear, split
from wasi_nn_torch.cli import app
from wasi_nn_torch.contract.backend import BackendOptions
from wasi_nn_torch.contract.findings import Health
from wasi_nn_torch.doctor.checks import examine
from wasi_nn_torch.onnx import make_backend

pytestmark = pytest.mark.cpu


def inspect(*arguments):
    result = CliRunner().invoke(app, ["inspect", *map(str, arguments)])
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "linear.onnx"
    path.write_bytes(linear().SerializeToString())
    return path


def test_inspect_shows_inputs_outputs_sizes_and_weights(file):
    status, shown, _ = inspect(file, "--json")
    facts = json.loads(shown)
    assert (status, facts["encoding"], facts["format"], facts["file_bytes"]) == (0, "onnx", "ONNX", file.stat().st_size)
    contents = facts["contents"]
    [given] = contents["inputs"]
    assert (given["name"], given["kind"], given["dtype"], given["shape"]) == ("x", "tensor", "FP32", ["n", 4])
    assert contents["sizes"] == {"n": [None, None]}
    assert contents["parameters"] == 16
    assert contents["weights"] == [{"dtype": "FP32", "elements": 16, "nbytes": 64}]
    assert facts["refusal"] is None, "a guest may supply it"


def test_inspect_prints_a_table(file):
    status, shown, _ = inspect(file)
    assert status == 0
    for text in ("ONNX", "`x` tensor FP32 [n, 4]", "`n` is not bounded", "16", "none; contexts share everything"):
        assert text in shown


def test_inspect_names_types_that_wasi_nn_lacks_as_onnx_does(tmp_path):
    path = tmp_path / "split.onnx"
    path.write_bytes(split())
    outputs = json.loads(inspect(path, "--json")[1])["contents"]["outputs"]
    assert [(each["name"], each["dtype"], each["shape"]) for each in outputs] == [
        ("twice", "FP32", ["n"]),
        ("sum", "FP32", []),
        ("is positive", "bool", ["n"]),
    ]


def test_inspect_shows_a_folder_and_why_a_guest_may_not_supply_it(tmp_path):
    onnx.save(linear(), tmp_path / "model.onnx", save_as_external_data=True, location="w.bin", size_threshold=0)
    facts = json.loads(inspect(tmp_path, "--json")[1])
    assert facts["file_bytes"] == sum(file.stat().st_size for file in tmp_path.iterdir())
    assert facts["contents"]["weights"] == [{"dtype": "FP32", "elements": 16, "nbytes": 64}]
    assert facts["refusal"] == "this host does not admit the model: the constant `w` is in another file"


def test_inspect_loads_a_model_only_if_it_is_trusted(tmp_path):
    made = linear()
    made.graph.node[0].op_type = "NoSuchOperator"
    path = tmp_path / "unknown.onnx"
    path.write_bytes(made.SerializeToString())
    assert "it uses the operator `NoSuchOperator`: it is not known" in json.loads(inspect(path, "--json")[1])["refusal"]
    status, _, error = inspect(path, "--trust")
    assert (status, "cannot be loaded on cpu" in error) == (2, True)


def test_a_method_is_refused(file):
    status, _, error = inspect(file, "--method", "encode")
    assert (status, "has no method `encode`" in error) == (2, True)


def test_doctor_tells_the_version_the_devices_and_the_threads(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    found = {finding.name: finding for finding in make_backend(BackendOptions()).diagnose()}
    assert found["ONNX Runtime"].text.startswith(f"{onnxruntime.__version__}, with onnx")
    assert found["ONNX devices"].text.startswith("cpu")
    assert found["ONNX threads"].text == "3 for each inference, unless --threads is given"


def test_doctor_says_how_to_install_onnx_runtime(monkeypatch):
    monkeypatch.setattr("wasi_nn_torch.onnx._MODULES", ("there_is_no_such_module",))
    found = {finding.name: finding for finding in examine()}
    finding = found["backend for onnx"]
    assert (finding.health, finding.text) == (
        Health.MISSING,
        "not available: the package `there_is_no_such_module` is not installed",
    )
    assert finding.remedy == f"{sys.executable} -m pip install 'wasi-nn-torch[onnx]'"
