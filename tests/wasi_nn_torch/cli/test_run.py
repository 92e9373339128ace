"""The command line, as a user types it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from typer.testing import CliRunner

from tests import warm
from tests.wasi_nn_torch.helpers.exported_models import exported
from tests.wasi_nn_torch.helpers.models import Add, scripted
from wasi_nn_torch.cli import app
from wasi_nn_torch.contract.sizes import spell_size

# Processes of their own see no simulated accelerator.
pytestmark = pytest.mark.cpu


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "add.pt"
    path.write_bytes(scripted(Add()))
    return path


def cli(*arguments, **options):
    """Run `wasi-nn-torch` in a process of its own."""
    command = [*warm.python(), "-m", "wasi_nn_torch", *map(str, arguments)]
    environment = {**os.environ, "COLUMNS": "100", "NO_COLOR": "1"}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, check=False, **options)


def here(*arguments):
    """Run it in this process, which has PyTorch already: for what ends before a guest starts."""
    result = CliRunner().invoke(app, [*map(str, arguments)])
    return subprocess.CompletedProcess(arguments, result.exit_code, result.stdout, result.stderr)


@pytest.fixture
def played(capfd):
    """Run a guest in this process; its output passes Python by."""

    def run(*arguments):
        ended = here(*arguments)
        guest = capfd.readouterr()
        stdout, stderr = guest.out + ended.stdout, guest.err + ended.stderr
        return subprocess.CompletedProcess(arguments, ended.returncode, stdout, stderr)

    return run


@pytest.fixture
def wat(tmp_path):
    def write(text, name="guest.wat"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def assert_one_line(result, status, *texts):
    """The host ended with `status`, and said one line on standard error, which holds `texts`."""
    assert result.returncode == status
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("error: ")
    for text in texts:
        assert text in lines[0]


def quiet(result):
    """The same result without the line that a large guest's compilation is announced with."""
    lines = [line for line in result.stderr.splitlines(keepends=True) if not line.startswith("compiling ")]
    result.stderr = "".join(lines)
    return result


# --- a guest that works ---


def test_a_guest_computes_a_graph_and_its_output_is_all_of_standard_output(model, probe_file):
    inputs = '[["x", [1], "FP32", "0000803f"], ["y", [1], "FP32", "00000040"]]'
    result = cli("run", "--graph", f"add={model}", "--device", "cpu", probe_file, "by_name", "add", inputs)
    assert result.stdout == '[["output", [1], "FP32", "00004040"]]\n'
    assert result.returncode == 0


def test_graphs_are_optimized_and_computed_by_as_many_threads_as_wanted(model, probe_file):
    inputs = '[["x", [1], "FP32", "0000803f"], ["y", [1], "FP32", "00000040"]]'
    graph = ["--graph", f"add={model},optimize=freeze,device=cpu", "--threads", "1"]
    result = cli("run", *graph, probe_file, "by_name", "add", inputs)
    assert result.stdout == '[["output", [1], "FP32", "00004040"]]\n'


def test_compiling_a_model_is_announced_on_standard_error(probe_file, tmp_path, monkeypatch):
    path = tmp_path / "net.pt2"
    path.write_bytes(exported(torch.nn.ReLU(), torch.ones(2)))
    monkeypatch.setenv("CXX", "no-such-compiler")
    result = cli("run", "--graph", f"net={path},optimize=compile", "--device", "cpu", probe_file, "speak", "hello")
    announced, error = result.stderr.splitlines()[-2:]
    assert announced == "compiling the model net.pt2 …"
    assert error.startswith(f"error: the model file `{path}` is an exported program that cannot be compiled (")
    assert "no-such-compiler" in error
    assert (result.returncode, result.stdout) == (2, "")


def test_compiling_a_large_guest_is_announced_on_standard_error(played, probe_file, monkeypatch):
    monkeypatch.setattr("wasi_nn_torch.cli.watching._PATIENCE", 0)  # as it may have been compiled before
    result = played("run", probe_file, "speak", "hello")
    size = probe_file.stat().st_size
    assert f"compiling probe.wasm ({spell_size(size)}) …" in result.stderr
    assert result.stdout == "hello\n"


def test_everything_after_the_guest_goes_to_the_guest_unchanged(probe_file):
    arguments = ["surroundings", "--help", "-v", "--", "--graph", "x=y", "", "a b"]
    result = cli("run", "--env", "ONLY=this", probe_file, *arguments, stdin=subprocess.DEVNULL)
    assert result.stdout.startswith(
        '[["probe.wasm", "surroundings", "--help", "-v", "--", "--graph", "x=y", "", "a b"], {"ONLY": "this"}'
    )


def test_variables_can_be_passed_on(probe_file, monkeypatch):
    monkeypatch.setenv("PASSED_ON", "value")
    result = cli("run", "--env", "PASSED_ON", probe_file, "surroundings", input="typed")
    assert '{"PASSED_ON": "value"}, "typed"]' in result.stdout


