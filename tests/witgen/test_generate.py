"""From WIT to a package on disk."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from witgen import WitError
from witgen.cli import configured
from witgen.generate import Target, compare, generate, write

COUNTER = """
package acme:count@1.0.0;

/// Counts things.
interface counting {
    /// Which way.
    enum direction { up, down }

    /// Something that counts.
    resource counter {
        /// Makes one.
        constructor(start: u32);
        step: func(way: direction) -> result<u32, direction>;
        parse: static func(text: string) -> counter;
    }

    type names = list<tuple<string, option<u64>>>;

    sum: func(counters: list<borrow<counter>>, weights: list<f64>) -> names;
    raw: func(%import: list<u8>) -> list<u8>;
}

world host { import counting; }
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project of somebody's own: a folder with one WIT file."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "count.wit").write_text(COUNTER)
    return tmp_path


TARGET = Target(Path("count.wit"), None, Path("bindings"))


def witgen(*arguments):
    command = [sys.executable, "-m", "witgen", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def bindings_of(folder, text):
    path = folder / "given.wit"
    path.write_text(text)
    return generate(Target(path, None, folder / "out"))


# --- the committed bindings ---


@pytest.mark.parametrize("target", configured(ROOT / "pyproject.toml"), ids=lambda target: target.out.name)
def test_the_committed_bindings_are_what_the_wit_says(target, monkeypatch):
    monkeypatch.chdir(ROOT)
    difference = compare(target, generate(target))
    assert not difference, f"{difference}\naccept it with `make bindings`"


# --- what is generated ---


def test_the_result_is_one_module_for_each_interface(project):
    assert sorted(generate(TARGET)) == ["__init__.py", "counting.py"]


def test_the_same_wit_gives_the_same_bytes(project):
    assert generate(TARGET) == generate(TARGET)


def test_each_function_is_typed_and_documented(project):
    text = generate(TARGET)["counting.py"]
    for line in [
        "    def step(self, way: Direction) -> int:",
        "    def new_counter(self, start: int) -> Counter:",
        "    def counter_parse(self, text: str) -> Counter:",
        "    def sum(self, counters: list[Counter], weights: list[float]) -> Names:",
        "    def raw(self, import_: memoryview) -> Bytes:",
        "Names: TypeAlias = list[tuple[str, int | None]]",
        "class CountingDirectionError(ResultError[Direction]):",
        '    """Something that counts."""',
    ]:
        assert f"{line}\n" in text


def test_generated_code_is_formatted_and_clean_for_linters_and_mypy(project):
    write(TARGET, generate(TARGET))
    for command in (
        ["ruff", "format", "--isolated", "--config", "line-length=120", "--check", "bindings"],
        ["ruff", "check", "--isolated", "--config", "line-length=120", "--select", "E,F,I,UP,B,RUF", "bindings"],
        ["mypy", "--strict", "bindings"],
    ):
        result = subprocess.run(
            [sys.executable, "-m", *command], capture_output=True, text=True, check=False, timeout=120
        )
        assert result.returncode == 0, result.stdout + result.stderr


def test_documentation_cannot_break_out_of_its_docstring(project):
    text = (
        'package a:b; /// """ + quit() + """ \\\ninterface i { /// ends with "\n enum e { x } } world w { import i; }'
    )
    for file in bindings_of(project, text).values():
        compile(file, "generated", "exec")


REFUSED = {
    "async": ("f: async func();", "function `f` cannot be bound: async is not supported"),
    "a stream": ("f: func(s: stream<u8>);", "function `f` cannot be bound: stream is not supported"),
    "a future": ("f: func() -> future<u8>;", "function `f` cannot be bound: future is not supported"),
    "a record": ("record r { a: u8 } f: func(x: r);", "function `f` cannot be bound: record is not supported"),
    "an error context": ("f: func() -> error-context;", "cannot be bound: error-context is not supported"),
    "a nameless error": ("f: func() -> result<u8, string>;", "a result whose error has no name is not supported"),
    "a nested result": ("f: func() -> list<result>;", "function `f` cannot be bound: result is not supported"),
    "a nested option": ("f: func() -> option<option<u8>>;", "an option of an option is not supported"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_bound_is_refused_where_it_stands(project, case):
    wit, message = REFUSED[case]
    with pytest.raises(WitError) as caught:
        bindings_of(project, f"package a:b;\ninterface i {{\n  {wit}\n}}\nworld w {{ import i; }}\n")
    assert message in caught.value.message
    assert caught.value.line == 3
    assert f"\n  3 |   {wit}\n" in str(caught.value)


@pytest.mark.parametrize(
    "item",
    ["export i;", "import f: func();", "type t = u8;", "import j: interface {}", "import a: i;", "import %export: i;"],
)
def test_worlds_with_more_than_imports_of_interfaces_are_refused(project, item):
    with pytest.raises(WitError, match="world `w` cannot be bound"):
        bindings_of(project, f"package a:b; interface i {{}} world w {{ {item} }}")


# --- writing and checking ---


def test_writing_takes_away_what_is_no_longer_generated_and_nothing_else(project):
    write(TARGET, generate(TARGET))
    (TARGET.out / "by_hand.py").write_text("KEEP = True\n")
    (project / "count.wit").write_text(COUNTER.replace("counting", "numbering"))
    assert write(TARGET, generate(TARGET)) == ["__init__.py", "counting.py", "numbering.py"]
    assert sorted(path.name for path in TARGET.out.iterdir()) == ["__init__.py", "by_hand.py", "numbering.py"]
    assert write(TARGET, generate(TARGET)) == []


def test_generate_then_check(project):
    arguments = ["count.wit", "--world", "host", "--out", "bindings"]
    assert witgen("generate", *arguments).stdout == "bindings: 2 files written\n"
    assert witgen("generate", *arguments).stdout == "bindings: up to date\n"
    assert witgen("check", *arguments).returncode == 0


def test_stale_bindings_fail_the_check_with_a_diff_and_the_command(project):
    arguments = ["count.wit", "--out", "bindings"]
    witgen("generate", *arguments)
    (project / "count.wit").write_text(COUNTER.replace("up, down", "up, down, sideways"))
    before = (TARGET.out / "counting.py").read_text()
    result = witgen("check", *arguments)
    assert result.returncode == 1
    assert '+    SIDEWAYS = "sideways"\n' in result.stdout
    assert result.stderr == "error: bindings is stale; run `witgen generate count.wit --out bindings`\n"
    assert (TARGET.out / "counting.py").read_text() == before, "a check changes nothing"


def test_packages_are_listed_in_pyproject(project):
    (project / "pyproject.toml").write_text('[[tool.witgen.packages]]\nwit = "count.wit"\nout = "bindings"\n')
    assert witgen("check").returncode == 1
    assert witgen("generate").stdout == "bindings: 2 files written\n"
    assert witgen("check").returncode == 0


@pytest.mark.parametrize(
    ("project_file", "message"),
    [
        (None, "pyproject.toml cannot be read"),
        ("[tool.other]\n", "has no [[tool.witgen.packages]]"),
        ('[[tool.witgen.packages]]\nwit = "count.wit"\n', "needs `wit` and `out`"),
        ("not toml", "cannot be read"),
    ],
)
def test_a_pyproject_that_lists_nothing_is_told_what_to_do(project, project_file, message):
    if project_file is not None:
        (project / "pyproject.toml").write_text(project_file)
    result = witgen("generate")
    assert result.returncode == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_a_mistake_in_the_wit_is_shown_with_its_place(project):
    (project / "count.wit").write_text("package a:b;\ninterface i {\n  f: func(c: colour);\n}\n")
    result = witgen("generate", "count.wit", "--out", "bindings")
    assert result.returncode == 1
    assert result.stderr.startswith("count.wit:3:14: error: ")
    assert "^^^^^^" in result.stderr
    assert not TARGET.out.exists(), "nothing is half done"
