"""Files in memory, which a test gives to a guest and looks into afterwards."""

from __future__ import annotations

import errno
import itertools
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from wasi_bindings.types import DescriptorType

from .opened import Entries, OpenedDirectory, OpenedFile, Opening, Stat, Times
from .paths import failure, split

Now: TypeAlias = Callable[[], int]
"""Returns the time of day in nanoseconds."""


@dataclass(eq=False)
class _Node:
    """What all files have in common: the numbers of names, and of those who have it open."""

    number: int
    accessed: int
    modified: int
    changed: int
    names: int = 0
    users: int = 0


@dataclass(eq=False)
class _File(_Node):
    content: bytearray = field(default_factory=bytearray)


@dataclass(eq=False)
class _Link(_Node):
    target: str = ""


@dataclass(eq=False)
class _Directory(_Node):
    entries: dict[str, _Node] = field(default_factory=dict)


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
        self._size = size
        self._most = most
        self._used = 0
        self._nodes = 0
        self._numbers = itertools.count(1)
        self._root = self._directory(time.time_ns())
        self._root.names = 1
        for path, data in (content or {}).items():
            self.write(path, data)

    # --- for the host ---

    def write(self, path: str, content: bytes) -> None:
        """Write a file, or make the directory `path/`, with all directories that it is in.

        Raises OSError if one of its names belongs to something else, or there is no room.
        """
        names, is_directory = split(path)
        now = time.time_ns()
        place = self._root
        for name in names if is_directory else names[:-1]:
            found = place.entries.get(name)
            if found is None:
                found = self._directory(now)
                self.add(place, name, found, now)
            if not isinstance(found, _Directory):
                raise failure(errno.ENOTDIR)
            place = found
        if is_directory:
            return
        file = place.entries.get(names[-1])
        if file is None:
            file = self.new_file(now)
            self.add(place, names[-1], file, now)
        if not isinstance(file, _File):
            raise failure(errno.EISDIR)
        self.resize(file, len(content))
        file.content[:] = content

    def read(self, path: str) -> bytes:
        """Return the content of a file; raises OSError if there is none. Links are not followed."""
        place: _Node | None = self._root
        for name in split(path).names:
            place = place.entries.get(name) if isinstance(place, _Directory) else None
        if not isinstance(place, _File):
            raise failure(errno.ENOENT)
        return bytes(place.content)

    def paths(self) -> list[str]:
        """Return the paths of all files, sorted; those of directories end with `/`, those of links with `@`."""
        return sorted(_paths(self._root, ""))

    # --- for the guest ---

    def open(self, now: Now) -> MemoryDirectory:
        """Open it for a guest whose clock is `now`."""
        return MemoryDirectory(self, self._root, now)

    def new_file(self, now: int) -> _File:
        """Return a file that has no name yet; raises OSError if there are too many."""
        return _File(self._number(), now, now, now)

    def new_link(self, target: str, now: int) -> _Link:
        """Return a link, as `new_file`."""
        return _Link(self._number(), now, now, now, target=target)

    def _directory(self, now: int) -> _Directory:
        return _Directory(self._number(), now, now, now)

    new_directory = _directory

    def _number(self) -> int:
        if self._nodes >= self._most:
            raise failure(errno.ENOSPC)
        self._nodes += 1
        return next(self._numbers)

    def add(self, place: _Directory, name: str, node: _Node, now: int) -> None:
        """Give `node` a name."""
        place.entries[name] = node
        place.modified = place.changed = node.changed = now
        node.names += 1

    def remove(self, place: _Directory, name: str, now: int) -> None:
        """Take a name away, and free what has no other and is not open."""
        node = place.entries.pop(name)
        place.modified = place.changed = node.changed = now
        node.names -= 1
        self.free(node)

    def free(self, node: _Node) -> None:
        """Stop counting a file that nobody can reach."""
        if not node.names and not node.users:
            self._nodes -= 1
            if isinstance(node, _File):
                self._used -= len(node.content)
                node.content = bytearray()

    def resize(self, file: _File, size: int) -> None:
        """Cut a file off, or add zeros; raises OSError if there is no room."""
        more = size - len(file.content)
        if self._used + more > self._size:
            raise failure(errno.ENOSPC)
        if more < 0:
            del file.content[size:]
        else:
            file.content.extend(bytes(more))
        self._used += more