def test_directories_can_have_another_name_for_the_guest(played, probe_file, tmp_path):
    (tmp_path / "a").write_text("content")
    result = played("run", "--dir", f"{tmp_path}::data:rw", probe_file, "copy", "data/a", "data/b")
    assert result.returncode == 0
    assert (tmp_path / "b").read_text() == "content"


@pytest.mark.parametrize("suffix", ["", ":ro"])
def test_directories_are_read_only_by_default(played, probe_file, tmp_path, suffix):
    (tmp_path / "a").write_text("content")
    result = quiet(played("run", "--dir", f"{tmp_path}::data{suffix}", probe_file, "change", "delete", "data/a"))
    assert json.loads(result.stdout) == {"delete": "Operation not permitted"}
    assert (tmp_path / "a").read_text() == "content"


def test_a_timeout_has_a_unit(played, wat):
    looping = wat('(module (memory (export "memory") 1) (func (export "_start") (loop (br 0))))')
    assert_one_line(played("run", "--timeout", "300ms", looping), 70, "did not end within 0.3 s")


def test_the_exit_status_is_the_guests(probe_file):
    assert cli("run", probe_file, "leave_with", "0").returncode == 0
    assert cli("run", probe_file, "leave_with", "1").returncode == 1


def test_stats_are_a_table_on_standard_error(played, model, probe_file):
    inputs = '[["x", [1], "FP32", "0000803f"]]'
    options = ["--stats", "--graph", f"add={model}", "--device", "cpu"]
    result = played("run", *options, probe_file, "by_name", "add", inputs)
    rows = {" ".join(line.split()) for line in result.stderr.splitlines()}
    assert "wasi:nn/inference graph-execution-context.compute 1" in rows
    assert "wasi:nn/tensor [constructor]tensor 1" in rows
    assert "copied guest → host 1 4 B" in rows
    assert "peak on cpu 1 4 B" in rows
    assert "live on cpu 0 0 B" in rows
    assert any(row.startswith("running the guest") for row in rows)
    assert result.stdout.count("\n") == 1


def test_stats_are_printed_for_a_guest_that_traps_too(played, probe_file):
    result = played("run", "--stats", probe_file, "trap")
    assert "live on host staging" in result.stderr or "copied guest → host" in result.stderr
    assert result.returncode == 70


@pytest.mark.skipif(os.name != "posix", reason="only POSIX closes a stream before a program starts")
def test_a_closed_standard_output_is_not_a_fault_of_the_host(probe_file):
    command = [sys.executable, "-m", "wasi_nn_torch", "run", str(probe_file), "leave_with", "1"]
    result = subprocess.run(["sh", "-c", 'exec "$@" >&-', "sh", *command], stderr=subprocess.PIPE, timeout=120)
    assert result.returncode == 1
    assert b"the host failed" not in result.stderr


# --- wrong command lines ---


def test_a_guest_that_does_not_exist(tmp_path):
    assert_one_line(here("run", tmp_path / "nothing.wasm"), 2, "nothing.wasm does not exist; check the path")


def test_a_guest_that_is_a_directory(tmp_path):
    assert_one_line(here("run", tmp_path), 2, "is a directory")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a file that not even root can read")
def test_a_guest_that_cannot_be_read():
    assert_one_line(here("run", "/proc/self/mem"), 2, "/proc/self/mem cannot be read (Input/output error)")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a file that not even root can read")
def test_a_model_that_cannot_be_read(wat):
    result = here("run", "--graph", "net=/proc/self/mem", wat("(component)"))
    assert_one_line(result, 2, "/proc/self/mem` cannot be read (Input/output error)")


def test_a_file_that_is_not_wasm(wat):
    assert_one_line(here("run", wat("hello", "hello.wasm")), 2, "hello.wasm is not WebAssembly")


def test_a_broken_component(tmp_path):
    path = tmp_path / "broken.wasm"
    path.write_bytes(b"\0asm\x0d\0\x01\0" + b"\xff" * 20)
    assert_one_line(here("run", path), 2, "broken.wasm is not a valid component: ")


def test_a_core_module(played, wat):
    assert played("run", wat('(module (func (export "_start")))')).returncode == 0
    assert_one_line(played("run", wat("(module)")), 70, "guest.wat exports neither _start nor _initialize")


def test_a_model_that_does_not_exist(wat, tmp_path):
    result = here("run", "--graph", f"net={tmp_path / 'none.pt'}", wat("(component)"))
    assert_one_line(result, 2, "none.pt` does not exist")


def test_a_model_file_that_is_not_a_model(wat, tmp_path):
    path = tmp_path / "net.pt"
    path.write_bytes(b"nothing of the kind")
    assert_one_line(here("run", "--graph", f"net={path}", wat("(component)")), 2, "net.pt` is ", "TorchScript")


