"""The hooks for pre-commit, run by it in a project with bindings."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

PROJECT = '[[tool.witgen.packages]]\nwit = "a.wit"\nout = "bindings"\n'
WIT = "package a:b; interface i { f: func(); } world w { import i; }"


def run(folder, *command):
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    settings = {"PATH": path, "PRE_COMMIT_HOME": str(folder / ".cache"), "GIT_CONFIG_GLOBAL": os.devnull}
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, timeout=120, env={**os.environ, **settings}
    )


def commit(folder):
    run(folder, "git", "add", "--all")
    author = ["-c", "user.name=test", "-c", "user.email=test@example.com"]
    assert run(folder, "git", *author, "commit", "--quiet", "--no-verify", "--message", "all").returncode == 0


@pytest.fixture
def project(tmp_path):
    """A repository with bindings that are up to date, and a repository with the hooks."""
    if shutil.which("git") is None:
        pytest.skip("pre-commit needs git, which is not on the path")
    hooks, project = tmp_path / "hooks", tmp_path / "project"
    for folder in (hooks, project):
        folder.mkdir()
        assert run(folder, "git", "init", "--quiet").returncode == 0
    shutil.copy(ROOT / ".pre-commit-hooks.yaml", hooks)
    commit(hooks)
    (project / "pyproject.toml").write_text(PROJECT)
    (project / "a.wit").write_text(WIT)
    (project / ".gitignore").write_text(".cache\n")
    assert run(project, "witgen", "generate").returncode == 0
    commit(project)
    return project


def hook(project, name):
    return run(
        project, sys.executable, "-m", "pre_commit", "try-repo", str(project.parent / "hooks"), name, "--all-files"
    )


def test_stale_bindings_fail_the_check(project):
    assert hook(project, "witgen-check").returncode == 0
    (project / "a.wit").write_text(WIT.replace("f:", "g:"))
    result = hook(project, "witgen-check")
    assert result.returncode == 1
    assert "error: bindings is stale; run `witgen generate a.wit --out bindings`" in result.stdout


def test_the_other_hook_writes_them_and_fails_once(project):
    (project / "a.wit").write_text(WIT.replace("f:", "g:"))
    assert hook(project, "witgen-generate").returncode == 1, "files were modified by this hook"
    assert "def g(self)" in (project / "bindings/i.py").read_text()
    assert hook(project, "witgen-generate").returncode == 0
