"""`wasi-nn-torch new`: the project of a guest, built and run as its user would."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig

import pytest
from typer.testing import CliRunner

from tests.conftest import ROOT
from wasi_nn_torch.cli import app
from wasi_nn_torch.cli.new.templates import languages, read_template

# Processes of their own see no simulated accelerator.
pytestmark = pytest.mark.cpu

SCRIPTS = sysconfig.get_path("scripts")
#: What `make test` has installed for guests in C.
ZIG = ROOT / "build" / "c"
#: What a user has: this environment is active.
ENVIRONMENT = {
    **os.environ,
    "PATH": os.pathsep.join([SCRIPTS, os.environ["PATH"], str(ZIG / "bin")]),
    "ZIG_GLOBAL_CACHE_DIR": str(ZIG / "cache"),
}
ANSWER = "probabilities: FP32 [4] 0.0321 0.0871 0.2369 0.6439\n"


def new(*arguments):
    return CliRunner().invoke(app, ["new", *map(str, arguments)])


def shell(command, directory):
    return subprocess.run(
        command, shell=True, cwd=directory, env=ENVIRONMENT, capture_output=True, text=True, timeout=300, check=False
    )


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """The directory of a new guest in a language, which is built once."""
    projects = {}

    def build(language):
        template = read_template(language, "try-it")
        missing = [program for program in template.needs if shell(f"command -v {program}", ".").returncode]
        if missing:
            pytest.skip(f"no {' and no '.join(missing)} on this machine, which guests in {language} are built with")
        if language not in projects:
            directory = tmp_path_factory.mktemp(language) / "try-it"
            assert new(directory, "--language", language).exit_code == 0
            done = shell(f"{sys.executable} export_model.py && {template.build}", directory)
            assert done.returncode == 0, done.stdout + done.stderr
            projects[language] = directory
        return projects[language], template.guest

    return build


@pytest.mark.parametrize("language", languages())
def test_a_new_guest_is_built_by_its_own_command_and_computes_a_model(project, language):
    directory, guest = project(language)
    done = shell(f"wasi-nn-torch run --graph model=model.pt2 {guest} 1 2 3 4", directory)
    assert (done.returncode, done.stdout) == (0, ANSWER), done.stderr


@pytest.mark.parametrize("language", languages())
def test_a_new_guest_prints_the_errors_that_it_is_given_and_fails(project, language):
    directory, guest = project(language)
    done = shell(f"wasi-nn-torch run --graph other=model.pt2 {guest} 1 2 3 4", directory)
    assert (done.returncode, done.stdout) == (1, ""), done.stderr
    by_the_guest = [line for line in done.stderr.splitlines() if not line.startswith(("WARNING", f"{guest} exited"))]
    assert re.search("not.found", " ".join(by_the_guest)), done.stderr


def test_the_help_lists_the_languages():
    assert f"The language of the guest: {', '.join(languages())}" in " ".join(new("--help").stdout.split())
