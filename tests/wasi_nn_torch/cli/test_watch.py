"""`wasi-nn-torch run --watch`: build a guest and run it, again after every change."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

from wasi_nn_torch.cli import app
from wasi_nn_torch.cli.rebuilding import is_source

# Processes of their own see no simulated accelerator.
pytestmark = pytest.mark.cpu

#: A core module that prints a line.
SOURCE = r"""
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\10\00\00\00\04\00\00\00")
  (data (i32.const 16) "TEXT\n")
  (func (export "_start") (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))
"""
BUILD = "cp guest.wat build/guest.wat"
WAITING = "--- waiting for changes; Ctrl-C ends\n"


def source(text):
    return SOURCE.replace("TEXT", text).replace(r"\04\00\00\00", f"\\{len(text) + 1:02x}\\00\\00\\00")


class Watched:
    """A process that watches; its output and messages, line by line."""

    def __init__(self, process):
        self._process = process

    def lines_until(self, last):
        """The next lines, before the one that is `last`."""
        lines = []
        for line in self._process.stdout:
            if line == last:
                return lines
            lines.append(line)
        pytest.fail(f"it ended without {last!r}: {lines}")

    def interrupted(self):
        """The exit status after Ctrl-C."""
        self._process.send_signal(signal.SIGINT)
        return self._process.wait(60)


@pytest.fixture
def project(tmp_path):
    """The directory with the source of the guest."""
    (tmp_path / "project" / "build").mkdir(parents=True)
    (tmp_path / "project" / "guest.wat").write_text(source("one"))
    return tmp_path / "project"


@pytest.fixture
def change(project, tmp_path):
    """Change the source of the guest at once, which is one event."""

    def change(text):
        (tmp_path / "new").write_text(text)
        (tmp_path / "new").replace(project / "guest.wat")

    return change


@pytest.fixture
def watched(project):
    @contextmanager
    def start(command=BUILD):
        arguments = ["run", "--watch", command, "build/guest.wat"]
        process = subprocess.Popen(
            [sys.executable, "-m", "wasi_nn_torch", *arguments],
            cwd=project,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        timer = threading.Timer(120, process.kill)
        timer.start()
        try:
            yield Watched(process)
        finally:
            timer.cancel()
            process.kill()
            process.communicate()

    return start


def test_a_guest_is_built_and_run_again_after_each_change(watched, change):
    with watched() as guest:
        assert guest.lines_until(WAITING) == [f"--- {BUILD}\n", "one\n"]
        for text in ("two", "three"):
            change(source(text))
            assert guest.lines_until(WAITING) == ["--- changed: guest.wat\n", f"--- {BUILD}\n", f"{text}\n"]
        assert guest.interrupted() == 130


def test_after_a_failure_it_goes_on(watched, change, project):
    build = f"test -e broken && exit 3; {BUILD}"
    (project / "broken").write_text("")
    (project / "guest.wat").write_text("(module")
    with watched(build) as guest:
        assert guest.lines_until(WAITING) == [f"--- {build}\n", f"--- `{build}` ended with status 3\n"]
        (project / "broken").unlink()
        assert "error: guest.wat is not valid WebAssembly text: " in guest.lines_until(WAITING)[2]
        change(source("two"))
        assert guest.lines_until(WAITING)[2:] == ["two\n"]


def test_a_change_during_a_build_is_not_missed(watched, project):
    (project / "build" / "next.wat").write_text(source("two"))
    build = f"{BUILD}; test -e build/next.wat && mv build/next.wat guest.wat; true"
    with watched(build) as guest:
        assert guest.lines_until(WAITING)[-1] == "one\n"
        assert guest.lines_until(WAITING)[-1] == "two\n"


def test_temporary_files_of_a_build_are_no_changes(watched, change):
    build = f"touch temporary; sleep 0.1; rm temporary; {BUILD}"
    with watched(build) as guest:
        guest.lines_until(WAITING)
        change(source("two"))
        assert guest.lines_until(WAITING)[0] == "--- changed: guest.wat\n"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("src/main.rs", True),
        ("Makefile", True),
        ("model.pt2", True),
        ("guest.wasm", False),
        ("target/debug/main.rs", False),
        ("node_modules/x/index.js", False),
        (".venv/lib/x.py", False),
        (".main.c.swp", False),
        ("main.c~", False),
    ],
)
def test_what_counts_as_a_change(path, expected):
    root = Path(os.sep, "home", "build", ".hidden")  # the names of directories above do not matter
    assert is_source(root, root / path) is expected


def test_it_says_which_package_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "watchfiles", None)
    result = CliRunner().invoke(app, ["run", "--watch", "true", "guest.wasm"])
    assert result.exit_code == 2
    assert result.stderr == "error: watchfiles is missing; run `pip install 'wasi-nn-torch[watch]'`\n"
