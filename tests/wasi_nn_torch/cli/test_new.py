"""`wasi-nn-torch new`: the project of a guest, built and run as its user would."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import threading
from functools import partial
from pathlib import Path

import pytest
from torch import nn
from typer.testing import CliRunner

from tests.conftest import ROOT
from tests.wasi_nn_torch.helpers.guides import walkthrough
from tests.wasi_nn_torch.helpers.serving import served
from tests.wasi_nn_torch.helpers.toolchains import ENVIRONMENT, environment_for, guest_of, shell
from wasi_nn_torch import Engine
from wasi_nn_torch.cli import app
from wasi_nn_torch.cli.new.templates import PIPELINE, kinds, languages, read_template
from wasi_nn_torch.http import PipelineSettings, create_app

# Processes of their own see no simulated accelerator.
pytestmark = pytest.mark.cpu

ANSWER = "probabilities: FP32 [4] 0.0321 0.0871 0.2369 0.6439\n"

PINS = {"python": ROOT / "constraints.txt", "c": ROOT / "examples/classify_witx/requirements.txt"}


def new(*arguments):
    return CliRunner().invoke(app, ["new", *map(str, arguments)])


def assert_made(command, directory, environment):
    done = shell(command, directory, environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def follow(step, directory, environment):
    """Do what a page says, except for what `make test` has installed; return the directory to go on in."""
    if step.command.startswith("cd "):
        return directory / step.command.removeprefix("cd ")
    if not re.match("(pip|npm) install ?", step.command):
        printed = assert_made(step.command, directory, environment)
        assert step.shown in ("", printed)
    return directory


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """The directory of a new guest in a language, which is built once, as its page in `docs/guests` says."""
    projects = {}

    def build(language):
        environment = environment_for(read_template(language, "hello"))
        if language not in projects:
            directory = tmp_path_factory.mktemp(language)
            for step in walkthrough(language)[:-1]:
                directory = follow(step, directory, environment)
            projects[language] = directory
        return projects[language], guest_of(read_template(language, "hello"), environment)

    return build


@pytest.fixture
def run(capfd, monkeypatch):
    """Run a guest in this process, which has PyTorch already; its output passes Python by."""

    def run(directory, *arguments):
        monkeypatch.chdir(directory)
        result = CliRunner().invoke(app, ["run", "--no-optimize", *arguments])
        guest = capfd.readouterr()
        return result.exit_code, guest.out + result.stdout, guest.err + result.stderr

    return run


# --- what a new guest does ---


@pytest.mark.parametrize("language", languages())
def test_a_new_guest_is_built_and_computes_a_model_as_its_page_says(project, run, language):
    directory, guest = project(language)
    status, stdout, stderr = run(directory, "--graph", "model=model.pt2", guest, "1", "2", "3", "4")
    assert (status, stdout) == (0, ANSWER), stderr


@pytest.mark.parametrize("language", languages())
@pytest.mark.parametrize(
    ("graph", "numbers", "reason"),
    [("other", "1 2", "not.found"), ("model", "1 " * 1001, "1000|invalid.argument"), ("model", "1 two", "two")],
    ids=["no such model", "too many numbers", "not a number"],
)
def test_a_new_guest_prints_errors_and_fails(project, run, language, graph, numbers, reason):
    directory, guest = project(language)
    status, stdout, stderr = run(directory, "--graph", f"{graph}=model.pt2", guest, *numbers.split())
    assert (status, stdout) == (1, ""), stderr
    by_the_guest = [
        line for line in stderr.splitlines() if not line.startswith(("WARNING", f"{Path(guest).name} exited"))
    ]
    assert re.search(reason, " ".join(by_the_guest)), stderr


@pytest.mark.parametrize("language", ["c", "python"])
def test_a_change_of_a_watched_guest_shows(project, language):
    directory, _ = project(language)
    [source] = [directory / name for name in ("main.c", "guest/app.py") if (directory / name).exists()]
    command = ["make", "watch", "ARGS=1 2 3 4"]
    with subprocess.Popen(
        command, cwd=directory, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        end = partial(os.killpg, process.pid, signal.SIGKILL)
        timer = threading.Timer(200, end)
        timer.start()
        try:
            lines = (line for line in process.stdout if line.startswith("probabilities"))
            assert next(lines) == ANSWER
            source.write_text(source.read_text().replace(".4f", ".1f"))
            assert next(line for line in lines if line != ANSWER) == "probabilities: FP32 [4] 0.0 0.1 0.2 0.6\n"
        finally:
            timer.cancel()
            end()


@pytest.mark.parametrize("language", languages())
def test_the_page_of_a_language_uses_its_template(language):
    template = read_template(language, "hello")
    *steps, last = walkthrough(language)
    assert template.build in " && ".join(step.command for step in steps)
    assert last.command == f"wasi-nn-torch run --graph model=model.pt2 {template.guest} 1 2 3 4"
    assert last.shown == ANSWER


# --- what a new pipeline does ---


WITH_PIPELINES = [language for language in languages() if PIPELINE in kinds(language)]


@pytest.fixture(scope="module", params=WITH_PIPELINES)
def pipeline(request, tmp_path_factory):
    """The directory of a new pipeline that is built and served, and where the server listens."""
    directory = tmp_path_factory.mktemp("new") / "best"
    assert new(directory, "--language", request.param, "--kind", "pipeline").exit_code == 0
    environment = environment_for(read_template(request.param, "best", PIPELINE))
    assert_made("make guest.wasm model.pt2", directory, environment)
    with Engine("cpu") as engine:
        engine.register("model", directory / "model.pt2")
        guest = engine.compile(directory / "guest.wasm", optimize=False)
        models = create_app(engine, pipelines={"best": PipelineSettings(guest, concurrency=1)})
        with served(models) as at:
            yield directory, at
        models.close()


def curl(path, directory, *options):
    command = ["curl", "--silent", "--show-error", path, *options]
    return json.loads(subprocess.run(command, cwd=directory, capture_output=True, check=True, timeout=60).stdout)


def ask(pipeline, scores):
    directory, at = pipeline
    inputs = [{"name": "scores", "shape": [len(scores)], "datatype": "FP32", "data": scores}]
    return curl(f"{at}/v2/models/best/infer", directory, "-d", json.dumps({"inputs": inputs}))


def test_a_new_pipeline_is_built_and_answers_as_its_readme_says(pipeline):
    directory, at = pipeline
    [asked] = re.findall(r"^    (curl .*\\\n.*)$", (directory / "README.md").read_text(), re.MULTILINE)
    outputs = json.loads(assert_made(asked.replace("localhost:8080", at), directory, ENVIRONMENT))["outputs"]
    assert [(each["name"], each["datatype"], each["shape"]) for each in outputs] == [
        ("probabilities", "FP32", [4]),
        ("best", "INT64", [1]),
    ]
    assert outputs[0]["data"] == pytest.approx([0.0321, 0.0871, 0.2369, 0.6439], abs=1e-4)
    assert outputs[1]["data"] == [3]


def test_make_asks_a_new_pipeline(pipeline):
    directory, at = pipeline
    printed = assert_made(f"make --silent ask PORT={at.split(':')[1]}", directory, ENVIRONMENT)
    assert json.loads(printed)["outputs"][1]["data"] == [3]


def test_a_new_pipeline_describes_itself(pipeline):
    directory, at = pipeline
    assert curl(f"{at}/v2/models/best", directory)["inputs"] == [{"name": "scores", "datatype": "FP32", "shape": [-1]}]


@pytest.mark.parametrize(
    ("scores", "reason"),
    [([], "there are no scores; give at least one"), ([1.0] * 1001, "the inputs do not match the model: .*1000")],
    ids=["no scores", "too many scores"],
)
def test_a_new_pipeline_refuses_what_its_model_does_not_take(pipeline, scores, reason):
    assert re.match(reason, ask(pipeline, scores)["error"])
    assert ask(pipeline, [2.0, 1.0])["outputs"][1]["data"] == [0]


# --- the Python of a new guest ---


class Echo(nn.Module):
    def forward(self, x):
        return {"y": x}


def test_the_helpers_of_a_new_guest_in_python(project, tmp_path):
    """Its loader runs any source, without a build: here `tests/guests/tensors`."""
    directory, _ = project("python")
    assert_made("make --silent build/dev.wasm", directory, environment_for(read_template("python", "hello")))
    for source in [*(directory / "guest").glob("[mt]*.py"), *(ROOT / "tests/guests/tensors").glob("*.py")]:
        shutil.copy(source, tmp_path)
    output = []
    with Engine("cpu") as engine:
        engine.register("echo", Echo(), optimize="none")
        loader = engine.compile(directory / "build" / "dev.wasm", optimize=False)
        with engine.session(dirs={str(tmp_path): "guest"}, stdout=output.append) as session:
            status = session.run(loader)
    *passed, with_too_many, without_a_model = b"".join(output).decode().splitlines()
    assert status == 0
    assert len(passed) > 5
    code, data, text = with_too_many.split("|")
    assert code == "invalid-argument"
    assert "more" in data
    assert text == f"{code}: {data}"
    assert without_a_model.startswith("not-found: there is no graph `ech`; this host offers `echo`")


# --- what is written ---


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
