"""Building the simulated accelerator: once for each content of its source, PyTorch, Python and compiler."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

SOURCE = Path(__file__).parent
ROOT = SOURCE.parent.parent
CACHE = ROOT / "build" / "tests" / "simulated"


class NoCompiler(Exception):
    """There is no C++ compiler on this machine."""


def build(cache: Path = CACHE) -> Path:
    """The library, built unless it is there already; several processes may do so at once.

    Raises NoCompiler, and RuntimeError with what the compiler says where it refuses the source.
    """
    command = _command(_compiler())
    library = cache / _key(command) / "device.so"
    if not library.exists():
        library.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=library.parent) as folder:
            made = Path(folder) / library.name
            result = subprocess.run([*command, "-o", str(made)], capture_output=True, text=True, check=False)
            if result.returncode != 0:
                raise RuntimeError(f"the simulated accelerator does not compile:\n{result.stderr}")
            made.replace(library)
    os.utime(library)
    return library


def newest(cache: Path = CACHE) -> Path:
    """The library that was used last, for a process that has no environment to find the compiler in."""
    return max(cache.glob("*/device.so"), key=lambda library: library.stat().st_mtime)


def _compiler() -> str:
    names = [os.environ["CXX"]] if os.environ.get("CXX") else ["g++", "c++", "clang++"]
    for name in names:
        if found := shutil.which(name):
            return found
    raise NoCompiler(f"the simulated accelerator needs a C++ compiler, and there is no {' or '.join(names)} here")


def _command(compiler: str) -> list[str]:
    torch_folder = Path(torch.__file__).parent
    headers = [torch_folder / "include", torch_folder / "include" / "torch" / "csrc" / "api" / "include"]
    libraries = ["-undefined", "dynamic_lookup"] if sys.platform == "darwin" else ["-ltorch_cpu", "-lc10"]
    return [
        compiler, "-std=c++20", "-O1", "-shared", "-fPIC",
        f"-D_GLIBCXX_USE_CXX11_ABI={int(torch.compiled_with_cxx11_abi())}",
        *(option for folder in headers for option in ("-isystem", str(folder))),
        str(SOURCE / "device.cpp"), f"-L{torch_folder / 'lib'}", *libraries,
    ]  # fmt: skip


def _key(command: list[str]) -> str:
    version = subprocess.run([command[0], "--version"], capture_output=True, text=True, check=True).stdout
    sources = sorted([*SOURCE.glob("*.h"), *SOURCE.glob("*.cpp")])
    parts = [sys.version, torch.__version__, version, *command, *(file.read_text("utf-8") for file in sources)]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
