"""What commands print, where standard output has another encoding, or where nobody reads it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

# Processes of their own see no simulated accelerator.
pytestmark = pytest.mark.cpu


def printed(*arguments, encoding="ascii"):
    """What a command prints on a standard output with this encoding."""
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "COLUMNS": "100", "NO_COLOR": "1"}
    command = [sys.executable, "-m", "wasi_nn_torch", *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, env=environment, timeout=120, check=False)
    assert (result.returncode, result.stderr) == (0, b"")
    return result.stdout.decode(encoding)


def unread(*arguments):
    """The status and standard error of the command, if nobody reads its standard output."""
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "wasi_nn_torch", *map(str, arguments)]
    try:
        result = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, timeout=120, check=False)
    finally:
        os.close(write)
    return result.returncode, result.stderr


def written(directory):
    return {path.relative_to(directory) for path in directory.rglob("*") if path.is_file()}


def test_a_character_that_the_encoding_lacks_is_escaped():
    assert "cuda:0, \\u2026;" in " ".join(printed("run", "--help").replace("|", " ").split())


def test_a_path_that_is_not_text_is_escaped(tmp_path):
    directory = os.fsdecode(os.fsencode(tmp_path) + b"/\xff")
    try:
        os.mkdir(directory)
    except OSError:
        pytest.skip("file names are text on this file system")
    lines = printed("wit", "--out", directory, encoding="utf-8").splitlines()
    assert lines[0] == f"wrote   {tmp_path}/\\udcff/world.wit"


@pytest.mark.parametrize("arguments", [["new", "--language", "c"], ["wit", "--out"]], ids=["new", "wit"])
def test_a_directory_is_whole_if_nobody_reads_what_is_printed(tmp_path, arguments):
    assert printed(*arguments, tmp_path / "read")
    assert unread(*arguments, tmp_path / "unread") == (1, b"")
    assert written(tmp_path / "unread") == written(tmp_path / "read")
