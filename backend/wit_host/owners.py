"""Whether another user can change a file, or put another one in its place.

In: paths, and the status of files. Out: the reason why a file cannot be trusted.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

#: The most symbolic links that are followed; Linux follows as many.
_MOST_LINKS = 40
#: The owner of the system's files.
_ROOT = 0


def why_foreign(status: os.stat_result) -> str:
    """Return why another user may have written the file with this status; empty if none can have."""
    if os.name != "posix":
        return ""  # access control lists protect the user's directories there
    if status.st_uid != os.geteuid():
        return "it belongs to another user"
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return "other users can write to it"
    return ""


def why_replaceable(path: Path) -> str:
    """Return why another user could put another file in the place of `path`; empty if none can.

    Every directory and every symbolic link on the way to it counts, as far as the way exists. Raises OSError if the way
    cannot be followed.
    """
    if os.name != "posix":
        return ""
    for place, status in _way(path.absolute()):
        if status.st_uid not in (os.geteuid(), _ROOT):
            return f"{place} belongs to another user"
        # In a directory with the sticky bit, only the owner of an entry can replace it.
        if stat.S_ISDIR(status.st_mode) and _is_open(status.st_mode) and not status.st_mode & stat.S_ISVTX:
            return f"other users can write to {place}"
    return ""


def _is_open(mode: int) -> bool:
    return bool(mode & (stat.S_IWGRP | stat.S_IWOTH))


def _way(path: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Yield the directories and links that lead to `path`, and their status; not `path` itself, unless it is a link."""
    here, rest, links = Path(path.anchor), list(reversed(path.parts[1:])), 0
    while rest:
        yield here, here.lstat()
        step = here / rest.pop()
        if step.name == "..":
            here = here.parent  # `here` has no links in it
            continue
        try:
            status = step.lstat()
        except FileNotFoundError:
            return
        if not stat.S_ISLNK(status.st_mode):
            here = step
            continue
        yield step, status
        links += 1
        if links > _MOST_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
        target = Path(os.readlink(step))
        if target.is_absolute():
            here = Path(target.anchor)
        rest.extend(reversed(target.parts[1:] if target.is_absolute() else target.parts))
