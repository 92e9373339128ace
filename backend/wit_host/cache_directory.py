"""The directory of a cache of compiled guests: what is in it, what is removed, and whether it can be trusted.

Any number of threads and processes may use one directory. A file gets its name when it is complete, and may be removed
at any time.
"""

from __future__ import annotations

import logging
import os
import re
import stat
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .cache_files import UNFINISHED, CacheEntry, lock_file, write_whole
from .owners import why_foreign, why_replaceable
from .printing import printable

logger = logging.getLogger(__name__)

#: The names of entries; those with a short tag are of an earlier format, and only wait for their removal.
_ENTRY = re.compile(r"(?P<key>[0-9a-f]{64})-(?P<tag>[0-9a-f]{64}|[0-9a-f]{32})\.cwasm")
#: The suffix of files with the name of a guest.
_NAME = ".cwasm-name"
#: The most characters of such a name.
_LONGEST_NAME = 64
#: A process that was killed left the unfinished files that are older than this, in seconds.
_ABANDONED = 3600.0
#: The largest difference between the clocks of machines that share a directory, in seconds.
_SKEW = 3600.0


class CacheDirectory:
    """The directory `folder` with compiled guests, at most `largest` bytes; the least recently used go first.

    A directory that belongs to another user, or that other users can write to or replace, is not used.
    """

    def __init__(self, folder: str | os.PathLike[str], largest: int = 2 << 30) -> None:
        self.folder = Path(folder).absolute()
        self.largest = largest

    def trouble(self) -> str:
        """Return why the directory, which may be missing, cannot be used; empty if it can."""
        try:
            str(self.folder).encode()  # so that it can be shown
            return why_replaceable(self.folder) or why_foreign(self.folder.stat())
        except UnicodeEncodeError:
            return "its path is not valid Unicode"
        except (FileNotFoundError, NotADirectoryError):
            return ""
        except OSError as error:
            return f"it cannot be examined: {error.strerror}"

    def create(self) -> None:
        """Make the directory and those above it, for this user alone; raises OSError if one cannot be made."""
        for folder in reversed([self.folder, *self.folder.parents]):
            if not folder.is_dir():
                folder.mkdir(mode=0o700, exist_ok=True)

    def entries(self) -> list[CacheEntry]:
        """Return the entries, the least recently used first; none if the directory cannot be read."""
        latest = time.time() + _SKEW
        # A time in the future is from a clock that was wrong, so the time of the last use is unknown.
        return sorted(self.entries_of(), key=lambda entry: (entry.used <= latest, entry.used))

    def entries_of(self, key: str = "") -> Iterator[CacheEntry]:
        """Yield the entries of one key, or all; only regular files of this user are entries."""
        for name, status in self._files(key, ".cwasm"):
            match = _ENTRY.fullmatch(name)
            if match and not why_foreign(status):
                yield CacheEntry(self.folder / name, match["key"], match["tag"], status.st_size, status.st_mtime)

    def names(self) -> dict[str, str]:
        """Return the known names of guests, by the key of their entries.

        A name is a line of at most 64 printable characters.
        """
        found = {}
        for file, status in self._files("", _NAME):
            if not why_foreign(status) and status.st_size <= 4 * _LONGEST_NAME:  # the most bytes of so many characters
                with suppress(OSError, UnicodeDecodeError):
                    found[file.removesuffix(_NAME)] = printable((self.folder / file).read_text("utf-8"), _LONGEST_NAME)
        return {key: name for key, name in found.items() if name}

    def path(self, key: str, tag: str) -> Path:
        """Return the place of an entry."""
        return self.folder / f"{key}-{tag}.cwasm"

    def write(self, path: Path, content: bytes | bytearray) -> None:
        """Write an entry; raises OSError if it cannot be written."""
        write_whole(path, content)

    def write_name(self, key: str, name: str) -> None:
        """Write the name of a guest; raises OSError if it cannot be written."""
        write_whole(self.folder / f"{key}{_NAME}", printable(name, _LONGEST_NAME).encode())

    @contextmanager
    def alone(self, key: str) -> Iterator[None]:
        """Wait until no other thread or process is in such a block for `key`; it goes on if there can be no lock."""
        path = self.folder / f"{key}{UNFINISHED}"
        unlock = None
        try:
            unlock = lock_file(path)
        except OSError as error:
            logger.info("%s is not locked while it is compiled: %s", key[:16], error.strerror)
        try:
            yield
        finally:
            if unlock is not None:
                unlock()

    def clear(self, keys: Collection[str] | None = None) -> list[CacheEntry]:
        """Remove the entries with these keys, by default all, and the unfinished files of killed processes.

        Returns the entries that were removed.
        """
        if self.trouble():
            return []
        self._remove_abandoned()
        chosen = [entry for entry in self.entries() if keys is None or entry.key in keys]
        removed = [entry for entry in chosen if self.remove(entry)]
        left = {entry.key for entry in self.entries()}
        for file, _ in self._files("", _NAME):  # of entries that were removed
            if file.removesuffix(_NAME) not in left:
                with suppress(OSError):
                    (self.folder / file).unlink()
        return removed

    def make_room(self, newest: Path) -> None:
        """Remove entries until the rest is small enough; the newest one always stays."""
        self._remove_abandoned()
        entries = self.entries()
        total = sum(entry.size for entry in entries)
        for entry in entries:
            if total <= self.largest:
                return
            if entry.path != newest and self.remove(entry):
                logger.info("evicted %s: %d bytes, last used %.0f s ago", entry, entry.size, time.time() - entry.used)
            if not entry.path.exists():  # another process may have removed it
                total -= entry.size

    def remove(self, entry: CacheEntry) -> bool:
        """Return whether this call removed it; on Windows a file that a process has open cannot be removed."""
        try:
            entry.path.unlink()
        except OSError:
            return False
        with suppress(OSError):
            (self.folder / f"{entry.key}{_NAME}").unlink()
        return True

    def _files(self, start: str, end: str) -> Iterator[tuple[str, os.stat_result]]:
        with suppress(OSError), os.scandir(self.folder) as files:
            for file in files:
                if file.name.startswith(start) and file.name.endswith(end):
                    with suppress(OSError):
                        status = file.stat(follow_symlinks=False)
                        if stat.S_ISREG(status.st_mode):
                            yield file.name, status

    def _remove_abandoned(self) -> None:
        for name, status in self._files("", UNFINISHED):
            if abs(time.time() - status.st_mtime) > _ABANDONED:
                with suppress(OSError):
                    (self.folder / name).unlink()
