"""Generated packages and spoiled texts mean to `witgen` what they mean to `wasm-tools`.

A few hundred examples are compared. For more, and other ones each time:

    WITGEN_EXAMPLES=20000 python -m pytest tests/witgen/test_differential.py

What differs on purpose is in docs/wit-differences.md.
"""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

import witgen
from tests.witgen import reference
from tests.witgen.strategies import mutated_projects, projects
from tests.witgen.writer import Project

PROGRAM = reference.program()
EXAMPLES = int(os.environ.get("WITGEN_EXAMPLES", "0"))
FAST = Path("/dev/shm")

pytestmark = pytest.mark.skipif(PROGRAM is None, reason=reference.MISSING)
compared = settings(
    max_examples=EXAMPLES or 250,
    derandomize=not EXAMPLES,
    deadline=None,
    database=None,
    phases=(Phase.explicit, Phase.generate, Phase.shrink) if EXAMPLES else (Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)


def compare(project: Project, generated: bool = True) -> None:
    """Fail where the two differ in a way that is not known."""
    assert PROGRAM is not None
    with TemporaryDirectory(dir=FAST if FAST.is_dir() else None) as folder:
        path = reference.put(project, Path(folder))
        theirs = reference.resolve(PROGRAM, path, project)
        ours = resolved(path, project)
    if isinstance(ours, witgen.WitError):
        assert isinstance(theirs, reference.Refusal), f"only witgen refuses this:\n{ours}"
    elif isinstance(theirs, reference.Refusal):
        assert theirs.differs_on_purpose(generated), f"only wasm-tools refuses this:\n{theirs.message}"
    else:
        assert_equal(ours, theirs)


def resolved(path: Path, project: Project) -> dict[str, Any] | witgen.WitError:
    """What `witgen` makes of a project."""
    try:
        return witgen.resolve(path, project.all_features, project.features)
    except witgen.WitError as error:
        return error


def assert_equal(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    """Fail where the two differ; lists of types follow from the rest, so they come last."""
    for part in ("packages", "worlds", "interfaces", "types"):
        assert ours[part] == theirs[part], f"{part} differ; see resolver/, or dump.py if only a field is different"
        assert_same_order(ours[part], theirs[part])


def assert_same_order(ours: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> None:
    """Fail where equal maps of names have another order."""
    for mine, other in zip(ours, theirs, strict=True):
        for names in {"imports", "exports", "types", "functions", "interfaces", "worlds"} & mine.keys():
            assert list(mine[names]) == list(other[names]), f"{names} of {mine['name']} stand in another order"


@compared
@given(projects())
def test_a_package_resolves_to_what_the_reference_makes_of_it(project):
    compare(project)


@compared
@given(mutated_projects())
def test_a_spoiled_text_is_refused_where_the_reference_refuses_it(project):
    compare(project, generated=False)


@pytest.mark.parametrize("version", ["2024-06-25", "2024-08-19", "2024-10-28"])
def test_wasi_nn_resolves_to_what_the_reference_makes_of_it(version):
    folder = Path(__file__).parents[2] / "wit" / version
    files = {path.name: path.read_bytes() for path in folder.glob("*.wit")}
    compare(Project(".", files))


@pytest.mark.parametrize(
    "text",
    [
        "interface i { record r {} }",
        "interface i { flags f {} }",
        "interface i { type t = tuple<>; }",
        "world w { @unstable(feature = off) type t = u8; }",
        "/**/ interface i {}",
    ],
)
def test_what_differs_on_purpose_is_accepted_here_and_not_by_the_reference(text, tmp_path):
    project = Project("main.wit", {"main.wit": f"package a:b; {text}".encode()})
    path = reference.put(project, tmp_path)
    assert witgen.resolve(path)["packages"][0]["name"] == "a:b"
    theirs = reference.resolve(str(PROGRAM), path, project)
    assert isinstance(theirs, reference.Refusal), "it accepts this now: take it out of docs/wit-differences.md and here"
    assert theirs.differs_on_purpose(generated=False), theirs.message
