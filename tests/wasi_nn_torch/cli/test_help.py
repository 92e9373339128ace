"""The help of the command line: groups, examples, completion in the shell, and options of other hosts."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from tests.conftest import ROOT
from wasi_nn_torch.cli import app
from wasi_nn_torch.cli.other_hosts import COUNTERPARTS

# Processes of their own see no simulated accelerator.
pytestmark = pytest.mark.cpu


def said(*arguments):
    """The status and the output of the command line, with single spaces and without frames."""
    result = CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1"}).invoke(app, [*arguments])
    return result.exit_code, " ".join(re.sub("[│╭╮╰╯─]", " ", result.output).split())


def completed(line):
    """The completions of bash for the last word of a line."""
    environment = {
        **os.environ,
        "_WASI_NN_TORCH_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(line.count(" ")),
    }
    code = "import sys; sys.argv[0] = 'wasi-nn-torch'; from wasi_nn_torch.cli import main; main()"
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=False)
    assert result.stderr == ""
    return result.stdout.split()


# --- help ---


def test_options_are_in_groups():
    status, text = said("run", "--help")
    assert status == 0
    groups = [text.index(f" {group} --") for group in ("Models", "Guest", "Limits", "Output")]
    assert groups == sorted(groups)
    for group, options in {
        "Models": ["--graph", "--device", "--guest-models", "--model-memory", "--threads"],
        "Guest": ["--dir", "--env", "--cache"],
        "Limits": ["--timeout", "--max-memory", "--max-tensors"],
        "Output": ["--stats", "--verbose"],
    }.items():
        begin = text.index(f" {group} --")
        end = min([other for other in groups if other > begin], default=text.index("Examples:"))
        assert all(option in text[begin:end] for option in options), text[begin:end]


@pytest.mark.parametrize(
    "command", ["run", "inspect", "doctor", "wit", "cache info", "cache clear"], ids=lambda command: command
)
def test_every_command_has_an_example(command):
    status, text = said(*command.split(), "--help")
    assert status == 0
    assert re.search(rf"Examples?: wasi-nn-torch {command}", text)


def test_the_examples_of_run_are_command_lines_that_it_takes(tmp_path, monkeypatch):
    _, text = said("run", "--help")
    examples = re.findall(r"wasi-nn-torch (run --.*?guest\.wasm)", text)
    assert len(examples) == 2
    monkeypatch.chdir(tmp_path)
    for example in examples:
        status, message = said(*example.split())
        assert (status, message) == (2, "error: the guest guest.wasm does not exist; check the path")


# --- completion ---


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("wasi-nn-torch ca", ["cache"]),
        ("wasi-nn-torch cache ", ["info", "clear"]),
        ("wasi-nn-torch run --guest-m", ["--guest-models"]),
        ("wasi-nn-torch run --guest-models ", ["none", "isolated", "any", "checked"]),
        ("wasi-nn-torch run guest.wasm --guest-m", []),
        ("wasi-nn-torch new mine --language p", ["python"]),
        ("wasi-nn-torch run --dir ph", []),  # the shell's own: files
    ],
)
def test_the_shell_completes_commands_options_and_choices(line, offered):
    assert completed(line) == offered


def test_other_words_are_completed_to_files():
    environment = {**os.environ, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    command = [sys.executable, "-m", "wasi_nn_torch", "--show-completion", "bash"]
    result = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=True)
    assert "complete -o default" in result.stdout


# --- options of other hosts ---


@pytest.mark.parametrize("option", COUNTERPARTS)
def test_an_option_of_another_host_is_answered_with_its_counterpart(option):
    status, text = said("run", option, "value", "guest.wasm")
    assert status == 2
    assert f"Invalid value for {option}: {COUNTERPARTS[option]}" in text


@pytest.mark.parametrize("attached", ["-Snn", "-Wmax-memory-size=1", "--nn-preload=a:PyTorch:CPU:b.pt"])
def test_a_value_may_be_attached_to_it(attached):
    _, text = said("run", attached, "guest.wasm")
    assert "use --" in text


def test_every_counterpart_is_an_option_of_ours():
    known = said("run", "--help")[1]
    named = {option for text in COUNTERPARTS.values() for option in re.findall("--[a-z-]+", text)}
    assert named
    assert all(option in known for option in named)


def test_the_guests_own_options_are_left_to_the_guest():
    status, text = said("run", "guest.wasm", "--nn-preload", "-S")
    assert (status, text) == (2, "error: the guest guest.wasm does not exist; check the path")


def test_the_guide_lists_every_option():
    guide = (ROOT / "docs" / "coming-from.md").read_text()
    assert [option for option in COUNTERPARTS if f"`{option}" not in guide] == []
