"""Code that runs in a process of its own, because it may end that process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

#: Since 3.12 Python warns of `fork` in a process with several threads, such as those of Wasmtime.
_FORKS = "ignore:This process:DeprecationWarning"
#: Since 2.15 PyTorch warns everybody of TorchScript, which models in tests are made with.
_SCRIPTS = "ignore:`torch.jit:FutureWarning"


def in_a_process(code, *arguments, python=(sys.executable,), timeout=120):
    """Run `code`, which prints "fine" in the end, by the command `python`."""
    done = subprocess.run(
        [*python, "-W", _FORKS, "-W", _SCRIPTS, "-c", code, *arguments],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        cwd=Path(__file__).parents[3],
    )
    assert done.stderr == ""
    assert (done.returncode, done.stdout) == (0, "fine\n")
