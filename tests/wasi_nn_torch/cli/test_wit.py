"""`wasi-nn-torch wit`: the WIT files to build guests with."""

from __future__ import annotations

import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.conftest import ROOT
from wasi_nn_torch.cli import app

# Nothing of it depends on the device.
pytestmark = pytest.mark.cpu

VERSIONS = ["2024-06-25", "2024-08-19", "2024-10-28"]


def wit(*arguments):
    return CliRunner().invoke(app, ["wit", *map(str, arguments)])


def files(directory):
    return {str(path.relative_to(directory)): path.read_text() for path in directory.rglob("*") if path.is_file()}


def test_it_says_where_each_version_is():
    lines = wit().stdout.splitlines()
    found = [re.fullmatch(r"wasi:nn@0\.2\.0-rc-(\S+): (.+)", line) for line in lines]
    assert [match[1] for match in found] == VERSIONS
    assert all(Path(match[2]).read_text().startswith("/// wasi-nn") for match in found)


def test_it_writes_a_directory_with_every_version(tmp_path):
    result = wit("--out", tmp_path / "wit")
    assert result.exit_code == 0
    assert files(tmp_path / "wit").keys() == {
        "world.wit",
        "deps/wasi-cli/cli.wit",
        *(f"deps/wasi-nn-{version}/nn.wit" for version in VERSIONS),
    }
    for version in VERSIONS:
        written = tmp_path / "wit" / "deps" / f"wasi-nn-{version}" / "nn.wit"
        assert written.read_text() == (ROOT / "wit" / version / "nn.wit").read_text()
    assert f"componentize-py --wit-path {tmp_path / 'wit'} --world guest" in result.stdout


@pytest.mark.parametrize("version", ["2024-08-19", "0.2.0-rc-2024-08-19"])
def test_it_writes_one_version_and_a_world_that_uses_it(tmp_path, version):
    assert wit("--out", tmp_path, "--version", version).exit_code == 0
    written = files(tmp_path)
    assert written.keys() == {"world.wit", "deps/wasi-cli/cli.wit", "deps/wasi-nn-2024-08-19/nn.wit"}
    assert "include wasi:nn/ml@0.2.0-rc-2024-08-19;" in written["world.wit"]


@pytest.mark.parametrize("version", [[], *(["--version", version] for version in VERSIONS)], ids=" ".join)
def test_a_guest_can_be_built_with_the_written_files(tmp_path, version):
    assert wit("--out", tmp_path / "wit", *version).exit_code == 0
    componentize = Path(sysconfig.get_path("scripts"), "componentize-py")
    command = [componentize, "--wit-path", tmp_path / "wit", "--world", "guest", "bindings", tmp_path / "bindings"]
    subprocess.run(command, check=True, timeout=60)
    assert (tmp_path / "bindings" / "wit_world" / "imports" / "tensor.py").exists()
    command = [sys.executable, "-m", "witgen", "generate", tmp_path / "wit", "--world", "guest"]
    subprocess.run([*command, "--out", tmp_path / "host"], check=True, timeout=60)


def test_to_write_it_again_changes_nothing(tmp_path):
    wit("--out", tmp_path)
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert wit("--out", tmp_path).exit_code == 0
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == times


def test_a_file_that_differs_is_overwritten_only_if_asked_for_and_nothing_is_written_before(tmp_path):
    (tmp_path / "deps" / "wasi-nn-2024-10-28").mkdir(parents=True)
    mine = tmp_path / "deps" / "wasi-nn-2024-10-28" / "nn.wit"
    mine.write_text("mine")
    result = wit("--out", tmp_path)
    assert result.exit_code == 2
    assert result.stderr == f"error: different files exist: {mine}; use --force, or another directory\n"
    assert files(tmp_path) == {"deps/wasi-nn-2024-10-28/nn.wit": "mine"}
    assert wit("--out", tmp_path, "--force").exit_code == 0
    assert mine.read_text() != "mine"


@pytest.mark.parametrize("force", [[], ["--force"]], ids=["without force", "with force"])
def test_an_existing_world_is_kept(tmp_path, force):
    (tmp_path / "world.wit").write_text("mine")
    result = wit("--out", tmp_path, *force)
    assert result.exit_code == 0
    assert f"kept    {tmp_path / 'world.wit'}, which has been changed" in result.stdout
    assert files(tmp_path)["world.wit"] == "mine"


def test_a_version_that_does_not_exist():
    result = wit("--version", "2099-01-01")
    assert result.exit_code == 2
    assert result.stderr == f"error: unknown version `2099-01-01`; expected {' or '.join(VERSIONS)}\n"


def test_a_directory_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    result = wit("--out", tmp_path / "file" / "wit")
    assert result.exit_code == 2
    assert result.stderr.startswith(f"error: {tmp_path / 'file' / 'wit'} cannot be written to (")
    assert len(result.stderr.splitlines()) == 1
