"""The example for bindings authors: a plugin in Python, on bindings that are generated for its world."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from tests import warm
from tests.conftest import ROOT, built

EXAMPLE = ROOT / "examples" / "plugins"
BUILD = ROOT / "build" / "plugins"


@pytest.fixture(scope="module")
def plugin():
    built("build/plugins/plugin_bindings/__init__.py")
    return built("build/plugins/plugin.wasm")


def run(*command, path):
    environment = {**os.environ, "PYTHONPATH": path, "MYPYPATH": path}
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=300)
    return result.returncode, result.stdout + result.stderr


def test_the_program_prints_what_its_readme_shows(plugin):
    status, output = run(*warm.python(), str(EXAMPLE / "host.py"), str(plugin), path=str(BUILD))
    assert status == 0, output
    shown = re.search(r"^    can:\n(?:    .*\n)+", (EXAMPLE / "README.md").read_text(), re.MULTILINE)[0]
    assert output == "".join(line[4:] for line in shown.splitlines(keepends=True))


def test_mypy_accepts_the_program(plugin):
    status, output = run(sys.executable, "-m", "mypy", "--strict", str(EXAMPLE / "host.py"), path=str(BUILD))
    assert status == 0, output


@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [
        ("def add(", "def append(", 'Cannot instantiate abstract class "Book" with abstract attribute "add"'),
        ("def get_", "def open_", 'Cannot instantiate abstract class "Library" with abstract attribute "get_notebook"'),
        ("which: notes.Query", "which: str", 'supertype defines the argument type as "QueryEverything | QueryTagged'),
        ("-> notes.Access:", "-> str:", 'incompatible with return type "Access" in supertype'),
    ],
)
def test_mypy_says_what_does_not_fit(plugin, tmp_path, right, wrong, message):
    text = (EXAMPLE / "host.py").read_text()
    assert right in text
    (tmp_path / "host.py").write_text(text.replace(right, wrong))
    status, output = run(sys.executable, "-m", "mypy", "--strict", str(tmp_path / "host.py"), path=str(BUILD))
    assert status == 1
    assert message in output


def test_a_missing_method_is_noticed_without_mypy_too(plugin, tmp_path):
    text = (EXAMPLE / "host.py").read_text()
    (tmp_path / "host.py").write_text(text.replace("def add(", "def append("))
    status, output = run(*warm.python(), str(tmp_path / "host.py"), str(plugin), path=str(BUILD))
    assert status == 1
    assert "Can't instantiate abstract class Book" in output
