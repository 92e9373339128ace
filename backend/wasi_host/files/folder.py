"""A folder of the host, for a guest, which never leaves it.

Each function gets one name in one open directory, and links are never followed by the system: see `paths`. Only
regular files and directories are opened; a guest sees devices, FIFOs and sockets, but cannot use them.
"""

from __future__ import annotations

import errno
import os
import stat as modes
from collections.abc import Iterator
from typing import Any

from wasi_bindings.types import DescriptorType

from .opened import Entries, OpenedDirectory, OpenedFile, Opening, Stat, Times
from .paths import failure

#: How everything is opened: without following links, without waiting for the other end of a FIFO, without becoming the
#: terminal of this process, and not for the processes that it starts.
_SAFE = (
    getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_NOCTTY", 0)
    | getattr(os, "O_CLOEXEC", 0)
)
_DIRECTORY = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | _SAFE
#: How directories are opened that a path leads through, which nobody need be allowed to list.
_THROUGH = _DIRECTORY | getattr(os, "O_PATH", 0)
#: Whether the system has the functions that paths are followed with.
_IS_SUPPORTED = os.open in os.supports_dir_fd and os.readlink in os.supports_dir_fd and hasattr(os, "O_NOFOLLOW")

_TYPES = {
    modes.S_IFREG: DescriptorType.REGULAR_FILE,
    modes.S_IFDIR: DescriptorType.DIRECTORY,
    modes.S_IFLNK: DescriptorType.SYMBOLIC_LINK,
    modes.S_IFBLK: DescriptorType.BLOCK_DEVICE,
    modes.S_IFCHR: DescriptorType.CHARACTER_DEVICE,
    modes.S_IFIFO: DescriptorType.FIFO,
    modes.S_IFSOCK: DescriptorType.SOCKET,
}


class Folder:
    """A directory of the host's file system, which a guest can read, and change if it is `writable`.

    Raises NotADirectoryError if there is none at `path`, and NotImplementedError on systems such as Windows, which
    cannot follow paths step by step.
    """

    def __init__(self, path: str | os.PathLike[str], *, writable: bool = False) -> None:
        if not _IS_SUPPORTED:
            raise NotImplementedError(
                "this system cannot confine a guest to a folder; give it files in memory (`Files`) instead"
            )
        self.path = os.fspath(path)
        self.writable = writable
        if not os.path.isdir(self.path):
            raise NotADirectoryError(f"{self.path} does not exist or is not a directory")

    def open(self, now: object) -> FolderDirectory:
        """Open it for a guest; raises OSError."""
        return FolderDirectory(os.open(self.path, _DIRECTORY & ~getattr(os, "O_NOFOLLOW", 0)))


def _stat(found: os.stat_result) -> Stat:
    type_ = _TYPES.get(modes.S_IFMT(found.st_mode), DescriptorType.UNKNOWN)
    times = found.st_atime_ns, found.st_mtime_ns, found.st_ctime_ns
    return Stat(type_, found.st_nlink, found.st_size, *times, (found.st_dev, found.st_ino))


def _nanoseconds(found: os.stat_result, times: Times) -> tuple[int, int]:
    return (
        found.st_atime_ns if times.accessed is None else times.accessed,
        found.st_mtime_ns if times.modified is None else times.modified,
    )


