"""What the child of a fork lacks: threads of the engine, without which it would wait for ever instead of working.

The engine starts them when they are first needed: those that serve WASI for output, files and time, and those that
compile guests. A fork leaves them in the parent, and the engine cannot start them again.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_TASKS = Path("/proc/self/task")
#: What the threads that serve WASI are called, cut to the length that the system keeps.
_WASI_THREAD = "tokio-"


@dataclass
class _Process:
    """What this process has used so far, and what it lacks since it was forked."""

    uses_wasi: bool = False
    compiles: bool = False
    #: As it was when this process forked last.
    served_wasi: bool = False
    lacks_wasi: bool = False
    lacks_compiler: bool = False


_process = _Process()


def use_wasi() -> None:
    """Say that a guest with WASI begins; raises RuntimeError in a process where it could wait for ever."""
    if _process.lacks_wasi:
        raise RuntimeError(
            "this process was forked after guests had used WASI, whose threads stayed in the parent, so that a guest "
            "would wait for them for ever; fork before the first guest runs, or use the start method `spawn` or "
            "`forkserver` of multiprocessing"
        )
    _process.uses_wasi = True


def use_compiler() -> None:
    """Say that this process compiles a guest; raises RuntimeError if it would wait for ever."""
    if _process.lacks_compiler:
        raise RuntimeError(
            "this process was forked after guests had been compiled in it, whose threads stayed in the parent, so that "
            "compiling would wait for them for ever; compile all guests before the fork, or fork before the first one"
        )
    _process.compiles = True


def _before_fork() -> None:
    _process.served_wasi = _process.uses_wasi and _serves_wasi()


def _after_fork() -> None:
    _process.lacks_wasi = _process.lacks_wasi or _process.served_wasi
    _process.lacks_compiler = _process.lacks_compiler or _process.compiles


def _serves_wasi() -> bool:
    """Whether the threads that serve WASI exist, which is not known on systems other than Linux."""
    if not _TASKS.exists():
        return True
    for task in _TASKS.iterdir():
        with suppress(OSError):  # it has ended meanwhile
            if (task / "comm").read_text().startswith(_WASI_THREAD):
                return True
    return False


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_child=_after_fork)
