"""Whatever a world holds, its package is generated, imports, and is clean; or what is unsupported in it is refused."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from tests.witgen.helpers.writer import write_project
from witgen import WitError
from witgen.render import LEAVE_AS_IT_IS, render
from witgen.resolver import resolve
from witgen.view import view_world

SEEDS = range(10_000, 10_200)
#: Those whose worlds are also generated with stubs, which every world can be.
PARTIAL = range(10_000, 10_012)


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    """The packages of all worlds of random WIT that hosts in Python can serve; about one in eight."""
    directory, wit = tmp_path_factory.mktemp("packages"), tmp_path_factory.mktemp("wit")
    for seed in SEEDS:
        project = write_project(Random(seed))
        path = project.put(wit / str(seed))
        try:
            resolved = resolve(path, all_features=project.all_features, features=project.features)
        except WitError:
            continue
        for number in range(len(resolved.worlds)):
            write(directory / f"world_{seed}_{number}", resolved, number)
            if seed in PARTIAL:
                write(directory / f"part_{seed}_{number}", resolved, number, partial=True)
    return directory


def write(directory: Path, resolved, number, partial=False):
    try:
        files = render(view_world(resolved, number, partial=partial, without_wasi=partial))
    except WitError as error:
        if "cannot be bound" in error.message and not partial:
            return
        raise
    for file, text in files.items():
        (directory / file).parent.mkdir(exist_ok=True, parents=True)
        (directory / file).write_text(text.replace(LEAVE_AS_IT_IS, ""))


def names(packages):
    found = sorted(path.name for path in packages.iterdir())
    assert len(found) > 30
    return found


def test_every_module_can_be_imported(packages, monkeypatch):
    monkeypatch.syspath_prepend(packages)
    for name in names(packages):
        for path in (packages / name).rglob("*.py"):
            parts = path.relative_to(packages).with_suffix("").parts
            importlib.import_module(".".join(parts).removesuffix(".__init__"))


@pytest.mark.parametrize(
    "command",
    [
        ["mypy", "--strict"],
        ["ruff", "check", "--isolated", "--config", "line-length=120", "--target-version", "py311", "--ignore", "E501"],
        ["ruff", "format", "--isolated", "--check", "--config", "line-length=120", "--target-version", "py311"],
    ],
    ids=["mypy", "ruff check", "ruff format"],
)
def test_nothing_is_found_in_any_of_them(packages, command):
    found = names(packages)
    places = [word for name in found for word in ("-p", name)] if command[0] == "mypy" else found
    result = subprocess.run(
        [sys.executable, "-m", *command, *places], cwd=packages, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
