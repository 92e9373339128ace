"""Whole generated packages, compared with those in tests/golden/bindings, and what every checker says of them.

That each of them works is shown by tests/bindings, which run guests on them.
"""

from __future__ import annotations

import importlib
import inspect
import json
import os
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import get_type_hints

import pytest

from tests.conftest import ROOT
from witgen.generate import Target, compare, generate, write
from witgen.lists import Lists
from witgen.mappings import parse_mappings
from witgen.render import LEAVE_AS_IT_IS

GOLDEN = Path("tests/golden/bindings")
NAMES = sorted(path.name for path in (ROOT / GOLDEN).iterdir())


@pytest.fixture(autouse=True)
def in_the_checkout(monkeypatch):
    monkeypatch.chdir(ROOT)


#: The WIT that a package needs beside its own, and what else differs from the defaults.
NEEDS = {
    "guards": [Path("wit/2024-10-28")],
    "extended": [GOLDEN / name / "wit" for name in ("worlds", "resources", "conventions")],
}
OPTIONS = {
    "guards": {"mappings": parse_mappings([("wasi:nn/*@0.2.0-rc-2024-10-28", "wasi_nn_bindings.v2024_10_28")])},
    "extended": {
        "mappings": parse_mappings(
            [
                ("golden:worlds/*@0.3.0", "tests.golden.bindings.worlds.bindings"),
                ("golden:resources/store@1.0.0", "tests.golden.bindings.resources.bindings.store"),
                ("golden:conventions/*", "tests.golden.bindings.conventions.bindings"),
            ]
        )
    },
    "async_hosts": {"async_hosts": True},
    "partial": {"partial": True},
    "numpy_lists": {"lists": Lists.NUMPY},
    "array_lists": {"lists": Lists.ARRAY},
}


def target(name):
    wit = (GOLDEN / name / "wit", *NEEDS.get(name, ()))
    return Target(wit, GOLDEN / name / "bindings", **OPTIONS.get(name, {}))


@cache
def generated(name):
    return generate(target(name))


@pytest.mark.parametrize("name", NAMES)
def test_the_package_is_as_it_was(name, request):
    files = generated(name)
    if request.config.getoption("golden") == "write":
        write(target(name), files)
    difference = compare(target(name), files)
    assert not difference, f"{difference}\naccept it with `make golden`, after a look at it"


@pytest.mark.parametrize("name", NAMES)
def test_generating_it_again_gives_the_same_bytes(name):
    assert generate(target(name)) == generated(name)


def files():
    return [path for name in NAMES for path in (GOLDEN / name / "bindings").rglob("*.py")]


@pytest.mark.parametrize("path", files(), ids=lambda path: path.relative_to(GOLDEN).as_posix())
def test_nothing_in_it_is_unchecked(path):
    text = path.read_text(encoding="utf-8")
    assert text.count(LEAVE_AS_IT_IS) == 1
    text = re.sub(r"\[Any(, Any)*\]|^from typing import Any.*$", "", text, flags=re.MULTILINE)  # of any own classes
    assert not re.search(r"\bAny\b|\bcast\b|type: ignore|noqa|pyright:", text.replace(LEAVE_AS_IT_IS, ""))


@pytest.mark.parametrize("path", files(), ids=lambda path: path.relative_to(GOLDEN).as_posix())
def test_its_annotations_mean_types_when_the_program_runs(path):
    module = importlib.import_module(".".join(path.with_suffix("").parts).removesuffix(".__init__"))
    classes = [each for each in vars(module).values() if isinstance(each, type) and each.__module__ == module.__name__]
    for each in classes:
        members = [member for member in vars(each).values() if inspect.isfunction(member)]
        for hints in map(get_type_hints, [each, *members]):
            assert not any(inspect.isfunction(hint) or inspect.ismemberdescriptor(hint) for hint in hints.values())


def run(*command):
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert result.returncode == 0, result.stdout + result.stderr


def test_ruff_finds_nothing_in_any_of_them_by_its_defaults():
    places = [str(GOLDEN), "generated"]
    run(sys.executable, "-m", "ruff", "check", "--isolated", *places)
    run(sys.executable, "-m", "ruff", "format", "--isolated", "--check", *places)


def test_ruff_finds_nothing_in_any_of_them_if_it_may_look(tmp_path):
    for path in files():
        (tmp_path / path.relative_to(GOLDEN)).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path.relative_to(GOLDEN)).write_text(path.read_text().replace(LEAVE_AS_IT_IS, ""))
    rules = "E,F,W,I,B,UP,C4,SIM,RUF"
    run(sys.executable, "-m", "ruff", "check", "--isolated", "--select", rules, *LONG, str(tmp_path))
    run(sys.executable, "-m", "ruff", "format", "--isolated", "--check", *LONG, str(tmp_path))


LONG = ["--config", "line-length=120", "--target-version", "py311", "--config", "src=[]"]


def test_mypy_finds_nothing_in_any_of_them():
    packages = [word for name in NAMES for word in ("-p", f"tests.golden.bindings.{name}.bindings")]
    run(sys.executable, "-m", "mypy", "--strict", *packages)


@pytest.mark.parametrize("version", ["3.11", "3.14"])
def test_pyright_finds_nothing_in_any_of_them_in_its_strict_mode(version, tmp_path):
    if shutil.which("node") is None:
        pytest.skip("pyright needs node, which is not on the path")
    checked = [GOLDEN, Path("generated")]
    settings = {
        "include": [os.path.relpath(ROOT / place, tmp_path) for place in checked],
        "extraPaths": [str(ROOT)],
        "typeCheckingMode": "strict",
        "pythonVersion": version,
    }
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings))
    command = [sys.executable, "-m", "pyright", "--project", str(tmp_path), "--pythonpath", sys.executable]
    result = subprocess.run([*command, "--outputjson"], capture_output=True, text=True, check=False, timeout=300)
    answer = json.loads(result.stdout)
    assert answer["generalDiagnostics"] == []
    assert answer["summary"]["filesAnalyzed"] == sum(len(list(place.rglob("*.py"))) for place in checked)
