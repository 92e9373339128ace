"""What the pages on Python and JavaScript say of guests in these languages, with the versions that new guests use."""

from __future__ import annotations

import json
import re
import shutil

import pytest
from torch import nn
from typer.testing import CliRunner

from tests.conftest import ROOT
from tests.wasi_nn_torch.helpers.toolchains import environment_for, shell
from wasi_nn_torch import Engine, Limits
from wasi_nn_torch.cli import app
from wasi_nn_torch.cli.new.templates import read_template
from wit_host import GuestTrap

# Nothing of it depends on the device.
pytestmark = [pytest.mark.cpu, pytest.mark.slow]

FACTS = ROOT / "tests" / "guests" / "facts"
SOURCES = {"js": "facts.js", "python": "app.py"}


class Shorter(nn.Module):
    def forward(self, x):
        return {"y": x[:1] + 0}


@pytest.fixture(scope="module")
def engine():
    with Engine("cpu") as engine:
        engine.register("model", Shorter())
        yield engine


@pytest.fixture(scope="module")
def guests(engine, tmp_path_factory):
    """The guest in `tests/guests/facts` of a language, built as a new guest is."""
    built = {}

    def build(language):
        environment = environment_for(read_template(language, "facts"))
        if language not in built:
            directory = tmp_path_factory.mktemp(language) / "facts"
            assert CliRunner().invoke(app, ["new", str(directory), "-l", language]).exit_code == 0
            shutil.copy(FACTS / SOURCES[language], directory / "guest" / SOURCES[language].replace("facts", "app"))
            done = shell({"js": "npm run build", "python": "make"}[language], directory, environment)
            assert done.returncode == 0, done.stdout + done.stderr
            built[language] = engine.compile(directory / "guest.wasm", optimize=False)
        return built[language]

    return build


@pytest.fixture
def run(engine, guests):
    """Run a guest; return its exit status and its output, or the error of its trap."""

    def run(language, *arguments, limits=None):
        stdout, stderr = [], []
        guest = guests(language)
        limits = limits or Limits(timeout=60)
        with engine.session(args=arguments, stdout=stdout.append, stderr=stderr.append, limits=limits) as session:
            try:
                status = session.run(guest)
            except GuestTrap as trap:
                status = str(trap)
        return status, b"".join(stdout).decode(), b"".join(stderr).decode()

    return run


def facts(run, language):
    status, stdout, stderr = run(language, "facts")
    assert status == 0, stderr
    return json.loads(stdout)


# --- Python ---


def test_a_guest_in_python_has_the_modules_that_were_imported_while_it_was_made(run):
    assert facts(run, "python") == {"csv": "ModuleNotFoundError", "math": None, "json": None}


def test_a_guest_in_python_loses_all_but_the_first_8192_bytes_of_a_print(run):
    assert run("python", "print") == (0, "x" * 8192 + "\n", "")
    assert run("python", "buffered") == (0, "x" * 8192 + "y" * 8192 + "\n", "")


@pytest.mark.parametrize("ending", ["err", "own err", "exit"])
def test_some_endings_of_a_guest_in_python_are_status_1_without_a_message(run, ending):
    assert run("python", ending) == (1, "", "")


@pytest.mark.parametrize(
    ("ending", "message"),
    [
        ("exception", "ZeroDivisionError: "),
        ("thread", "ModuleNotFoundError: No module named 'threading'"),
        ("array", "CastError"),
        ("bytearray", "CastError"),
        ("again", "has no attribute 'handle'"),
        ("with", "TypeError: "),
    ],
)
def test_other_endings_of_a_guest_in_python_are_traps(run, ending, message):
    trap, stdout, stderr = run("python", ending)
    assert "trapped" in str(trap)
    assert stdout == ""
    assert message in stderr


# --- JavaScript ---


def test_the_environment_of_a_guest_in_javascript(run):
    found = facts(run, "js")
    assert set(found["there"]) == {
        "TextDecoder",
        "URL",
        "structuredClone",
        "crypto",
        "fetch",
        "Float16Array",
        "setTimeout",
    }
    assert found["age"] > 0
    assert found["randomNumbersDiffer"]
    assert (found["locale"], found["normalize"], found["property"]) == ("1234.5", "undefined", "SyntaxError")
    assert found["base64"] == [1, 2]


def test_wasi_nn_in_javascript(run):
    found = facts(run, "js")
    assert (found["isAnError"], found["code"]) == (False, "not-found")
    assert found["text"].startswith("there is no graph `nothing`")
    assert found["part"] == [2, 3]
    assert found["dimensions"] == [1, 2]
    assert (found["bigDimension"], found["fraction"], found["lowerCase"]) == ("TypeError",) * 3
    assert found["usedUp"] == {"output": [1], "input": [1]}, "the input seems to be the output"


@pytest.mark.parametrize(
    ("ending", "status", "stdout"),
    [
        ("throw", 1, ""),
        ("reject", 0, ""),
        ("timer", 0, ""),
        ("sleep", 0, "it fired\n"),
        ("print", 0, "x" * 100_000 + "\n"),
    ],
)
def test_endings_of_a_guest_in_javascript(run, ending, status, stdout):
    assert run("js", ending) == (status, stdout, "")


@pytest.mark.parametrize("ending", ["never", "fetch"])
def test_what_traps_in_javascript(run, ending):
    assert "trapped" in str(run("js", ending)[0])


def test_outputs_in_javascript_have_to_be_disposed_of(run):
    limits = Limits(resources=100)
    assert run("js", "dispose", "200", limits=limits)[0] == 0
    assert re.search("holds 100 resources", run("js", "keep", "200", limits=limits)[0])


def test_what_javascript_passes_to_the_host_stays_in_memory_until_run_returns(run):
    """Tensors of 4 MiB each, of which the host keeps none."""
    limits = Limits(memory=128 << 20)
    assert run("js", "pass", "10", limits=limits)[0] == 0
    assert "memory" in str(run("js", "pass", "40", limits=limits)[0])
