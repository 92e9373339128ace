"""The tools that guests in other languages are built with: what `make test` has installed, and what the machine has."""

from __future__ import annotations

import os
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

from tests.conftest import ROOT
from wasi_nn_torch.cli.new.templates import Template

SCRIPTS = sysconfig.get_path("scripts")
#: Compilers that `make test` has installed, for C and for JavaScript.
ZIG, NPM = ROOT / "build" / "c", ROOT / "build" / "js" / "node_modules"
#: The target of new guests in Rust, and what Rust before 1.78, such as that of Debian 12, calls it.
WASI, OLD_WASI = "wasm32-wasip1", "wasm32-wasi"

#: What a user has: this environment is active.
ENVIRONMENT = {
    **os.environ,
    "PATH": os.pathsep.join([SCRIPTS, os.environ["PATH"], str(ZIG / "bin"), str(NPM / ".bin")]),
    "ZIG_GLOBAL_CACHE_DIR": str(ZIG / "cache"),
}


def shell(command: str, directory: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a command in a directory, as a user does."""
    return subprocess.run(
        command, shell=True, cwd=directory, env=environment, capture_output=True, text=True, timeout=300, check=False
    )


def environment_for(template: Template) -> dict[str, str]:
    """The environment to build and run a guest in; without its tools, the test is skipped, with the reason."""
    needs = [*template.needs, "componentize-js"] if template.language == "js" else template.needs
    missing = [name for name in needs if shutil.which(name, path=ENVIRONMENT["PATH"]) is None]
    if missing:
        tools = " and no ".join(missing)
        install = "; `make build/js/ready` installs it, with npm" if template.language == "js" else ""
        pytest.skip(f"no {tools} on this machine, which guests in {template.language} are built with{install}")
    return ENVIRONMENT | _rust() if template.language == "rust" else ENVIRONMENT


def guest_of(template: Template, environment: dict[str, str]) -> str:
    """The path of the guest that was built."""
    return template.guest.replace(WASI, environment.get("CARGO_BUILD_TARGET", WASI))


def _rust() -> dict[str, str]:
    """The variables for a Rust that can compile to WASI: the user's own, or Debian's beside it."""
    for directory, target in ((None, WASI), ("/usr/bin", WASI), ("/usr/bin", OLD_WASI)):
        path = ENVIRONMENT["PATH"] if directory is None else os.pathsep.join([directory, ENVIRONMENT["PATH"]])
        if _has_target(path, target):
            return {"PATH": path, "CARGO_BUILD_TARGET": target}
    pytest.skip(
        f"Rust cannot compile to {WASI} on this machine; run `rustup target add {WASI}`, or on Debian `apt-get install "
        "cargo libstd-rust-dev-wasm32 lld`"
    )


def _has_target(path: str, target: str) -> bool:
    """Whether the standard library for a target is there."""
    rustc = shutil.which("rustc", path=path)
    if rustc is None:
        return False
    command = [rustc, "--print", "target-libdir", "--target", target]
    asked = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return asked.returncode == 0 and Path(asked.stdout.strip()).is_dir()
