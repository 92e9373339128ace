"""Processes that do one thing each, and the native code that they call."""

import ctypes
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from wasi_nn_torch.workers import kernel

SOURCE = Path(__file__).with_name("attempts.c")
_TEXT, _, _PERMITTED = SOURCE.read_text().partition("what a worker may do")
_ATTEMPT = re.compile(r"^int (\w+)\(const struct aim \*aim\)", re.MULTILINE)
#: What must fail in a worker, and what must not.
REFUSED, PERMITTED = _ATTEMPT.findall(_TEXT), _ATTEMPT.findall(_PERMITTED)


class Aim(ctypes.Structure):
    """What attempts are aimed at: see `struct aim`."""

    _fields_ = [
        ("file", ctypes.c_char_p),
        ("new_file", ctypes.c_char_p),
        ("directory", ctypes.c_char_p),
        ("abstract", ctypes.c_char_p),
        ("path", ctypes.c_char_p),
        ("port", ctypes.c_int),
        ("victim", ctypes.c_int),
    ]


@dataclass(frozen=True)
class Outcome:
    """What a process answered, None if it did not, and its exit code or negative signal."""

    answer: object
    status: int


def in_child(act: Callable[[], object]) -> Outcome:
    """Do something in a process of its own; an exception there is the answer as text."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            answer = act()
        except BaseException as error:  # noqa: BLE001
            answer = f"{type(error).__name__}: {error}"
        os.write(writing, json.dumps(answer).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as answers:
        content = answers.read()
    _, status = os.waitpid(child, 0)
    return Outcome(json.loads(content) if content else None, os.waitstatus_to_exitcode(status))


def without_privileges(restrict: Callable[[], None]) -> None:
    """Take one part of the confinement alone."""
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    restrict()


def compiled(folder: Path) -> ctypes.CDLL:
    """The attempts, compiled and loaded."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler for what native code attempts")
    library = folder / "attempts.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-pthread", "-o", library, SOURCE], check=True)
    return ctypes.CDLL(str(library))
