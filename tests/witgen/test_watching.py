"""`witgen generate --watch`: bindings follow their WIT."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from queue import Queue
from threading import Thread

import pytest

from witgen.watching import snapshot, watch

WIT = "package a:b; interface i { f: func(); } world w { import i; }"


class Over(Exception):
    """The end of a test."""


def watched(paths, *changes):
    """How often something runs while `changes` are made, one at each look."""
    left, runs = list(changes), []

    def wait(seconds):
        assert seconds > 0
        if not left:
            raise Over
        left.pop(0)()

    with pytest.raises(Over):
        watch(lambda: paths, lambda: runs.append(None), wait)
    return len(runs)


def nothing():
    pass


def test_it_runs_once_and_then_after_each_change(tmp_path):
    file = tmp_path / "a.wit"
    file.write_text("1")
    assert watched([file], nothing, nothing) == 1
    assert watched([file], lambda: file.write_text("22"), nothing, nothing, nothing) == 2


def test_a_file_that_is_being_written_is_waited_for(tmp_path):
    file = tmp_path / "a.wasm"
    file.write_bytes(b"1")
    writing = [lambda size=size: file.write_bytes(b"1" * size) for size in range(2, 6)]
    assert watched([file], *writing, nothing, nothing) == 2


def test_files_that_are_new_or_removed_or_replaced_are_changes(tmp_path):
    (tmp_path / "deps/x").mkdir(parents=True)
    for name in ("a.wit", "deps/b.wit", "deps/x/c.wit", "deps/d.wasm"):
        assert watched([tmp_path], lambda name=name: (tmp_path / name).write_text("x"), nothing, nothing) == 2
        assert watched([tmp_path], (tmp_path / name).unlink, nothing, nothing) == 2
    single, other = tmp_path / "one.wit", tmp_path / "other.wit"
    single.write_text("1")

    def replace():
        other.write_text("1")
        os.replace(other, single)

    assert watched([single], replace, nothing, nothing) == 2


def test_other_files_are_not_looked_at(tmp_path):
    assert watched([tmp_path], lambda: (tmp_path / "bindings.py").write_text("x"), nothing, nothing) == 1


def test_a_change_during_a_run_is_not_missed(tmp_path):
    file, runs = tmp_path / "a.wit", []

    def run():
        runs.append(None)
        if len(runs) == 1:
            file.write_text("new")

    def wait(_):
        if len(runs) == 2:
            raise Over

    with pytest.raises(Over):
        watch(lambda: [file], run, wait)


def test_a_path_that_does_not_exist_has_no_state(tmp_path):
    assert snapshot([tmp_path / "missing"]) == {}


# --- the command ---


@pytest.fixture
def command(tmp_path):
    """Starts `witgen generate --watch`; each line that it prints is in the queue."""
    started = []

    def start(*arguments):
        program = [sys.executable, "-u", "-m", "witgen", "generate", "--watch", *arguments]
        process = subprocess.Popen(
            program, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1
        )
        started.append(process)
        lines: Queue[str] = Queue()
        Thread(target=lambda: [lines.put(line) for line in process.stdout], daemon=True).start()
        return process, lambda: lines.get(timeout=60)

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_bindings_follow_the_wit_and_mistakes_are_survived(tmp_path, command):
    wit = tmp_path / "a.wit"
    wit.write_text(WIT)
    process, line = command("a.wit", "--out", "bindings")
    assert line() == "bindings: 3 files written\n"
    wit.write_text(WIT.replace("f: func()", "f: func(c: colour)"))
    assert line().startswith("a.wit:1:39: error: type `colour` is not defined")
    wit.write_text(WIT.replace("f: func()", "g: func()"))
    while (printed := line()).startswith(" "):
        pass
    assert printed == "bindings: 1 file written\n"
    assert "def g(self)" in (tmp_path / "bindings/i.py").read_text()
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 0


def test_what_pyproject_lists_is_watched_as_well_as_itself(tmp_path, command):
    (tmp_path / "a.wit").write_text(WIT)
    project = tmp_path / "pyproject.toml"
    project.write_text('[[tool.witgen.packages]]\nwit = "a.wit"\nout = "one"\n')
    _, line = command()
    assert line() == "one: 3 files written\n"
    project.write_text('[[tool.witgen.packages]]\nwit = "a.wit"\nout = "two"\n')
    assert line() == "two: 3 files written\n"
    project.write_text("[[tool.witgen.packages")
    assert "cannot be read" in line()


def test_options_that_cannot_be_used_are_not_watched(tmp_path, command):
    process, line = command("a.wit")
    assert "give both the WIT and --out" in line()
    assert process.wait(timeout=60) == 2
    assert not Path(tmp_path / "bindings").exists()