def _paths(place: _Directory, path: str) -> Iterator[str]:
    for name, node in list(place.entries.items()):
        if isinstance(node, _Directory):
            yield f"{path}{name}/"
            yield from _paths(node, f"{path}{name}/")
        else:
            yield f"{path}{name}@" if isinstance(node, _Link) else f"{path}{name}"


def _type(node: _Node) -> DescriptorType:
    if isinstance(node, _Directory):
        return DescriptorType.DIRECTORY
    return DescriptorType.SYMBOLIC_LINK if isinstance(node, _Link) else DescriptorType.REGULAR_FILE


def _stat(files: Files, node: _Node) -> Stat:
    size = len(node.content) if isinstance(node, _File) else 0
    if isinstance(node, _Link):
        size = len(node.target.encode())
    identity = (id(files), node.number)
    return Stat(_type(node), node.names, size, node.accessed, node.modified, node.changed, identity)


def _set_times(node: _Node, times: Times, now: int) -> None:
    node.accessed = node.accessed if times.accessed is None else times.accessed
    node.modified = node.modified if times.modified is None else times.modified
    node.changed = now


class MemoryFile(OpenedFile):
    """An open file in memory."""

    def __init__(self, files: Files, node: _File, now: Now) -> None:
        super().__init__()
        self._files = files
        self._node = node
        self._now = now
        node.users += 1

    def _release(self) -> None:
        self._node.users -= 1
        self._files.free(self._node)

    def stat(self) -> Stat:
        """Return what is known of it."""
        return _stat(self._files, self._node)

    def set_times(self, times: Times) -> None:
        """Change its times."""
        _set_times(self._node, times, self._now())

    def sync(self) -> None:
        """Do nothing: memory is as safe as it gets."""

    def read(self, most: int, offset: int) -> bytes:
        """Return up to `most` bytes."""
        with memoryview(self._node.content) as content:
            return bytes(content[offset : offset + most])

    def write(self, content: bytes | memoryview, offset: int) -> int:
        """Write all bytes."""
        node, end = self._node, offset + len(content)
        if end > len(node.content) and content:
            self._files.resize(node, end)
        if content:
            node.content[offset:end] = content
        node.modified = node.changed = self._now()
        return len(content)

    def append(self, content: bytes | memoryview) -> int:
        """Write all bytes at the end."""
        return self.write(content, len(self._node.content))

    def set_size(self, size: int) -> None:
        """Cut it off, or add zeros."""
        self._files.resize(self._node, size)
        self._node.modified = self._node.changed = self._now()


