"""`wasi-nn-torch doctor`: its findings on this machine, and on machines with something missing or broken."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import version

import pytest

from tests import warm
from wasi_nn_torch.contract.findings import Finding, Health
from wasi_nn_torch.doctor.requirements import Requirement
from wasi_nn_torch.pytorch.diagnosing import diagnose

cpu = pytest.mark.cpu  # processes of their own see no simulated accelerator


@pytest.fixture
def doctor(tmp_path):
    """Run it in a process of its own, with a cache of its own; modules in `modules` come first."""

    def run(*options, **variables):
        environment = {
            **os.environ,
            "WASI_NN_TORCH_CACHE": str(tmp_path / "cache"),
            "PYTHONPATH": str(tmp_path / "modules"),
            "NO_COLOR": "1",
            **variables,
        }
        python = [sys.executable] if (tmp_path / "modules" / "torch").exists() else warm.python()
        command = [*python, "-m", "wasi_nn_torch", "doctor", *options]
        return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, check=False)

    return run


@pytest.fixture
def findings(doctor):
    """Run it, and return its status and its findings by name."""

    def of(**variables):
        result = doctor("--json", **variables)
        assert result.stderr == ""
        answer = json.loads(result.stdout)
        assert answer["can_run"] == (result.returncode == 0)
        return result.returncode, {finding["name"]: finding for finding in answer["findings"]}

    return of


@pytest.fixture
def module(tmp_path):
    """Put a file into the directory that Python searches first."""

    def write(path, content):
        file = tmp_path / "modules" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)

    return write


# --- a machine without problems ---


@cpu
def test_it_names_what_guests_need_and_runs_one(findings):
    status, found = findings()
    assert status == 0
    assert found["wasmtime"] == {
        "name": "wasmtime",
        "health": "ok",
        "text": version("wasmtime"),
        "remedy": None,
    }
    assert found["wasi-nn-torch"]["text"] == version("wasi-nn-torch")
    assert found["backend for pytorch"]["text"] == "wasi_nn_torch.pytorch:PyTorch of wasi-nn-torch"
    assert found["PyTorch"]["text"].startswith(version("torch"))
    assert "cores" in found["device cpu"]["text"]
    assert found["a guest"]["text"].endswith("made a tensor and read it back")
    assert found["byte transport"]["text"].partition(" ")[0] in ("pointer", "latin-1")
    assert not [each for each in found.values() if each["health"] == "broken"]


@cpu
def test_it_prints_a_line_for_each_finding(doctor, tmp_path):
    result = doctor()
    assert (result.returncode, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert f"ok      wasmtime: {version('wasmtime')}" in lines
    assert any(line.startswith(f"ok      compiled guests: 0 in {tmp_path / 'cache'}, 0 B of at most") for line in lines)
    assert not (tmp_path / "cache").exists(), "looking makes nothing"


def test_every_device_is_named_with_its_memory(accelerator):
    import torch

    found = {finding.name: finding for finding in diagnose()}
    for index in range(torch.accelerator.device_count()):
        finding = found[f"device {accelerator.type}:{index}"]
        assert finding.health is Health.OK
        assert finding.text.endswith(" free")
    assert "accelerator" not in found, "there is one"


@cpu
def test_a_machine_without_an_accelerator_is_reported_as_such():
    [finding] = [finding for finding in diagnose() if finding.name == "accelerator"]
    assert "graphs run on the CPU" in finding.text
    assert finding.health is not Health.BROKEN


# --- missing: guests can run without it ---


@cpu
def test_a_cache_that_cannot_be_made_is_missing(findings, tmp_path):
    (tmp_path / "file").write_text("")
    status, found = findings(WASI_NN_TORCH_CACHE=str(tmp_path / "file" / "cache"))
    assert status == 0
    assert found["compiled guests"]["health"] == "missing"
    assert found["compiled guests"]["text"].endswith(f"because {tmp_path / 'file'} is not a directory")
    assert found["compiled guests"]["remedy"] == "export WASI_NN_TORCH_CACHE=/path/to/a/directory"


@cpu
@pytest.mark.skipif(os.name != "posix", reason="only POSIX has modes of files")
def test_a_cache_that_others_can_write_to_is_missing(findings, tmp_path):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache").chmod(0o777)
    status, found = findings()
    assert status == 0
    assert found["compiled guests"]["text"].endswith("because other users can write to it")


@cpu
def test_a_compiler_that_is_not_there_is_missing(doctor, tmp_path):
    (tmp_path / "bin").mkdir()
    result = doctor(PATH=str(tmp_path / "bin"), CXX="")
    assert result.returncode == 0
    lines = result.stdout.splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("missing C++ compiler: not found"))
    assert lines[at + 1].startswith("        → ")


@cpu
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits address space like that")
def test_too_little_address_space_is_told_with_the_command_that_fixes_it(tmp_path):
    """Enough for PyTorch, but not for the memory of a guest."""
    command = [sys.executable, "-m", "wasi_nn_torch", "doctor"]
    environment = {**os.environ, "WASI_NN_TORCH_CACHE": str(tmp_path), "OMP_NUM_THREADS": "1", "NO_COLOR": "1"}
    limited = ["sh", "-c", 'ulimit -v 4000000; exec "$@"', "sh", *command]
    result = subprocess.run(limited, capture_output=True, text=True, env=environment, timeout=120, check=False)
    lines = result.stdout.splitlines()
    assert result.returncode == 1
    [at] = [number for number, line in enumerate(lines) if line.startswith("broken  a guest: does not run: ")]
    assert "emory" in lines[at] or "failed to map segment" in lines[at]  # by Wasmtime, or by the libraries of CUDA
    assert lines[at + 1] == "        → ulimit -v unlimited"


@cpu
def test_the_extra_for_generating_bindings_is_suggested_if_it_is_missing(findings, module):
    module("ruff-0.1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: ruff\nVersion: 0.1.0\n")
    status, found = findings()
    assert status == 0
    assert found["witgen"]["text"] == "cannot generate bindings without ruff>=0.9"
    assert found["witgen"]["remedy"] == f"{sys.executable} -m pip install 'wit-host[codegen]'"


# --- broken: guests cannot run without it ---


@cpu
def test_a_runtime_of_another_version_is_told_with_the_command_that_fixes_it(findings, module):
    module("wit_host-99.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: wit-host\nVersion: 99.0\n")
    status, found = findings()
    assert status == 1
    own = version("wasi-nn-torch")
    assert found["wit-host"]["text"] == f"99.0 is installed, but wit-host=={own} is required"
    assert found["wit-host"]["remedy"] == f"{sys.executable} -m pip install 'wit-host=={own}'"


@cpu
def test_a_pytorch_that_cannot_be_imported_is_told_with_the_command_that_fixes_it(findings, module):
    module("torch/__init__.py", "raise ImportError('libtorch_cpu.so: cannot open shared object file')")
    status, found = findings()
    assert status == 1
    backend = found["backend for pytorch"]
    assert backend["health"] == "broken"
    assert "ImportError: libtorch_cpu.so: cannot open shared object file" in backend["text"]
    assert backend["remedy"] == f"{sys.executable} -m pip install --force-reinstall 'torch>=2.9'"
    assert found["a guest"]["health"] == "broken"
    assert found["compiled guests"]["health"] == "ok", "it goes on"


@cpu
def test_a_wasmtime_of_another_version_is_told_with_the_command_that_fixes_it(findings, module):
    module("wasmtime-49.0.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: wasmtime\nVersion: 49.0.0\n")
    status, found = findings()
    assert status == 1
    assert found["wasmtime"] == {
        "name": "wasmtime",
        "health": "broken",
        "text": "49.0.0 is installed, but wasmtime==50.0.* is required",
        "remedy": f"{sys.executable} -m pip install 'wasmtime==50.0.*'",
    }


@cpu
def test_a_wasmtime_that_cannot_be_imported_is_told(findings, module):
    module("wasmtime/__init__.py", "raise OSError('no binary for this platform')")
    status, found = findings()
    assert status == 1
    assert found["the boundary"]["text"] == "Wasmtime cannot be used: OSError: no binary for this platform"
    assert found["the boundary"]["remedy"] == f"{sys.executable} -m pip install --force-reinstall 'wasmtime==50.0.*'"
    assert "a guest" not in found, "it was not tried"


@cpu
def test_a_third_party_backend_that_fails_is_told(findings, module):
    module("broken_backend.py", "def make(options):\n    raise RuntimeError('no licence\\nfor this machine')\n")
    module("acme-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
    module("acme-1.0.dist-info/entry_points.txt", "[wasi_nn_torch.backends]\nopenvino = broken_backend:make\n")
    status, found = findings()
    assert status == 1
    assert (
        found["backend for openvino"]["text"]
        == "broken_backend:make cannot be used: RuntimeError: no licence for this machine"
    )
    assert found["backend for openvino"]["remedy"] == f"{sys.executable} -m pip install --force-reinstall 'acme'"
    assert found["backend for pytorch"]["health"] == "ok"


# --- requirements ---


@pytest.mark.parametrize(
    ("text", "is_met"),
    [
        ("typer", True),
        ("typer>=0.1", True),
        ("typer>=999", False),
        ("typer==999.*", False),
        ("surely-not-installed-anywhere>=1", False),
    ],
)
def test_a_requirement_is_met_by_what_is_installed(text, is_met):
    requirement = Requirement(text)
    assert requirement.is_met == is_met
    assert requirement.examine(Health.BROKEN).health is (Health.OK if is_met else Health.BROKEN)


@pytest.mark.parametrize(
    ("installed", "text", "is_met"),
    [
        ("50.0.1", "it==50.0.*", True),
        ("50.1.0", "it==50.0.*", False),
        ("500.0", "it==50.0.*", False),
        ("2.13.0+cpu", "it>=2.9", True),
        ("2.8.1", "it>=2.9", False),
        ("2.10.0.dev20260101", "it>=2.9", True),
    ],
)
def test_versions_are_compared_as_numbers(installed, text, is_met, monkeypatch):
    monkeypatch.setattr("wasi_nn_torch.doctor.requirements.metadata.version", lambda name: installed)
    assert Requirement(text).is_met == is_met


def test_a_requirement_that_is_not_installed_is_reported_as_such():
    finding = Requirement("surely-not-installed-anywhere>=1").examine(Health.MISSING)
    assert finding == Finding(
        "surely-not-installed-anywhere",
        "not installed, but surely-not-installed-anywhere>=1 is required",
        Health.MISSING,
        f"{sys.executable} -m pip install 'surely-not-installed-anywhere>=1'",
    )


# --- the program itself ---


def test_its_help_loads_neither_torch_nor_wasmtime():
    code = (
        "import sys; from typer.testing import CliRunner; from wasi_nn_torch.cli import app; "
        "assert CliRunner().invoke(app, ['doctor', '--help']).exit_code == 0; "
        "raise SystemExit('torch' in sys.modules or 'wasmtime' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@cpu
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere guests are compiled in the process of the host")
def test_the_limits_of_compiling_are_told(findings):
    _, found = findings()
    assert found["compiling"]["health"] == "ok"
    assert found["compiling"]["text"] == "in a process of its own, in at most 120 s and 2.1 GB by default"
