"""Paths of guests, followed step by step, so that none leads out of the directory that it begins at.

In: an open directory and a path from a guest. Out: the directory that its last name is in, and the name. The system
never gets a path with several names, nor `..`: each step opens one name in one open directory without following links,
links are read and followed here, and `..` goes back to a directory that was opened before. So it does not matter what
else changes the files meanwhile.
"""

from __future__ import annotations

import errno
import os
from collections import deque
from dataclasses import dataclass
from typing import Generic, NamedTuple, Protocol, Self, TypeVar

#: The most bytes of a path, and of one name, as on Linux.
LONGEST_PATH, LONGEST_NAME = 4096, 255
#: The most links that are followed for one path, as on Linux.
_MOST_LINKS = 40
#: The most directories that one path leads through, each of which is open meanwhile.
_DEEPEST = 128


class Walked(Protocol):
    """An open directory."""

    def share(self) -> Self:
        """Return itself, to be closed once more."""
        ...

    def close(self) -> None:
        """Release it."""
        ...

    def child(self, name: str) -> Self:
        """Open a directory in it, without following links; raises OSError."""
        ...

    def link(self, name: str) -> str | None:
        """Return where the link `name` leads, or None if it is no link; raises OSError."""
        ...


D = TypeVar("D", bound=Walked)


@dataclass(frozen=True)
class Place(Generic[D]):
    """A name in an open directory, or the directory itself, if `name` is None; close it with `with`.

    `depth` is the number of directories that the path led through.
    """

    directory: D
    name: str | None
    depth: int
    must_be_directory: bool = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.directory.close()


class Path(NamedTuple):
    """The names of a path, without `.`; paths that end with `/` or `.` are of directories.

    One that `ends_inside`, with `.` after other names, is the directory itself, which nobody can call by this name.
    """

    names: list[str]
    is_directory: bool
    ends_inside: bool = False

    @property
    def steps(self) -> list[str]:
        """The names, and `.` if the path ends inside of the last one."""
        return [*self.names, "."] if self.ends_inside else self.names


def failure(number: int) -> OSError:
    """Return the exception for an error of the system."""
    return OSError(number, os.strerror(number))


def split(path: str) -> Path:
    """Split a path from a guest. Raises OSError if it is empty, absolute, too long, or contains a NUL."""
    if not path:
        raise failure(errno.ENOENT)
    if "\0" in path:
        raise failure(errno.EINVAL)
    if path.startswith("/"):
        raise failure(errno.EPERM)
    if len(path.encode()) > LONGEST_PATH:
        raise failure(errno.ENAMETOOLONG)
    names = path.split("/")
    if any(len(name.encode()) > LONGEST_NAME for name in names):
        raise failure(errno.ENAMETOOLONG)
    last = next((name for name in reversed(names) if name), "")
    return Path([name for name in names if name not in ("", ".")], names[-1] in ("", ".", ".."), last == ".")


def resolve(root: D, path: str, *, follow: bool) -> Place[D]:
    """Follow `path` from `root`, but a link at its end only if `follow` is set. Raises OSError."""
    begin = split(path)
    is_directory = begin.is_directory
    todo = deque(begin.steps)
    links = 0
    opened = [root.share()]
    try:
        while todo:
            name = todo.popleft()
            if name == "..":
                if len(opened) == 1:
                    raise failure(errno.EPERM)
                opened.pop().close()
                continue
            if name == ".":
                continue
            target = opened[-1].link(name) if todo or follow or is_directory else None
            if target is not None:
                links += 1
                if links > _MOST_LINKS:
                    raise failure(errno.ELOOP)
                found = split(target)
                is_directory = is_directory or (found.is_directory and not todo)
                todo.extendleft(reversed(found.steps))
            elif todo:
                if len(opened) == _DEEPEST:
                    raise failure(errno.ENAMETOOLONG)
                opened.append(opened[-1].child(name))
            else:
                return Place(opened.pop(), name, len(opened), is_directory)
        return Place(opened.pop(), None, len(opened), is_directory)
    finally:
        for each in opened:
            each.close()


def require_inside(target: Path, depth: int) -> None:
    """Raise OSError if a new link to `target`, in a directory of this depth, would lead out."""
    for name in target.names:
        depth += -1 if name == ".." else 1
        if depth < 0:
            raise failure(errno.EPERM)
