"""The command of a Python that has imported PyTorch."""

from __future__ import annotations

import atexit
import functools
import os
import subprocess
import sys
import tempfile
from pathlib import Path

_HERE = Path(__file__).parent


@functools.cache
def python() -> tuple[str, ...]:
    """What to write for `sys.executable` in the command of a process that computes with PyTorch.

    It takes `-c`, `-m` and the path of a program, after any number of `-W`. The process has the working directory, the
    environment and the standard streams that it is given, and the signals that can be caught reach it. It is not for a
    test of what is imported, of limits that the system sets, or of the process as the system sees it: its identity, its
    memory, its children; nor for variables that PyTorch reads when it is imported.
    """
    if not hasattr(os, "pidfd_open"):  # not Linux
        return (sys.executable,)
    folder = tempfile.TemporaryDirectory(prefix="warm-")
    address = str(Path(folder.name, "socket"))
    server = subprocess.Popen(
        [sys.executable, "-W", "ignore", str(_HERE / "server.py"), address],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def end() -> None:
        server.communicate()  # it ends with its standard input
        folder.cleanup()

    atexit.register(end)
    assert server.stdout is not None
    if server.stdout.readline() != "ready\n":
        raise RuntimeError("the process that imports PyTorch for others has failed; its standard error says why")
    return sys.executable, "-I", "-S", str(_HERE / "client.py"), address
