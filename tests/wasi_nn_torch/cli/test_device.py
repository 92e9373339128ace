"""The command line on an accelerator: PyTorch itself loads the simulated one, as it does for any maker's."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import torch

from tests import simulated
from tests.conftest import ROOT
from tests.wasi_nn_torch.helpers.models import Add, scripted
from tests.wasi_nn_torch.helpers.playing import hexadecimal


@pytest.fixture
def environment(accelerator, tmp_path):
    """Variables with which a process of its own has the same accelerator as this one."""
    described = tmp_path / "simulated-1.0.dist-info"
    described.mkdir()
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: simulated\nVersion: 1.0\n")
    (described / "entry_points.txt").write_text("[torch.backends]\nsimulated = tests.simulated:load\n")
    added = {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"} if accelerator.type == simulated.NAME else {}
    return {**os.environ, **added, "COLUMNS": "100", "NO_COLOR": "1"}


def test_graphs_run_on_the_accelerator_of_the_machine(environment, accelerator, tmp_path, probe_file):
    (tmp_path / "add.pt").write_bytes(scripted(Add()))
    x = torch.ones(4)
    inputs = json.dumps([["x", [4], "FP32", hexadecimal(x)]])
    command = [sys.executable, "-m", "wasi_nn_torch", "run", "--stats", "--graph", f"add={tmp_path / 'add.pt'}"]
    result = subprocess.run(
        [*command, probe_file, "by_name", "add", inputs],
        capture_output=True, text=True, env=environment, timeout=120, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == [["output", [4], "FP32", hexadecimal(x + 1)]]
    rows = [" ".join(line.split()) for line in result.stderr.splitlines()]
    for row in (
        "copied host → device 1 16 B", "copied device → host 1 16 B",
        f"peak on {accelerator} 1 16 B", f"live on {accelerator} 0 0 B",
    ):  # fmt: skip
        assert row in rows
