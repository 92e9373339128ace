"""Waiting for changes of WIT.

In: the paths of files, and a function that uses them. Out: it is called again whenever one of them changes. A few
times a second the files are looked at, which costs little for so few of them, and works on every file system, for files
that are replaced, and for those that are new.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from stat import S_ISDIR
from typing import NoReturn

_SUFFIXES = (".wit", ".wasm", ".wat")
_PLACES = ("*", "deps/*", "deps/*/*")
_INTERVAL = 0.2  # seconds

#: For each file its time of change in nanoseconds, its size, and its number in the file system.
Snapshot = dict[Path, tuple[int, int, int]]

Wait = Callable[[float], None]


def watch(paths: Callable[[], Sequence[Path]], run: Callable[[], None], wait: Wait = time.sleep) -> NoReturn:
    """Call `run` now and after each change of the files and directories that `paths` returns; ends by an exception.

    Files that are being written are waited for. `wait` is called between looks.
    """
    while True:
        before = snapshot(paths())
        run()
        while (now := snapshot(paths())) == before:
            wait(_INTERVAL)
        while now != before:  # until it stays the same
            wait(_INTERVAL)
            before, now = now, snapshot(paths())


def snapshot(paths: Iterable[Path]) -> Snapshot:
    """The state of files, and of the WIT in directories and their `deps/`."""
    found: Snapshot = {}
    for path in paths:
        inside = (file for pattern in _PLACES for file in path.glob(pattern) if file.suffix in _SUFFIXES)
        for file in (path, *inside):
            try:
                stat = file.stat()
            except OSError:  # it is gone, or cannot be read, which is a state as well
                continue
            if not S_ISDIR(stat.st_mode):
                found[file] = stat.st_mtime_ns, stat.st_size, stat.st_ino
    return found
