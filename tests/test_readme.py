"""The code in the README works as it is printed."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest

from tests.conftest import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """The code blocks of the README, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def test_the_first_example_exports_a_model_and_runs_a_guest_on_it(tmp_path, probe_file):
    (tmp_path / "guest.wasm").symlink_to(probe_file)
    (tmp_path / "data").mkdir()
    zeros = json.dumps([["input", [1, 4], "FP32", "00" * 16]])
    shown = blocks("python")[0]
    code = shown.replace('["data/cat.json"]', repr(["by_name", "scorer", zeros]))
    assert code != shown
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert result.returncode == 0, result.stderr
    computed, summary = result.stdout.splitlines()
    [[name, sizes, element_type, _]] = json.loads(computed)
    assert (name, sizes, element_type, summary) == ("output", [1, 2], "FP32", "0 1")


@pytest.mark.parametrize(
    ("language", "number", "file"), [("wit", 0, "wit/plugins.wit"), *(("python", n, "host.py") for n in (1, 2))]
)
def test_the_code_for_bindings_is_the_example(language, number, file):
    shown = blocks(language)[number]
    example = (ROOT / "examples" / "plugins" / file).read_text(encoding="utf-8")
    for paragraph in re.split(r"\n{2,}", shown.strip("\n")):
        assert paragraph in example
