"""A guest that fails never leaves the operator without the reason; and `--stats`, as a user types it."""

from __future__ import annotations

import json
import subprocess

import pytest

from tests import warm
from tests.conftest import built
from tests.wasi_nn_torch.cli.test_run import cli, here, quiet
from tests.wasi_nn_torch.helpers.models import Add, scripted

pytestmark = pytest.mark.cpu

#: What a guest that catches no error does wrong: the graph, its inputs, options of the host, the status and the reason.
WRONG = {
    "a graph that there is not": ("adder", '[["x", [1], "FP32", "00000000"]]', [], 1, "there is no graph `adder`"),
    "no input": ("add", "[]", [], 1, "missing: `x`"),
    "an unknown input": ("add", '[["x", [1], "FP32", "00000000"], ["z", [0], "U8", ""]]', [], 1, "unknown: `z`"),
    "an input twice": (
        "add",
        '[["x", [1], "FP32", "00000000"], ["x", [1], "FP32", "00000000"]]',
        [],
        1,
        "repeated: `x`",
    ),
    "too few bytes": ("add", '[["x", [3], "FP32", "00000000"]]', [], 1, "need 12 bytes, but 4 were given"),
    "another type": ("add", '[["x", [1], "FP64", "00000000"]]', [], 1, "of FP64, which need 8 bytes, but 4 were given"),
    "another rank": ("add", json.dumps([["x", [1] * 70, "U8", "00"]]), [], 1, "has 70 dimensions; at most 64"),
    "sizes that do not go together": (
        "add",
        '[["x", [2], "U8", "0000"], ["y", [3], "U8", "000000"]]',
        [],
        1,
        "the model failed while computing `x` U8 [2], `y` U8 [3]",
    ),
    "too much for its device": (
        "add",
        '[["x", [1], "FP32", "00000000"]]',
        ["--max-device-memory", "3"],
        1,
        "needs 4 bytes on cpu",
    ),
    "too much for its host": (
        "add",
        '[["x", [1], "FP32", "00000000"]]',
        ["--max-host-memory", "3"],
        70,
        "needs 4 bytes on host staging",
    ),
    "too many tensors": ("add", '[["x", [1], "FP32", "00000000"]]', ["--max-tensors", "0"], 70, "one tensor too many"),
}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "add.pt"
    path.write_bytes(scripted(Add()))
    return path


#: Runs command lines one after the other; what each says, and their statuses, are files afterwards.
COMMANDS = """
import json, os, sys
from wasi_nn_torch.cli import app

statuses = []
for number, arguments in enumerate(json.load(sys.stdin)):
    for stream, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(f"{number}.{name}", os.O_WRONLY | os.O_CREAT), stream)
    try:
        app(arguments)
    except SystemExit as end:
        statuses.append(end.code)
    sys.stdout.flush()
with open("statuses", "w") as file:
    json.dump(statuses, file)
"""


@pytest.fixture(scope="module")
def failed(model, tmp_path_factory):
    """The result of each case; in one process, which imports PyTorch only once."""
    probe, directory = built("build/tests/probe.wasm"), tmp_path_factory.mktemp("results")
    lines = [
        ["run", "--graph", f"add={model}", *options, str(probe), "chain", graph, "1", inputs]
        for graph, inputs, options, _, _ in WRONG.values()
    ]
    subprocess.run([*warm.python(), "-c", COMMANDS], input=json.dumps(lines), text=True, cwd=directory, check=True)
    results = {}
    for number, (name, status) in enumerate(zip(WRONG, json.loads((directory / "statuses").read_text()), strict=True)):
        stdout, stderr = ((directory / f"{number}.{stream}").read_text() for stream in ("out", "err"))
        results[name] = quiet(subprocess.CompletedProcess(lines[number], status, stdout, stderr))
    return results


@pytest.mark.parametrize("name", WRONG)
def test_a_guest_that_catches_no_error_fails_with_the_reason(failed, name):
    *_, status, reason = WRONG[name]
    result = failed[name]
    warning, last = result.stderr.splitlines()
    assert (result.returncode, result.stdout) == (status, "")
    assert warning.startswith("WARNING wasi_nn_torch.refusals: probe.wasm: ")
    assert last.startswith("error: " if status == 70 else "probe.wasm exited with status 1; the last error that it was")
    assert warning.count(reason) == last.count(reason) == 1, result.stderr


def test_a_guest_that_handles_an_error_and_succeeds_is_only_warned_of(probe_file):
    result = quiet(cli("run", probe_file, "by_name", "none"))
    assert result.returncode == 0
    [line] = result.stderr.splitlines()
    assert line.startswith("WARNING wasi_nn_torch.refusals: probe.wasm: wasi:nn/graph@0.2.0-rc-2024-10-28#load-by-name")


def test_a_trap_after_an_error_is_told_with_it(probe_file):
    result = quiet(cli("run", probe_file, "play", '[["get", "a", "none"], ["trap"]]'))
    assert result.returncode == 70
    last = result.stderr.splitlines()[-1]
    assert last.startswith("error: probe.wasm trapped: ")
    assert last.endswith(
        "; the last error that it was given: not-found: there is no graph `none`; this host offers none"
    )


def test_stats_in_json_are_the_last_line_of_standard_error(probe_file):
    result = cli("run", "--stats=json", probe_file, "chain", "none", "1", "[]")
    figures = json.loads(result.stderr.splitlines()[-1])
    assert (figures["errors"], figures["last_refusal"]["code"]) == ({"not-found": 1}, "not-found")
    assert result.returncode == 1


def test_stats_alone_leave_the_guest_what_is_its_own(probe_file):
    options = ["--env", "A=--stats", "--stats"]
    result = cli("run", *options, probe_file, "surroundings", "--stats=json", "--stats", input="")
    assert '"--stats=json", "--stats"], {"A": "--stats"}' in result.stdout
    assert "running the guest" in result.stderr


@pytest.mark.parametrize(
    "options", [["--stats"], ["--stats", "-v"], ["--device", "cpu", "--stats", "--"], ["-v", "--stats"]]
)
def test_stats_alone_do_not_take_the_guest_for_a_format(options, tmp_path):
    result = here("run", *options, tmp_path / "guest.wasm")
    assert result.returncode == 2
    assert "guest.wasm does not exist" in result.stderr


@pytest.mark.parametrize("value", ["xml", "", "JSON "])
def test_stats_in_another_format_are_refused(value, tmp_path):
    result = here("run", f"--stats={value}", tmp_path / "guest.wasm")
    assert result.returncode == 2
    assert "--stats" in result.stderr
    assert "'table'" in result.stderr
    assert "'json'" in result.stderr