class _Descriptor:
    """Closes a descriptor of the system once, also if an exception comes at a bad time."""

    _descriptor = -1

    def _release(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def __del__(self) -> None:
        self._release()


class FolderFile(_Descriptor, OpenedFile):
    """An open file of the host."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor

    def stat(self) -> Stat:
        """Return what is known of it."""
        return _stat(os.fstat(self._descriptor))

    def set_times(self, times: Times) -> None:
        """Change its times."""
        os.utime(self._descriptor, ns=_nanoseconds(os.fstat(self._descriptor), times))

    def sync(self) -> None:
        """Store its content on the disk."""
        os.fsync(self._descriptor)

    def read(self, most: int, offset: int) -> bytes:
        """Return up to `most` bytes."""
        return os.pread(self._descriptor, most, offset)

    def write(self, content: bytes | memoryview, offset: int) -> int:
        """Write bytes."""
        return os.pwrite(self._descriptor, content, offset)

    def append(self, content: bytes | memoryview) -> int:
        """Write bytes at the end, which no other program moves meanwhile, if it is not shared."""
        return self.write(content, os.fstat(self._descriptor).st_size)

    def set_size(self, size: int) -> None:
        """Cut it off, or add zeros."""
        os.ftruncate(self._descriptor, size)


class FolderDirectory(_Descriptor, OpenedDirectory):
    """An open directory of the host."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor

    def stat(self) -> Stat:
        """Return what is known of it."""
        return _stat(os.fstat(self._descriptor))

    def set_times(self, times: Times) -> None:
        """Change its times."""
        os.utime(".", ns=_nanoseconds(os.fstat(self._descriptor), times), dir_fd=self._descriptor)

    def sync(self) -> None:
        """Store its entries on the disk."""
        os.fsync(self._descriptor)

    def again(self) -> FolderDirectory:
        """Open it once more."""
        return FolderDirectory(self._open(".", _DIRECTORY))

    def child(self, name: str) -> FolderDirectory:
        """Open a directory in it, only to find what is in it by name."""
        return FolderDirectory(self._open(name, _THROUGH))

    def link(self, name: str) -> str | None:
        """Return where a link leads; raises OSError also if its name is not Unicode."""
        try:
            target = os.readlink(name.encode(), dir_fd=self._descriptor)
        except OSError as error:
            if error.errno in (errno.EINVAL, errno.ENOENT):
                return None
            raise
        return _text(target)

    def open(self, name: str, how: Opening) -> FolderFile | FolderDirectory:
        """Open a regular file or a directory in it; everything else is refused before it is opened."""
        if not how.creates or self.has(name):
            _require_openable(self.stat_of(name).type, how)
        descriptor = self._open(name, _flags(how), 0o666)
        try:
            type_ = _stat(os.fstat(descriptor)).type
            if type_ == DescriptorType.DIRECTORY:
                return FolderDirectory(descriptor)
            if type_ != DescriptorType.REGULAR_FILE:
                raise failure(errno.EPERM)
            return FolderFile(descriptor)
        except BaseException:
            os.close(descriptor)
            raise

    def stat_of(self, name: str) -> Stat:
        """Return what is known of `name`."""
        return _stat(os.stat(name.encode(), dir_fd=self._descriptor, follow_symlinks=False))

    def set_times_of(self, name: str, times: Times) -> None:
        """Change the times of `name`."""
        place: Any = {"dir_fd": self._descriptor, "follow_symlinks": False}
        os.utime(name.encode(), ns=_nanoseconds(os.stat(name.encode(), **place), times), **place)

    def make_directory(self, name: str) -> None:
        """Make a directory in it."""
        os.mkdir(name.encode(), dir_fd=self._descriptor)

    def remove_directory(self, name: str) -> None:
        """Remove an empty directory."""
        os.rmdir(name.encode(), dir_fd=self._descriptor)

    def unlink(self, name: str) -> None:
        """Remove what is not a directory."""
        os.unlink(name.encode(), dir_fd=self._descriptor)

    def make_link(self, name: str, target: str) -> None:
        """Make a symbolic link."""
        os.symlink(target.encode(), name.encode(), dir_fd=self._descriptor)

    def add_name(self, name: str, other: OpenedDirectory, new: str) -> None:
        """Give a file a second name."""
        os.link(
            name.encode(),
            new.encode(),
            src_dir_fd=self._descriptor,
            dst_dir_fd=_descriptor_of(other),
            follow_symlinks=False,
        )

    def rename(self, name: str, other: OpenedDirectory, new: str) -> None:
        """Move a file or a directory."""
        os.rename(name.encode(), new.encode(), src_dir_fd=self._descriptor, dst_dir_fd=_descriptor_of(other))

    def entries(self) -> Entries:
        """List it."""
        descriptor = self._open(".", _DIRECTORY)
        try:
            scanning = os.scandir(descriptor)
        except BaseException:
            os.close(descriptor)
            raise

        def close() -> None:
            scanning.close()
            os.close(descriptor)

        return Entries(_listed(scanning), close)

    def _open(self, name: str, flags: int, mode: int = 0o777) -> int:
        return os.open(name.encode(), flags, mode, dir_fd=self._descriptor)


def _require_openable(type_: DescriptorType, how: Opening) -> None:
    """Raise OSError if what is there is not opened in this way."""
    if how.is_new:
        raise failure(errno.EEXIST)
    if how.is_directory and type_ != DescriptorType.DIRECTORY:
        raise failure(errno.ENOTDIR)
    if type_ == DescriptorType.SYMBOLIC_LINK:
        raise failure(errno.ELOOP)
    if type_ not in (DescriptorType.REGULAR_FILE, DescriptorType.DIRECTORY):
        raise failure(errno.EPERM)


def _descriptor_of(directory: OpenedDirectory) -> int:
    """Return the descriptor of a directory; raises OSError if it is not one of the host."""
    if not isinstance(directory, FolderDirectory):
        raise failure(errno.EXDEV)
    return directory._descriptor


def _flags(how: Opening) -> int:
    flags = (os.O_RDWR if how.reads else os.O_WRONLY) if how.writes else os.O_RDONLY
    if how.creates:
        flags |= os.O_CREAT | (os.O_EXCL if how.is_new else 0)
    if how.truncates:
        flags |= os.O_TRUNC
    if how.is_directory:
        flags |= getattr(os, "O_DIRECTORY", 0)
    return flags | _SAFE


def _listed(scanning: Iterator[os.DirEntry[Any]]) -> Iterator[tuple[str, DescriptorType]]:
    """Return the entries; raises OSError if the name of one is not Unicode."""
    for entry in scanning:
        yield _text(os.fsencode(entry.name)), _entry_type(entry)


def _entry_type(entry: os.DirEntry[Any]) -> DescriptorType:
    if entry.is_symlink():
        return DescriptorType.SYMBOLIC_LINK
    if entry.is_dir(follow_symlinks=False):
        return DescriptorType.DIRECTORY
    if entry.is_file(follow_symlinks=False):
        return DescriptorType.REGULAR_FILE
    try:
        return _TYPES.get(modes.S_IFMT(entry.stat(follow_symlinks=False).st_mode), DescriptorType.UNKNOWN)
    except FileNotFoundError:
        return DescriptorType.UNKNOWN


def _text(name: bytes) -> str:
    try:
        return name.decode()
    except UnicodeDecodeError:
        raise failure(errno.EILSEQ) from None
