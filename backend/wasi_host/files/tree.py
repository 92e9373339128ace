"""The nodes of files in memory, and what all of them take together."""

from __future__ import annotations

import errno
import itertools
from dataclasses import dataclass, field

from wasi_bindings.types import DescriptorType

from .opened import Stat, Times
from .paths import failure

#: The entries of all listings that a guest has at a time, as a multiple of the most files.
_MOST_LISTED = 4


@dataclass(eq=False)
class Node:
    """What all files have in common: the numbers of names, and of those who have it open."""

    number: int
    accessed: int
    modified: int
    changed: int
    names: int = 0
    users: int = 0


@dataclass(eq=False)
class File(Node):
    """A file."""

    content: bytearray = field(default_factory=bytearray)


@dataclass(eq=False)
class Link(Node):
    """A symbolic link."""

    target: str = ""


@dataclass(eq=False)
class Directory(Node):
    """A directory."""

    entries: dict[str, Node] = field(default_factory=dict)


class Tree:
    """A directory and all that is in it: at most `size` bytes, and `most` files, directories and links."""

    def __init__(self, size: int, most: int, now: int) -> None:
        self._size = size
        self._most = most
        self._used = 0
        self._nodes = 0
        self._listed = 0
        self._numbers = itertools.count(1)
        self.root = self.new_directory(now)
        self.root.names = 1

    def new_file(self, now: int) -> File:
        """Return a file that has no name yet; raises OSError if there are too many."""
        return File(self._number(), now, now, now)

    def new_link(self, target: str, now: int) -> Link:
        """Return a link, as `new_file`."""
        return Link(self._number(), now, now, now, target=target)

    def new_directory(self, now: int) -> Directory:
        """Return a directory, as `new_file`."""
        return Directory(self._number(), now, now, now)

    def _number(self) -> int:
        if self._nodes >= self._most:
            raise failure(errno.ENOSPC)
        self._nodes += 1
        return next(self._numbers)

    def add(self, place: Directory, name: str, node: Node, now: int) -> None:
        """Give `node` a name."""
        place.entries[name] = node
        place.modified = place.changed = node.changed = now
        node.names += 1

    def remove(self, place: Directory, name: str, now: int) -> None:
        """Take a name away, and free what has no other and is not open."""
        node = place.entries.pop(name)
        place.modified = place.changed = node.changed = now
        node.names -= 1
        self.free(node)

    def free(self, node: Node) -> None:
        """Stop counting a file that nobody can reach."""
        if not node.names and not node.users:
            self._nodes -= 1
            if isinstance(node, File):
                self._used -= len(node.content)
                node.content = bytearray()

    def count_listing(self, count: int) -> None:
        """Count the entries of a listing; raises OSError if there are too many. A negative number ends listings."""
        if count > 0 and self._listed + count > _MOST_LISTED * self._most:
            raise failure(errno.ENOMEM)
        self._listed += count

    def resize(self, file: File, size: int) -> None:
        """Cut a file off, or add zeros; raises OSError if there is no room."""
        more = size - len(file.content)
        if self._used + more > self._size:
            raise failure(errno.ENOSPC)
        if more < 0:
            del file.content[size:]
        else:
            file.content.extend(bytes(more))
        self._used += more


def type_of(node: Node) -> DescriptorType:
    """Return the type of a node."""
    if isinstance(node, Directory):
        return DescriptorType.DIRECTORY
    return DescriptorType.SYMBOLIC_LINK if isinstance(node, Link) else DescriptorType.REGULAR_FILE


def stat_of(tree: Tree, node: Node) -> Stat:
    """Return what is known of a node."""
    size = len(node.content) if isinstance(node, File) else 0
    if isinstance(node, Link):
        size = len(node.target.encode())
    identity = (id(tree), node.number)
    return Stat(type_of(node), node.names, size, node.accessed, node.modified, node.changed, identity)


def set_times_of(node: Node, times: Times, now: int) -> None:
    """Change the times of a node."""
    node.accessed = node.accessed if times.accessed is None else times.accessed
    node.modified = node.modified if times.modified is None else times.modified
    node.changed = now
