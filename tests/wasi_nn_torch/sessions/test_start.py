"""The time of imports: programs that do not need PyTorch do not wait for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.wasi_nn_torch.helpers.models import Add, scripted

# Subprocesses see no simulated accelerator.
pytestmark = pytest.mark.cpu

MODULE = '(module (memory (export "memory") 1) (func (export "_start")))'
COMPONENT = """
(component
  (core module $m (func (export "run") (result i32) (i32.const 0)))
  (core instance $i (instantiate $m))
  (func $run (result (result)) (canon lift (core func $i "run")))
  (instance (export "wasi:cli/run@0.2.0") (export "run" (func $run))))
"""
TENSORS = """
(module
  (import "wasi_ephemeral_nn" "compute" (func (param i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "_start")))
"""


def modules_of(code):
    """The modules that a new process has imported after `code`."""
    program = f"{code}\nimport json, sys\njson.dump(sorted(sys.modules), sys.stderr)"
    environment = {**os.environ, "WASI_NN_TORCH_CACHE": ""}
    command = [sys.executable, "-c", program]
    result = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, check=False)
    assert result.returncode == 0, result.stderr
    return set(json.loads(result.stderr))


def after(*arguments):
    """The modules that a new process has imported after a command of the command line."""
    return modules_of(
        "from typer.testing import CliRunner\nfrom wasi_nn_torch.cli import app\n"
        f"result = CliRunner().invoke(app, {[*map(str, arguments)]!r})\n"
        "assert result.exit_code == 0, result.output"
    )


@pytest.fixture
def guest(tmp_path):
    def write(text):
        path = tmp_path / "guest.wat"
        path.write_text(text)
        return path

    return write


@pytest.mark.parametrize("text", [MODULE, COMPONENT], ids=["a core module", "a component"])
def test_a_guest_that_imports_no_wasi_nn_does_not_wait_for_pytorch(guest, text):
    imported = after("run", guest(text))
    assert "wasmtime" in imported
    assert "torch" not in imported


@pytest.mark.parametrize(
    "arguments", [["--help"], ["run", "--help"], ["--version"], ["cache", "info"], ["wit"]], ids=" ".join
)
def test_a_command_that_needs_no_pytorch_does_not_import_it(arguments):
    assert "torch" not in after(*arguments)


def test_a_guest_that_imports_wasi_nn_finds_pytorch_ready(guest):
    assert "torch" in after("run", guest(TENSORS))


def test_a_graph_is_offered_without_more_than_pytorch_imports_itself(guest, tmp_path):
    (tmp_path / "add.pt").write_bytes(scripted(Add()))
    imported = after("run", "--graph", f"add={tmp_path / 'add.pt'}", guest(MODULE))
    assert "torch" in imported
    more = {name.partition(".")[0] for name in imported - modules_of("import torch") - after("--help")}
    assert more.isdisjoint({"sympy", "mpmath", "networkx"})
    assert not {name for name in imported if name.startswith(("torch._inductor", "wasi_nn_torch.pytorch.inspecting"))}


def test_a_device_that_is_given_is_checked_at_once():
    code = "from wasi_nn_torch import Engine\ntry: Engine('none')\nexcept ValueError: pass\nelse: raise SystemExit(1)"
    assert "torch" in modules_of(code)


def test_an_engine_imports_pytorch_when_its_device_is_asked_for():
    assert "torch" not in modules_of("from wasi_nn_torch import Engine\nengine = Engine()")
    assert "torch" in modules_of("from wasi_nn_torch import Engine\nassert Engine().device")


def test_threads_that_need_a_backend_at_once_get_the_same_one():
    from wasi_nn_torch.contract.backend import BackendOptions
    from wasi_nn_torch.serving.backends import Backends

    backends = Backends(BackendOptions("cpu"))
    with ThreadPoolExecutor(8) as pool:
        made = set(pool.map(lambda _: id(backends.default), range(64)))
    assert len(made) == 1
