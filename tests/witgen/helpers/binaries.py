"""Binaries of WIT: packages, core modules and components, made by `wasm-tools`.

In: a path to WIT. Out: the bytes that `wasm-tools` makes of it, or nothing where it refuses.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.witgen.helpers.wasm_tools import program
from witgen.model import Resolved


def package(wit: Path, features: Sequence[str] = ("--all-features",)) -> bytes | None:
    """The package in its binary form."""
    return _run("component", "wit", wit, "--wasm", *features)


def core_modules(wit: Path, resolved: Resolved, features: Sequence[str] = ("--all-features",)) -> list[bytes]:
    """For each world a core module that does nothing, but says which world it is for."""
    names = [resolved.packages[world.package].name.of(world.name) for world in resolved.worlds]
    made = [_run("component", "embed", "--dummy", "--world", name, wit, *features) for name in names]
    return [each for each in made if each is not None]


def component(core_module: bytes) -> bytes | None:
    """The component of such a module."""
    with tempfile.NamedTemporaryFile(suffix=".wasm") as file:
        file.write(core_module)
        file.flush()
        return _run("component", "new", file.name)


def text(binary: Path) -> str | None:
    """The WIT of a binary."""
    printed = _run("component", "wit", binary)
    return None if printed is None else printed.decode()


def _run(*arguments: str | Path) -> bytes | None:
    executable = program()
    assert executable is not None
    with tempfile.TemporaryDirectory() as directory:
        out = Path(directory) / "out"
        done = subprocess.run([executable, *arguments, "-o", out], capture_output=True, timeout=60, check=False)
        return out.read_bytes() if done.returncode == 0 else None
