"""Processes as `/proc` shows them."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_PROC = Path("/proc")


def descendants(pid: int) -> list[int]:
    """The processes that a process started, and those that these started, without zombies."""
    found, rest = [], [pid]
    while rest:
        children = _children(rest.pop())
        found += children
        rest += children
    return found


def resident(pid: int) -> int:
    """The memory that a process has, in bytes; 0 if it is gone."""
    try:
        return int((_PROC / str(pid) / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (FileNotFoundError, ProcessLookupError):
        return 0


def descriptors(pid: int) -> int:
    """The number of open descriptors of a process."""
    return len(os.listdir(_PROC / str(pid) / "fd"))


def workers(pid: int) -> list[int]:
    """The processes that the server of workers of a process has made."""
    return [worker for child in _children(pid) for worker in _children(child)]


class Peak:
    """How much memory workers took beyond what they started with, in bytes."""

    growth = 0


@contextmanager
def peak_of_workers() -> Iterator[Peak]:
    """Watch the workers of this process in a thread."""
    peak, ends, first = Peak(), threading.Event(), dict[int, int]()

    def watch() -> None:
        while not ends.wait(0.005):
            for worker in workers(os.getpid()):
                now = resident(worker)
                peak.growth = max(peak.growth, now - first.setdefault(worker, now))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peak
    finally:
        ends.set()
        thread.join()


def _children(pid: int) -> list[int]:
    """The processes that threads of a process started, without zombies."""
    found = []
    for path in (_PROC / str(pid) / "task").glob("*/children"):
        with suppress(FileNotFoundError, ProcessLookupError):
            found += [int(child) for child in path.read_text().split()]
    return [child for child in found if _state(child) not in ("Z", "")]


def _state(pid: int) -> str:
    try:
        return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""
