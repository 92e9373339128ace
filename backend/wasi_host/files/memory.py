"""Files in memory, which a test gives to a guest and looks into afterwards."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Generic, TypeAlias, TypeVar

from .opened import Entries, Opened, OpenedDirectory, OpenedFile, Opening, Stat, Times
from .paths import failure, split
from .tree import Directory, File, Link, Node, Tree, set_times_of, stat_of, type_of

N = TypeVar("N", bound=Node)
Now: TypeAlias = Callable[[], int]
"""Returns the time of day in nanoseconds."""


class Files:
    """A directory in memory: the guest of a `World` has it under a path, and its host reads and writes it here.

    `content` has the files by their paths, such as `{"data/a.txt": b"…"}`; a path that ends with `/` is an empty
    directory. `size` is the most bytes of all files together, `most` the most files, directories and links. One guest
    uses it at a time.
    """

    def __init__(
        self,
        content: Mapping[str, bytes] | None = None,
        *,
        writable: bool = False,
        size: int = 256 << 20,
        most: int = 100_000,
    ) -> None:
        self.writable = writable
        self.tree = Tree(size, most, time.time_ns())
        for path, data in (content or {}).items():
            self.write(path, data)

    # --- for the host ---

    def write(self, path: str, content: bytes) -> None:
        """Write a file, or make the directory `path/`, with all directories that it is in.

        Raises OSError if one of its names belongs to something else, or there is no room.
        """
        names, is_directory, _ = split(path)
        now = time.time_ns()
        place = self.tree.root
        for name in names if is_directory else names[:-1]:
            found = place.entries.get(name)
            if found is None:
                found = self.tree.new_directory(now)
                self.tree.add(place, name, found, now)
            if not isinstance(found, Directory):
                raise failure(errno.ENOTDIR)
            place = found
        if is_directory:
            return
        file = place.entries.get(names[-1])
        if file is None:
            file = self.tree.new_file(now)
            self.tree.add(place, names[-1], file, now)
        if not isinstance(file, File):
            raise failure(errno.EISDIR)
        self.tree.resize(file, len(content))
        file.content[:] = content

    def read(self, path: str) -> bytes:
        """Return the content of a file; raises OSError if there is none. Links are not followed."""
        place: Node | None = self.tree.root
        for name in split(path).names:
            place = place.entries.get(name) if isinstance(place, Directory) else None
        if not isinstance(place, File):
            raise failure(errno.ENOENT)
        return bytes(place.content)

    def paths(self) -> list[str]:
        """Return the paths of all files, sorted; those of directories end with `/`, those of links with `@`."""
        return sorted(_paths(self.tree.root, ""))

    # --- for the guest ---

    def open(self, now: Now) -> MemoryDirectory:
        """Open it for a guest whose clock is `now`."""
        return MemoryDirectory(self.tree, self.tree.root, now)


def _paths(place: Directory, path: str) -> Iterator[str]:
    for name, node in list(place.entries.items()):
        if isinstance(node, Directory):
            yield f"{path}{name}/"
            yield from _paths(node, f"{path}{name}/")
        else:
            yield f"{path}{name}@" if isinstance(node, Link) else f"{path}{name}"


class _InMemory(Opened, Generic[N]):
    """An open node of a tree."""

    def __init__(self, tree: Tree, node: N, now: Now) -> None:
        super().__init__()
        self._tree = tree
        self._node = node
        self._now = now
        node.users += 1

    def _release(self) -> None:
        self._node.users -= 1
        self._tree.free(self._node)

    def stat(self) -> Stat:
        """Return what is known of it."""
        return stat_of(self._tree, self._node)

    def set_times(self, times: Times) -> None:
        """Change its times."""
        set_times_of(self._node, times, self._now())

    def sync(self) -> None:
        """Do nothing: memory is as safe as it gets."""


class MemoryFile(_InMemory[File], OpenedFile):
    """An open file in memory."""

    def read(self, most: int, offset: int) -> bytes:
        """Return up to `most` bytes."""
        with memoryview(self._node.content) as content:
            return bytes(content[offset : offset + most])

    def write(self, content: bytes | memoryview, offset: int) -> int:
        """Write all bytes."""
        node, end = self._node, offset + len(content)
        if end > len(node.content) and content:
            self._tree.resize(node, end)
        if content:
            node.content[offset:end] = content
        node.modified = node.changed = self._now()
        return len(content)

    def append(self, content: bytes | memoryview) -> int:
        """Write all bytes at the end."""
        return self.write(content, len(self._node.content))

    def set_size(self, size: int) -> None:
        """Cut it off, or add zeros."""
        self._tree.resize(self._node, size)
        self._node.modified = self._node.changed = self._now()


class MemoryDirectory(_InMemory[Directory], OpenedDirectory):
    """An open directory in memory."""

    def again(self) -> MemoryDirectory:
        """Open it once more."""
        return MemoryDirectory(self._tree, self._node, self._now)

    def child(self, name: str) -> MemoryDirectory:
        """Open a directory in it."""
        found = self._find(name)
        if not isinstance(found, Directory):
            raise failure(errno.ENOTDIR)
        return MemoryDirectory(self._tree, found, self._now)

    def link(self, name: str) -> str | None:
        """Return where a link leads."""
        found = self._node.entries.get(name)
        return found.target if isinstance(found, Link) else None

    def open(self, name: str, how: Opening) -> MemoryFile | MemoryDirectory:
        """Open a file or a directory in it."""
        found = self._node.entries.get(name)
        if found is None and how.creates:
            found = self._tree.new_file(self._now())
            self._add(name, found)
        elif how.is_new:
            raise failure(errno.EEXIST)
        found = self._find(name)
        if isinstance(found, Directory):
            if how.writes:
                raise failure(errno.EISDIR)
            return MemoryDirectory(self._tree, found, self._now)
        if how.is_directory:
            raise failure(errno.ENOTDIR)
        if not isinstance(found, File):
            raise failure(errno.ELOOP)
        opened = MemoryFile(self._tree, found, self._now)
        if how.truncates:
            opened.set_size(0)
        return opened

    def stat_of(self, name: str) -> Stat:
        """Return what is known of `name`."""
        return stat_of(self._tree, self._find(name))

    def set_times_of(self, name: str, times: Times) -> None:
        """Change the times of `name`."""
        set_times_of(self._find(name), times, self._now())

    def make_directory(self, name: str) -> None:
        """Make a directory in it."""
        self._require_free(name)
        self._add(name, self._tree.new_directory(self._now()))

    def remove_directory(self, name: str) -> None:
        """Remove an empty directory."""
        found = self._find(name)
        if not isinstance(found, Directory):
            raise failure(errno.ENOTDIR)
        if found.entries:
            raise failure(errno.ENOTEMPTY)
        self._tree.remove(self._node, name, self._now())

    def unlink(self, name: str) -> None:
        """Remove what is not a directory."""
        if isinstance(self._find(name), Directory):
            raise failure(errno.EISDIR)
        self._tree.remove(self._node, name, self._now())

    def make_link(self, name: str, target: str) -> None:
        """Make a symbolic link."""
        self._require_free(name)
        self._add(name, self._tree.new_link(target, self._now()))

    def add_name(self, name: str, other: OpenedDirectory, new: str) -> None:
        """Give a file a second name."""
        found = self._find(name)
        place = self._of_same_tree(other)
        place._require_free(new)
        if isinstance(found, Directory):
            raise failure(errno.EPERM)
        place._add(new, found)

    def rename(self, name: str, other: OpenedDirectory, new: str) -> None:
        """Move a file or a directory, in the place of another one if there is one."""
        place = self._of_same_tree(other)
        moved, there = self._find(name), place._node.entries.get(new)
        if moved is there:
            return
        if isinstance(moved, Directory) and _contains(moved, place._node):
            raise failure(errno.EINVAL)
        if isinstance(there, Directory):
            if not isinstance(moved, Directory):
                raise failure(errno.ENOTEMPTY if _contains(there, self._node) else errno.EISDIR)
            place.remove_directory(new)
        elif there is not None:
            if isinstance(moved, Directory):
                raise failure(errno.ENOTDIR)
            place.unlink(new)
        place._add(new, moved)
        self._tree.remove(self._node, name, self._now())

    def entries(self) -> Entries:
        """List it, as it is now."""
        count = len(self._node.entries)
        self._tree.count_listing(count)
        listed = [(name, type_of(node)) for name, node in self._node.entries.items()]
        return Entries(iter(listed), lambda: self._tree.count_listing(-count))

    def _add(self, name: str, node: Node) -> None:
        if not self._node.names:  # it was removed, and is only open
            self._tree.free(node)
            raise failure(errno.ENOENT)
        self._tree.add(self._node, name, node, self._now())

    def _find(self, name: str) -> Node:
        found = self._node.entries.get(name)
        if found is None:
            raise failure(errno.ENOENT)
        return found

    def _require_free(self, name: str) -> None:
        if name in self._node.entries:
            raise failure(errno.EEXIST)

    def _of_same_tree(self, other: OpenedDirectory) -> MemoryDirectory:
        if not isinstance(other, MemoryDirectory) or other._tree is not self._tree:
            raise failure(errno.EXDEV)
        return other


def _contains(outer: Directory, inner: Directory) -> bool:
    """Return whether `inner` is `outer` or somewhere in it."""
    todo = [outer]
    while todo:
        node = todo.pop()
        if node is inner:
            return True
        todo += [each for each in node.entries.values() if isinstance(each, Directory)]
    return False
