"""What the README shows works as it stands there."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tests.wasi_nn_torch.models import Add, scripted

README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """The code in the README, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def test_a_guest_is_embedded_as_shown(tmp_path, probe_file):
    (tmp_path / "model.pt").write_bytes(scripted(Add()))
    (tmp_path / "guest.wasm").symlink_to(probe_file)
    (tmp_path / "photos").mkdir()
    [embedded, _] = blocks("python")
    command = [sys.executable, "-c", embedded.replace('["photos/cat.ppm"]', '["speak", "hello"]')]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("hello\nLedgerSnapshot(")


@pytest.fixture
def counter(tmp_path):
    """The bindings author's files, with the bindings generated."""
    [wit], [_, host] = blocks("wit"), blocks("python")
    (tmp_path / "counter.wit").write_text(wit)
    (tmp_path / "host.py").write_text(host)
    command = [sys.executable, "-m", "witgen", *re.search(r"`witgen (generate counter.wit .*?)`", README)[1].split()]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=60, stdout=subprocess.DEVNULL)
    return tmp_path


def run(folder, *arguments):
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)


def test_bindings_are_implemented_as_shown(counter):
    code = (
        "import wasmtime; from host import define; from wit_host import Linker; from wit_host.state import HostState; "
        "define(Linker(wasmtime.Engine(), HostState()))"
    )
    result = run(counter, "-c", code)
    assert result.returncode == 0, result.stderr


def test_mypy_accepts_what_is_shown_and_says_what_is_missing(counter):
    assert run(counter, "-m", "mypy", "--strict", "host.py").returncode == 0
    shown = (counter / "host.py").read_text()
    (counter / "host.py").write_text(shown.replace("def step(self) -> int", "def stop(self) -> int"))
    result = run(counter, "-m", "mypy", "--strict", "host.py")
    assert result.returncode == 1
    assert '"Counter" is missing following "Counter" protocol member' in result.stdout
    assert "step" in result.stdout