class MemoryDirectory(OpenedDirectory):
    """An open directory in memory."""

    def __init__(self, files: Files, node: _Directory, now: Now) -> None:
        super().__init__()
        self._files = files
        self._node = node
        self._now = now
        node.users += 1

    def _release(self) -> None:
        self._node.users -= 1
        self._files.free(self._node)

    def stat(self) -> Stat:
        """Return what is known of it."""
        return _stat(self._files, self._node)

    def set_times(self, times: Times) -> None:
        """Change its times."""
        _set_times(self._node, times, self._now())

    def sync(self) -> None:
        """Do nothing: memory is as safe as it gets."""

    def again(self) -> MemoryDirectory:
        """Open it once more."""
        return MemoryDirectory(self._files, self._node, self._now)

    def child(self, name: str) -> MemoryDirectory:
        """Open a directory in it."""
        found = self._find(name)
        if not isinstance(found, _Directory):
            raise failure(errno.ENOTDIR)
        return MemoryDirectory(self._files, found, self._now)

    def link(self, name: str) -> str | None:
        """Return where a link leads."""
        found = self._node.entries.get(name)
        return found.target if isinstance(found, _Link) else None

    def open(self, name: str, how: Opening) -> MemoryFile | MemoryDirectory:
        """Open a file or a directory in it."""
        found = self._node.entries.get(name)
        if found is None and how.creates:
            found = self._files.new_file(self._now())
            self._add(name, found)
        elif how.is_new and how.creates:
            raise failure(errno.EEXIST)
        found = self._find(name)
        if isinstance(found, _Directory):
            if how.writes or how.truncates or how.creates:
                raise failure(errno.EISDIR)
            return MemoryDirectory(self._files, found, self._now)
        if how.is_directory:
            raise failure(errno.ENOTDIR)
        if not isinstance(found, _File):
            raise failure(errno.ELOOP)
        opened = MemoryFile(self._files, found, self._now)
        if how.truncates:
            opened.set_size(0)
        return opened

    def stat_of(self, name: str) -> Stat:
        """Return what is known of `name`."""
        return _stat(self._files, self._find(name))

    def set_times_of(self, name: str, times: Times) -> None:
        """Change the times of `name`."""
        _set_times(self._find(name), times, self._now())

    def make_directory(self, name: str) -> None:
        """Make a directory in it."""
        self._require_free(name)
        self._add(name, self._files.new_directory(self._now()))

    def remove_directory(self, name: str) -> None:
        """Remove an empty directory."""
        found = self._find(name)
        if not isinstance(found, _Directory):
            raise failure(errno.ENOTDIR)
        if found.entries:
            raise failure(errno.ENOTEMPTY)
        self._files.remove(self._node, name, self._now())

    def unlink(self, name: str) -> None:
        """Remove what is not a directory."""
        if isinstance(self._find(name), _Directory):
            raise failure(errno.EISDIR)
        self._files.remove(self._node, name, self._now())

    def make_link(self, name: str, target: str) -> None:
        """Make a symbolic link."""
        self._require_free(name)
        self._add(name, self._files.new_link(target, self._now()))

    def add_name(self, name: str, other: MemoryDirectory, new: str) -> None:
        """Give a file a second name."""
        found = self._find(name)
        if isinstance(found, _Directory):
            raise failure(errno.EPERM)
        self._require_same(other)
        other._require_free(new)
        other._add(new, found)

    def rename(self, name: str, other: MemoryDirectory, new: str) -> None:
        """Move a file or a directory, in the place of another one if there is one."""
        self._require_same(other)
        moved, there = self._find(name), other._node.entries.get(new)
        if moved is there:
            return
        if isinstance(moved, _Directory) and _contains(moved, other._node):
            raise failure(errno.EINVAL)
        if isinstance(there, _Directory):
            if not isinstance(moved, _Directory):
                raise failure(errno.EISDIR)
            other.remove_directory(new)
        elif there is not None:
            if isinstance(moved, _Directory):
                raise failure(errno.ENOTDIR)
            other.unlink(new)
        other._add(new, moved)
        self._files.remove(self._node, name, self._now())

    def entries(self) -> Entries:
        """List it, as it is now."""
        listed = [(name, _type(node)) for name, node in self._node.entries.items()]
        return Entries(iter(listed), self.share().close)

    def _add(self, name: str, node: _Node) -> None:
        if not self._node.names:  # it was removed, and is only open
            self._files.free(node)
            raise failure(errno.ENOENT)
        self._files.add(self._node, name, node, self._now())

    def _find(self, name: str) -> _Node:
        found = self._node.entries.get(name)
        if found is None:
            raise failure(errno.ENOENT)
        return found

    def _require_free(self, name: str) -> None:
        if name in self._node.entries:
            raise failure(errno.EEXIST)

    def _require_same(self, other: MemoryDirectory) -> None:
        if other._files is not self._files:
            raise failure(errno.EXDEV)


def _contains(outer: _Directory, inner: _Directory) -> bool:
    """Return whether `inner` is `outer` or somewhere in it."""
    todo = [outer]
    while todo:
        node = todo.pop()
        if node is inner:
            return True
        todo += [each for each in node.entries.values() if isinstance(each, _Directory)]
    return False
