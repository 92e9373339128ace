"""Type checkers, run on texts as on modules of the checkout."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.conftest import ROOT

#: The options of each checker, at its strictest. mypy takes a text for another one of the same second and size.
CHECKERS = {
    "mypy": ["--strict", "--cache-dir=/dev/null", "--output=json"],
    "pyright": ["--pythonpath", sys.executable, "--outputjson"],
}


def errors(checker: str, directory: Path, texts: Mapping[str, str]) -> dict[str, str]:
    """What a checker says against each of these texts, by their names; empty if it finds nothing in a text.

    They are modules of these names in `directory`, of which the checker is started once for all.
    """
    strict = "# pyright: strict\n" if checker == "pyright" else ""
    for name, text in texts.items():
        (directory / f"{name}.py").write_text(strict + text)
    command = [sys.executable, "-m", checker, *CHECKERS[checker], *(str(directory / f"{name}.py") for name in texts)]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300, cwd=ROOT)
    assert result.returncode in (0, 1), result.stdout + result.stderr
    found = {name: [] for name in texts}
    for file, message in (_of_mypy if checker == "mypy" else _of_pyright)(result.stdout):
        found[Path(file).stem].append(message)
    assert bool(result.returncode) == any(found.values()), result.stdout + result.stderr
    return {name: "\n".join(messages) for name, messages in found.items()}


def _of_mypy(output: str) -> list[tuple[str, str]]:
    reports = map(json.loads, output.splitlines())
    return [(each["file"], f"{each['message']}\n{each['hint'] or ''}") for each in reports]  # it puts names into hints


def _of_pyright(output: str) -> list[tuple[str, str]]:
    reports = json.loads(output)["generalDiagnostics"]
    return [(each["file"], each["message"]) for each in reports if each["severity"] == "error"]
