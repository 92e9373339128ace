"""`wasi-nn-torch new`: what it writes, and what it refuses; `test_new_guests.py` builds and runs it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.conftest import ROOT
from tests.wasi_nn_torch.helpers.guides import walkthrough
from wasi_nn_torch.cli import app
from wasi_nn_torch.cli.new.templates import PIPELINE, kinds, languages, read_template

# Processes of their own see no simulated accelerator.
pytestmark = pytest.mark.cpu

ANSWER = "probabilities: FP32 [4] 0.0321 0.0871 0.2369 0.6439\n"

PINS = {"python": ROOT / "constraints.txt", "c": ROOT / "examples/classify_witx/requirements.txt"}
WITH_PIPELINES = [language for language in languages() if PIPELINE in kinds(language)]


def new(*arguments):
    return CliRunner().invoke(app, ["new", *map(str, arguments)])


# --- what is written ---


@pytest.mark.parametrize("language", languages())
def test_the_page_of_a_language_uses_its_template(language):
    template = read_template(language, "hello")
    *steps, last = walkthrough(language)
    assert template.build in " && ".join(step.command for step in steps)
    assert last.command == f"wasi-nn-torch run --graph model=model.pt2 {template.guest} 1 2 3 4"
    assert last.shown == ANSWER


@pytest.mark.parametrize(
    ("language", "kind"), [(language, kind) for language in languages() for kind in kinds(language)]
)
def test_nothing_is_left_to_fill_in(tmp_path, language, kind):
    assert new(tmp_path / "try-it", "-l", language, "-k", kind).exit_code == 0
    for path in (tmp_path / "try-it").rglob("*"):
        assert path.is_dir() or not re.search("@[a-z]+@", path.read_text())
    assert (tmp_path / "try-it" / "README.md").read_text().startswith("# try-it\n")
    assert (tmp_path / "try-it" / ".gitignore").exists()


@pytest.mark.parametrize(("language", "kind"), [(language, kind) for language in PINS for kind in kinds(language)])
def test_the_versions_of_tools_are_those_that_are_tested(tmp_path, language, kind):
    new(tmp_path / "try-it", "--language", language, "--kind", kind)
    pinned = [line for line in (tmp_path / "try-it" / "requirements.txt").read_text().splitlines() if "==" in line]
    assert pinned
    tested = [PINS[language], ROOT / "constraints.txt"]
    assert set(pinned) <= {line for file in tested for line in file.read_text().splitlines()}


def test_the_wit_is_that_of_the_command_wit(tmp_path):
    new(tmp_path / "try-it", "--language", "python")
    CliRunner().invoke(app, ["wit", "--out", str(tmp_path / "wit"), "--version", "2024-10-28"])
    for path in (tmp_path / "wit").rglob("*.wit"):
        assert (tmp_path / "try-it" / "wit" / path.relative_to(tmp_path / "wit")).read_bytes() == path.read_bytes()


@pytest.mark.parametrize("language", WITH_PIPELINES)
def test_the_wit_of_a_pipeline_is_that_of_the_server(tmp_path, language):
    new(tmp_path / "try-it", "--language", language, "--kind", "pipeline")
    written = {path.relative_to(tmp_path / "try-it" / "wit").as_posix() for path in tmp_path.rglob("*.wit")}
    assert written == {"pipeline.wit", "deps/wasi-nn-2024-10-28/nn.wit"}
    for path, source in (
        ("pipeline.wit", "pipeline/pipeline.wit"),
        ("deps/wasi-nn-2024-10-28/nn.wit", "2024-10-28/nn.wit"),
    ):
        assert (tmp_path / "try-it" / "wit" / path).read_bytes() == (ROOT / "wit" / source).read_bytes()


def test_it_says_how_to_serve_a_pipeline(tmp_path):
    printed = new(tmp_path / "mine", "--kind", "pipeline").stdout
    assert printed.endswith("\n    wasi-nn-torch serve --graph model=model.pt2 --pipeline mine=guest.wasm\n")


def test_it_says_what_comes_next(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = new("mine")
    assert "wrote   mine/guest/app.py\n" in result.stdout
    assert "    cd mine\n" in result.stdout


def test_it_names_programs_that_are_missing(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "missing on this machine: make, componentize-py" in new(tmp_path / "mine").stdout


@pytest.mark.parametrize("directory", ["here", "."])
def test_an_empty_directory_is_filled(tmp_path, monkeypatch, directory):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here" if directory == "." else tmp_path)
    assert new(directory).exit_code == 0
    assert (tmp_path / "here" / "README.md").read_text().startswith("# here\n")


def test_the_help_lists_the_languages():
    words = re.findall(r"[\w.,:]+", new("--help").stdout)
    assert f"The language of the guest: {', '.join(languages())}" in " ".join(words)


def test_the_help_lists_the_kinds():
    words = re.findall(r"[\w.,:;]+", new("--help").stdout)
    assert "command, in c, js, python, rust; pipeline, in c, js, python." in " ".join(words)


# --- what is refused ---


def assert_refused(result, *texts):
    assert result.exit_code == 2
    [line] = result.stderr.splitlines()
    assert line.startswith("error: ")
    for text in texts:
        assert text in line


@pytest.mark.parametrize("name", ["Guest", "my_guest", "1st", "a--b", "-", "/", "gäst", "a b", "x" * 65])
def test_a_bad_name(tmp_path, name):
    assert_refused(new("--", Path(tmp_path, name)), "name of")
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_language(tmp_path):
    result = new(tmp_path / "mine", "--language", "../python")
    assert_refused(result, "there is no template for the language '../python'; expected", *languages())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["pipeline", "shared", "../python/command", "."])
def test_a_kind_that_a_language_does_not_have(tmp_path, kind):
    result = new(tmp_path / "mine", "--language", "rust", "--kind", kind)
    assert_refused(result, f"there is no template for the kind '{kind}' in rust; expected command")
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_is_not_empty(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").write_text("mine")
    assert_refused(new(tmp_path / "mine"), f"{tmp_path / 'mine'} cannot become a new project: it is not empty")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["file"]


def test_a_file(tmp_path):
    (tmp_path / "mine").write_text("mine")
    assert_refused(new(tmp_path / "mine"), "it is not a directory")
    assert (tmp_path / "mine").read_text() == "mine"


def test_a_directory_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    assert_refused(new(tmp_path / "file" / "mine"), f"{tmp_path / 'file' / 'mine'} cannot ", "choose another")
