"""Open files and directories, as the descriptors of guests use them, whatever they are stored in.

Every function raises OSError, whose `errno` the guest gets.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Self

from wasi_bindings.types import DescriptorType

#: The largest time and position that the functions of the system take.
LARGEST = (1 << 63) - 1


@dataclass(frozen=True)
class Stat:
    """What is known of a file; times are in nanoseconds since 1970. No other file has its `identity`."""

    type: DescriptorType
    links: int
    size: int
    accessed: int
    modified: int
    changed: int
    identity: tuple[int, int]


@dataclass(frozen=True)
class Opening:
    """How a file is opened; `is_new` only with `creates`, and both `creates` and `truncates` only with `writes`."""

    reads: bool = True
    writes: bool = False
    creates: bool = False
    is_new: bool = False
    truncates: bool = False
    is_directory: bool = False


@dataclass(frozen=True)
class Times:
    """The times that a file gets, in nanoseconds since 1970; None leaves one as it is."""

    accessed: int | None
    modified: int | None


class Opened(ABC):
    """An open file or directory; the last of those who share it releases it."""

    def __init__(self) -> None:
        self._users = 1
        #: Called when it is released.
        self.on_release: Callable[[], None] | None = None

    def share(self) -> Self:
        """Return itself, to be closed once more."""
        self._users += 1
        return self

    def close(self) -> None:
        """Release it, unless others share it."""
        self._users -= 1
        if not self._users:
            try:
                self._release()
            finally:
                if self.on_release is not None:
                    self.on_release()

    @abstractmethod
    def _release(self) -> None:
        """Give back what it holds."""

    @abstractmethod
    def stat(self) -> Stat:
        """Return what is known of it."""

    @abstractmethod
    def set_times(self, times: Times) -> None:
        """Change its times."""

    @abstractmethod
    def sync(self) -> None:
        """Store its content safely."""


class OpenedFile(Opened):
    """An open file."""

    @abstractmethod
    def read(self, most: int, offset: int) -> bytes:
        """Return up to `most` bytes; nothing at the end."""

    @abstractmethod
    def write(self, content: bytes | memoryview, offset: int) -> int:
        """Write bytes; return how many were written."""

    @abstractmethod
    def append(self, content: bytes | memoryview) -> int:
        """Write bytes at the end; return how many were written."""

    @abstractmethod
    def set_size(self, size: int) -> None:
        """Cut it off, or add zeros."""


class OpenedDirectory(Opened):
    """An open directory. A `name` is one name in it, neither `.` nor `..`; links are never followed."""

    @abstractmethod
    def again(self) -> Self:
        """Open it once more."""

    @abstractmethod
    def child(self, name: str) -> Self:
        """Open a directory in it."""

    @abstractmethod
    def link(self, name: str) -> str | None:
        """Return where the link `name` leads, or None if it is no link, or nothing."""

    @abstractmethod
    def open(self, name: str, how: Opening) -> OpenedFile | Self:
        """Open a file or a directory in it."""

    @abstractmethod
    def stat_of(self, name: str) -> Stat:
        """Return what is known of `name`."""

    def has(self, name: str) -> bool:
        """Return whether something in it has the name."""
        try:
            self.stat_of(name)
        except FileNotFoundError:
            return False
        return True

    @abstractmethod
    def set_times_of(self, name: str, times: Times) -> None:
        """Change the times of `name`."""

    @abstractmethod
    def make_directory(self, name: str) -> None:
        """Make a directory in it."""

    @abstractmethod
    def remove_directory(self, name: str) -> None:
        """Remove an empty directory."""

    @abstractmethod
    def unlink(self, name: str) -> None:
        """Remove what is not a directory."""

    @abstractmethod
    def make_link(self, name: str, target: str) -> None:
        """Make a symbolic link."""

    @abstractmethod
    def add_name(self, name: str, other: OpenedDirectory, new: str) -> None:
        """Give a file a second name, in another directory, which has to be of the same kind."""

    @abstractmethod
    def rename(self, name: str, other: OpenedDirectory, new: str) -> None:
        """Move a file or a directory, to a directory of the same kind."""

    @abstractmethod
    def entries(self) -> Entries:
        """List it."""


class Entries(Iterator[tuple[str, DescriptorType]]):
    """The entries of a directory: names and types."""

    def __init__(self, entries: Iterator[tuple[str, DescriptorType]], close: Callable[[], None]) -> None:
        self._entries = entries
        self.close = close

    def __next__(self) -> tuple[str, DescriptorType]:
        return next(self._entries)
