"""Limits on the command line: each keeps a real guest from what it must not have, and leaves it the rest."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest
import torch
from typer.testing import CliRunner

from tests.wasi_nn_torch.helpers.models import Add, scripted
from wasi_nn_torch.cli import app

# Limits of a device are tested on each in `test_free_on_drop.py` and its neighbours; here it is how they get there.
pytestmark = pytest.mark.cpu

LINEAR = 100 * 101 * 4
"""The bytes of the weights of `Linear(100, 100)`."""


@pytest.fixture
def cli(capfd):
    """Run `wasi-nn-torch` here, which takes a tenth of the time; a guest's output passes Python by."""

    def run(*arguments):
        result = CliRunner().invoke(app, [*map(str, arguments)])
        guest = capfd.readouterr()
        said = [line for line in result.stderr.splitlines() if not line.startswith("compiling ")]
        return Ended(result.exit_code, guest.out, guest.err.splitlines() + said)

    return run


@dataclass
class Ended:
    status: int
    stdout: str
    stderr: list[str]


@pytest.fixture
def play(cli, probe_file):
    """Let a guest do some steps under some options."""
    return lambda options, *steps: cli("run", "--device", "cpu", *options, probe_file, "play", json.dumps(steps))


@pytest.fixture(scope="module")
def add(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "add.pt"
    path.write_bytes(scripted(Add()))
    return path


@pytest.fixture(scope="module")
def linear(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "linear.pt"
    path.write_bytes(scripted(torch.nn.Linear(100, 100)))
    return path


def answers(result):
    assert result.status == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def assert_stopped(result, status, *texts):
    """The command line ended with `status`, and the last line on standard error holds `texts`."""
    assert result.status == status, result.stderr
    assert result.stderr[-1].startswith("error: ")
    for text in texts:
        assert text in result.stderr[-1]


# --- tensors that wait in the host's memory ---


def test_host_memory_holds_what_it_may(play):
    steps = [["make", "a", [600], "U8", 600], ["drop", "a"], ["make", "b", [600], "U8", 600], ["describe", "b"]]
    assert answers(play(["--max-host-memory", "1kB"], *steps)) == [[[600], "U8"]]


def test_host_memory_ends_at_its_limit(play):
    steps = [["make", "a", [600], "U8", 600], ["say", "one"], ["make", "b", [600], "U8", 600]]
    result = play(["--max-host-memory", "1kB"], *steps)
    assert result.stdout == '"one"\n'
    assert_stopped(result, 70, "needs 600 bytes on host staging, but this guest already uses 600 (limit 1000)")


# --- tensors on devices ---


def test_device_memory_ends_at_its_limit_and_the_guest_goes_on(play, add):
    result = play(
        ["--graph", f"add={add}", "--max-device-memory", "1KiB"],
        ["get", "graph", "add"],
        ["begin", "context", "graph"],
        ["make", "x", [400], "FP32", 1600],
        ["compute", "context", {"x": "x"}, "y"],
        ["make", "x", [4], "FP32", 16],
        ["compute", "context", {"x": "x"}, "y"],
        ["describe", "y"],
    )
    refused, described = answers(result)
    assert refused["code"] == "TOO_LARGE"
    assert "tensor `x` needs 1600 bytes on cpu, but this guest already uses 0 (limit 1024)" in refused["text"]
    assert described == [[4], "FP32"]


# --- how many tensors ---


def test_tensors_are_counted_while_they_live(play):
    steps = [["make", name, [4], "U8", 4] for name in "ab"]
    one_after_the_other = [steps[0], ["drop", "a"], steps[1], ["describe", "b"]]
    assert answers(play(["--max-tensors", "1"], *one_after_the_other)) == [[[4], "U8"]]
    result = play(["--max-tensors", "1"], *steps)
    assert_stopped(result, 70, "one tensor too many: this guest already has 1 (limit 1)")


# --- how many handles ---


def test_handles_are_counted_while_they_are_held(play):
    steps = [["make", name, [4], "U8", 4] for name in "ab"]
    assert answers(play(["--max-resources", "1"], steps[0], ["drop", "a"], steps[1], ["describe", "b"])) == [
        [[4], "U8"]
    ]
    result = play(["--max-resources", "1"], *steps)
    assert_stopped(result, 70, "the guest holds 1 resources, and may hold no more")


# --- the guest's own memory ---


def test_a_guest_whose_memory_is_larger_from_the_start_does_not_start(cli, probe_file):
    result = cli("run", "--max-memory", "1MiB", probe_file, "speak", "hello")
    assert result.stdout == ""
    assert_stopped(result, 70, "begins with", "which is more than it may have", "Limits(memory=…)", "--max-memory")


def test_a_guest_cannot_grow_its_memory_beyond_the_limit(cli, probe_file):
    within = cli("run", "--max-memory", "40MiB", probe_file, "big", "1000000")
    assert (within.stdout, within.status) == ("true\n", 0)
    beyond = cli("run", "--max-memory", "40MiB", probe_file, "big", "100000000")
    assert "MemoryError" in "".join(beyond.stderr), "the guest is told, and says so"
    assert_stopped(beyond, 70, "probe.wasm trapped")


# --- the weights of the operator's models ---


def test_a_model_that_is_larger_than_all_may_be_is_not_offered(cli, linear, probe_file):
    result = cli("run", "--device", "cpu", "--model-memory", "20kB", "--graph", f"a={linear}", probe_file, "speak", "x")
    assert result.stdout == ""
    assert_stopped(result, 2, f"linear.pt` needs {LINEAR} bytes on cpu, but models in use already take 0 (limit 20000)")


def test_models_make_room_for_each_other_unless_they_are_in_use(play, linear):
    graphs = ["--graph", f"a={linear}", "--graph", f"b={linear}"]
    options = [*graphs, "--model-memory", "50kB"]
    turns = [["get", "g", "a"], ["drop", "g"], ["get", "g", "b"], ["say", "both"]]
    assert answers(play(options, *turns)) == ["both"]
    [refused] = answers(play(options, ["get", "g", "a"], ["get", "h", "b"]))
    assert refused["code"] == "TOO_LARGE"
    assert f"needs {LINEAR} bytes on cpu, but models in use already take {LINEAR} (limit 50000)" in refused["text"]
    assert answers(play(graphs, ["get", "g", "a"], ["get", "h", "b"], ["say", "both"])) == ["both"]


# --- how they are written ---


@pytest.mark.parametrize("option", ["--max-device-memory", "--max-host-memory", "--max-memory", "--model-memory"])
@pytest.mark.parametrize(
    ("size", "text"),
    [("lots", "`lots` is not a size; give bytes, or a number with one of the units"), ("1.5B", "not a whole number")],
)
def test_a_size_that_is_none_is_told(cli, option, size, text, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    result = cli("run", option, size, tmp_path / "never-read.wasm")
    assert result.status == 2
    [told] = [line for line in result.stderr if f"Invalid value for '{option}': " in line]
    assert text in told


def test_a_number_of_tensors_is_not_negative(cli, tmp_path):
    result = cli("run", "--max-tensors", "-1", tmp_path / "never-read.wasm")
    assert result.status == 2
    assert any("--max-tensors" in line for line in result.stderr)
