"""Guests and pipelines of `wasi-nn-torch new`, built and run as a user would."""

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
from tests.wasi_nn_torch.cli.test_new import ANSWER, WITH_PIPELINES, new
from tests.wasi_nn_torch.helpers.guides import walkthrough
from tests.wasi_nn_torch.helpers.serving import served
from tests.wasi_nn_torch.helpers.toolchains import ENVIRONMENT, environment_for, guest_of, shell
from wasi_nn_torch import Engine
from wasi_nn_torch.cli import app
from wasi_nn_torch.cli.new.templates import PIPELINE, languages, read_template
from wasi_nn_torch.http import PipelineSettings, create_app

# Processes of their own see no simulated accelerator.
pytestmark = [pytest.mark.cpu, pytest.mark.slow]


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


# --- what a new pipeline does ---


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