def test_a_name_that_is_given_twice(model, wat):
    result = here("run", "--graph", f"a={model}", "--graph", f"a={model}", wat("(component)"))
    assert_one_line(result, 2, "a graph named `a` already exists")


@pytest.mark.parametrize("device", ["nonsense", "cuda:99", "cpu:7"])
def test_a_device_that_is_not_there(wat, device):
    assert_one_line(here("run", "--device", device, wat("(component)")), 2, f"`{device}`", "choose cpu")


def test_a_directory_that_does_not_exist(wat, tmp_path):
    assert_one_line(
        here("run", "--dir", tmp_path / "nowhere", wat("(component)")),
        2,
        "nowhere does not exist or is not a directory",
    )


@pytest.mark.parametrize(
    "option",
    [
        ["--graph", "no-path"],
        ["--graph", "=path"],
        ["--graph", "name=path,device="],
        ["--graph", "name=path,optimize=fast"],
        ["--graph", "name=path,device=cpu,device=cpu"],
        ["--threads", "0"],
        ["--dir", "::guest"],
        ["--env", "=value"],
        ["--env", "SURELY_NOT_SET_ANYWHERE"],
        ["--timeout", "0"],
        ["--timeout", "2x"],
        ["--timeout", "nan"],
        ["--max-memory", "-1"],
        ["--dir", ".:."],
        ["--dir", ".::/a:ra"],
        ["--dir", "."] * 2,
        ["--guest-models", "some"],
        ["--no-such-option"],
    ],
    ids=" ".join,
)
def test_a_wrong_value_of_an_option(wat, option):
    result = cli("run", *option, wat("(component)"))
    assert result.returncode == 2
    assert option[0] in result.stderr
    assert "Traceback" not in result.stderr


def test_a_model_that_cannot_be_optimized_so(wat, model):
    result = here("run", "--graph", f"net={model},optimize=compile,device=cpu", wat("(component)"))
    assert_one_line(result, 2, "add.pt` is TorchScript, which cannot be compiled; export the module instead")


# --- a guest that does not run to completion ---


def test_a_component_that_imports_what_is_not_there(played, wat):
    path = wat('(component (import "acme:rockets/launch@1.0.0" (instance (export "f" (func)))))')
    assert_one_line(
        played("run", path), 70, "guest.wat imports acme:rockets/launch@1.0.0, which this host does not provide"
    )


def test_a_component_that_exports_nothing_to_run(played, wat):
    assert_one_line(played("run", wat("(component)")), 70, "guest.wat exports no wasi:cli/run@0.2")


def test_a_guest_that_traps(probe_file):
    result = quiet(cli("run", probe_file, "trap"))
    assert result.returncode == 70
    assert result.stderr.splitlines()[-1].startswith("error: probe.wasm trapped: ")


def test_a_guest_that_loops_past_its_timeout(played, probe_file):
    assert_one_line(quiet(played("run", "--timeout", "0.5", probe_file, "loop")), 70, "did not end within 0.5 s")


def test_a_guest_that_waits_past_its_timeout(probe_file):
    started = time.monotonic()
    result = quiet(cli("run", "--timeout", "0.5", probe_file, "sleep", "60"))
    assert_one_line(result, 70, "did not end within 0.5 s")
    assert "host function" not in result.stderr, "the process did not have to be ended"
    assert time.monotonic() - started < 50, "it was not waited for"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT that one process can send another")
def test_ctrl_c_ends_the_process(probe_file):
    command = [sys.executable, "-m", "wasi_nn_torch", "run", str(probe_file), "speak_and_loop"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        process.stdout.readline()  # it runs
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == -signal.SIGINT


# --- the program itself ---


def test_nothing_is_said_of_numpy_if_it_is_not_installed(tmp_path, wat):
    (tmp_path / "relu.pt2").write_bytes(exported(torch.nn.ReLU(), torch.ones(2)))
    code = "import sys; sys.modules['numpy'] = None; from wasi_nn_torch.cli import main; main()"
    arguments = ["run", "--graph", f"relu={tmp_path / 'relu.pt2'}", wat('(module (func (export "_start")))')]
    result = subprocess.run([*warm.python(), "-c", code, *arguments], capture_output=True, text=True, timeout=120)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_help_does_not_import_torch():
    code = (
        "import sys; from typer.testing import CliRunner; from wasi_nn_torch.cli import app; "
        "assert CliRunner().invoke(app, ['run', '--help']).exit_code == 0; "
        "raise SystemExit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_fault_of_the_host_is_told_as_one(monkeypatch, wat, capsys):
    from typer.testing import CliRunner

    from wasi_nn_torch.cli import app
    from wasi_nn_torch.sessions.session import Session

    def fail(self, guest):
        raise LookupError("a bug")

    monkeypatch.setattr(Session, "run", fail)
    result = CliRunner().invoke(app, ["run", "--device", "cpu", str(wat("(component)"))])
    assert result.exit_code == 70
    assert "the host failed while it ran guest.wat: LookupError" in result.output
