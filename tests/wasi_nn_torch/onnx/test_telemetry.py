"""What ONNX Runtime tells its maker about models: nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.wasi_nn_torch.onnx.models import add

pytestmark = pytest.mark.cpu

#: Where ONNX Runtime says nothing anyway.
SILENT = {"CI", "ORT_DISABLE_TELEMETRY", "ORT_RUNNING_UNIT_TESTS"}
HOST = """
import sys
from wasi_nn_torch import Engine
with Engine("cpu", cache=False) as engine:
    engine.register("net", sys.argv[1])
"""


@pytest.fixture
def left_in_home(tmp_path):
    """The files that a program leaves in the home directory after it has loaded a model."""
    model = tmp_path / "net.onnx"
    model.write_bytes(add())
    home = tmp_path / "home"
    home.mkdir()
    kept = {name: text for name, text in os.environ.items() if name not in SILENT and not name.startswith("XDG_")}

    def run(code: str, **variables: str) -> list[str]:
        environment = {**kept, "HOME": str(home), **variables}
        subprocess.run([sys.executable, "-c", code, str(model)], env=environment, check=True)
        return [path.name for path in Path(home).rglob("*") if path.is_file()]

    return run


def test_the_host_has_onnx_runtime_report_no_models(left_in_home):
    assert left_in_home(HOST) == []


def test_whoever_wants_it_to_report_them_can_say_so(left_in_home):
    """Its file shows that; without it, the test above would show nothing. What it sends does not arrive."""
    assert "deviceid" in left_in_home(HOST, ORT_DISABLE_TELEMETRY="0", https_proxy="http://127.0.0.1:9")
