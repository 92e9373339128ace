"""The two distributions: what their wheels hold and require, and that the one without PyTorch works by itself."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import venv
import zipfile
from email import message_from_bytes
from importlib import metadata
from itertools import product
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.conftest import ROOT
from tests.guests.forward import forwarding_guest

SOURCES = {"wit-host": ROOT / "codegen", "wasi-nn-torch": ROOT}
PACKAGES = {
    "wit-host": {"witgen", "wit_host", "wasi_host", "wasi_bindings", "wasi_http_bindings"},
    "wasi-nn-torch": {"wasi_nn_bindings", "wasi_nn_torch"},
}


def run(*command, cwd=ROOT):
    result = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False, timeout=300, cwd=cwd)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def build(source, folder, *options):
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, *options, source)
    [wheel] = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def wheels(tmp_path_factory):
    """The wheel of each distribution, built from its sdist as for a release."""
    folder = tmp_path_factory.mktemp("wheels")
    return {name: build(source, folder / name) for name, source in SOURCES.items()}


def contents(wheel):
    """The files of a wheel, without the list of them."""
    with zipfile.ZipFile(wheel) as file:
        return {path: file.read(path) for path in file.namelist() if not path.endswith(".dist-info/RECORD")}


def required(wheel):
    """The requirements of a wheel."""
    [text] = [content for path, content in contents(wheel).items() if path.endswith(".dist-info/METADATA")]
    return [Requirement(line) for line in message_from_bytes(text).get_all("Requires-Dist")]


# --- the wheels ---


@pytest.mark.parametrize("name", SOURCES)
def test_a_wheel_holds_its_packages_with_their_types(wheels, name):
    paths = contents(wheels[name])
    tops = {path.partition("/")[0] for path in paths}
    assert {top for top in tops if not top.endswith(".dist-info")} == PACKAGES[name]
    assert {f"{package}/py.typed" for package in PACKAGES[name]} <= set(paths)


@pytest.mark.parametrize("name", SOURCES)
def test_a_wheel_holds_the_license(wheels, name):
    [text] = [content for path, content in contents(wheels[name]).items() if path.endswith("/licenses/LICENSE")]
    assert text == (ROOT / "LICENSE").read_bytes()


def test_the_wheels_have_no_file_in_common(wheels):
    first, second = map(contents, wheels.values())
    assert not set(first) & set(second)


@pytest.mark.parametrize("name", SOURCES)
def test_a_wheel_that_is_built_in_the_checkout_has_the_same_bytes(wheels, name, tmp_path):
    assert contents(build(SOURCES[name], tmp_path, "--wheel")) == contents(wheels[name])


def test_the_code_generator_has_its_grammar_and_templates(wheels):
    templates = {"witgen/templates/module.jinja", "witgen/templates/types/record.jinja"}
    assert {"witgen/grammar.lark", *templates} <= set(contents(wheels["wit-host"]))


def test_the_backend_has_every_template_of_a_guest(wheels):
    place = ROOT / "backend" / "wasi_nn_torch" / "cli" / "new"
    paths = [path for path in place.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    files = {path.relative_to(ROOT / "backend").as_posix() for path in paths}
    assert "wasi_nn_torch/cli/new/templates/python/shared/gitignore" in files
    assert files <= set(contents(wheels["wasi-nn-torch"]))


def test_the_backend_requires_exactly_the_version_that_it_is_made_with(wheels):
    [locked] = [each for each in required(wheels["wasi-nn-torch"]) if each.name == "wit-host" and not each.marker]
    own, other = (wheel.name.split("-")[1] for wheel in wheels.values())
    assert own == other
    assert str(locked) == f"wit-host=={own}"


def test_running_guests_requires_wasmtime_and_nothing_else(wheels):
    assert [each.name for each in required(wheels["wit-host"]) if not each.marker] == ["wasmtime"]


# --- both installed ---


@pytest.fixture(scope="module")
def installed(wheels, tmp_path_factory):
    """The wheels, unpacked as an installer would; what they depend on comes from this environment."""
    folder = tmp_path_factory.mktemp("installed")
    run(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", folder, *wheels.values())
    return folder


def program(installed, module, *arguments, cwd=ROOT):
    """Call a program of theirs."""
    code = (
        f"import sys; sys.path.insert(0, {str(installed)!r}); import {module} as it; "
        f"assert it.__file__.startswith({str(installed)!r}), it.__file__; it.main()"
    )
    return run(sys.executable, "-c", code, *arguments, cwd=cwd)


def test_a_new_guest_is_written(installed, tmp_path):
    program(installed, "wasi_nn_torch.cli", "new", tmp_path / "mine", cwd=tmp_path)
    assert (tmp_path / "mine" / "guest" / "app.py").exists()
    assert (tmp_path / "mine" / "wit" / "deps" / "wasi-nn-2024-10-28" / "nn.wit").exists()


def test_bindings_are_generated(installed, tmp_path):
    program(installed, "witgen.__main__", "generate", ROOT / "wit" / "2024-10-28", "--out", tmp_path / "bindings")
    committed = ROOT / "generated" / "wasi_nn_bindings" / "v2024_10_28"
    for path in committed.glob("*.py"):
        assert (tmp_path / "bindings" / path.name).read_text() == path.read_text()


def test_a_guest_runs(installed, probe_file):
    assert program(installed, "wasi_nn_torch.cli", "run", probe_file, "speak", "hello") == "hello\n"


def test_the_wit_files_are_there(installed, tmp_path):
    lines = program(installed, "wasi_nn_torch.cli", "wit", cwd=tmp_path).splitlines()
    assert {line.partition(": ")[2].startswith(str(installed)) for line in lines} == {True}
    program(installed, "wasi_nn_torch.cli", "wit", "--out", tmp_path / "wit", cwd=tmp_path)
    for file in (ROOT / "wit").glob("*/nn.wit"):
        copy = tmp_path / "wit" / "deps" / f"wasi-nn-{file.parent.name}" / "nn.wit"
        assert copy.read_bytes() == file.read_bytes()
    pipeline = installed / "wasi_nn_torch" / "wit" / "pipeline" / "pipeline.wit"
    assert pipeline.read_bytes() == (ROOT / "wit" / "pipeline" / "pipeline.wit").read_bytes()


# --- without PyTorch ---

README = (ROOT / "codegen" / "README.md").read_text(encoding="utf-8")


def block(language):
    """The block of code in the README of wit-host."""
    [text] = re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    return text


def environment(folder, wheel, *extras):
    """Make an environment with a wheel and what it requires, linked from this one, and return its programs."""
    venv.create(folder, symlinks=os.name != "nt")
    programs = folder / ("Scripts" if os.name == "nt" else "bin")
    python = programs / "python"
    run(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index", wheel)
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    for distribution in closure(required(wheel), extras):
        for file in distribution.files:
            (site / file).parent.mkdir(parents=True, exist_ok=True)
            (site / file).symlink_to(file.locate())
    return programs


def closure(requirements, extras):
    """The installed distributions that are required, and those that these require."""
    found, waiting = {}, [(each, extras) for each in requirements]
    while waiting:
        requirement, wanted = waiting.pop()
        if requirement.marker and not any(requirement.marker.evaluate({"extra": extra}) for extra in ("", *wanted)):
            continue
        distribution = metadata.distribution(requirement.name)
        if distribution.name not in found:
            found[distribution.name] = distribution
            waiting += product(map(Requirement, distribution.requires or ()), [tuple(requirement.extras)])
    return found.values()


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A directory with the WIT of the README and a guest."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "hello.wit").write_text(block("wit"))
    (folder / "guest.wasm").write_bytes(forwarding_guest(block("wit")))
    return folder


@pytest.fixture(scope="module")
def generating(wheels, project):
    """The programs of an environment with the extra `codegen`."""
    return environment(project / "generating", wheels["wit-host"], "codegen")


@pytest.fixture(scope="module")
def running(wheels, project):
    """The programs of an environment without it."""
    return environment(project / "running", wheels["wit-host"])


def test_the_code_generator_has_the_version_of_its_distribution(wheels, generating):
    assert run(generating / "witgen", "--version") == f"witgen {wheels['wit-host'].name.split('-')[1]}\n"


@pytest.mark.parametrize("source", ["hello.wit", "guest.wasm"])
def test_a_component_runs_on_bindings_as_the_readme_shows(project, generating, running, source):
    run(generating / "witgen", "generate", source, "--out", "greeting", cwd=project)
    assert run(running / "python", "-c", block("python"), "guest.wasm", cwd=project) == "hello Ada, 36\n"


@pytest.mark.parametrize("name", ["torch", "wasi_nn_torch", "wasi_nn_bindings", "typer"])
def test_nothing_else_is_there(running, name):
    result = subprocess.run([running / "python", "-c", f"import {name}"], capture_output=True, text=True, check=False)
    assert result.stderr.splitlines()[-1] == f"ModuleNotFoundError: No module named '{name}'"


def test_wasi_in_python_is_there(running):
    run(running / "python", "-c", "import wasi_host; wasi_host.World()")


def test_without_its_extra_the_code_generator_says_what_to_install(running):
    result = subprocess.run([running / "witgen", "--version"], capture_output=True, text=True, check=False)
    needed = "jinja2, lark, platformdirs, ruff, typer"
    assert result.returncode == 2
    assert result.stderr == f"error: {needed} missing; run `pip install 'wit-host[codegen]'`\n"
