"""Type checkers, run on a text as on a module of the checkout."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT

#: The options of each checker, at its strictest. mypy takes a text for another one of the same second and size.
CHECKERS = {"mypy": ["--strict", "--cache-dir=/dev/null"], "pyright": ["--pythonpath", sys.executable]}


def checked(checker: str, directory: Path, text: str) -> subprocess.CompletedProcess[str]:
    """Run a checker on a module of this text, which is written to `directory`."""
    path = directory / "module.py"
    strict = "# pyright: strict\n" if checker == "pyright" else ""
    path.write_text(strict + text)
    command = [sys.executable, "-m", checker, *CHECKERS[checker], str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300, cwd=ROOT)
