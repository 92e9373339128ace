"""Compiled components and core modules, kept in a directory so that the next start need not compile them again.

In: the bytes of a guest, and the engine that compiles them. Out: the compiled guest.

An entry is one file, `<key>-<checksum>.cwasm`. The key stands for the bytes, the compiler and its settings; the
checksum is that of the content of the file, so that a key is never paired with other content. The content is native
code, which Wasmtime maps into memory and hardly checks. So an entry is only used if no other user can write to the
directory or the file, and if its content is unchanged: otherwise the guest is compiled again.

Next to an entry is `<key>.cwasm-name` with the name of the guest, for people only.

Any number of threads and processes may use one directory. A file gets its name when it is complete, and may be removed
at any time: processes that have mapped it keep their mapping. A guest runs even if its file cannot be read or written.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import platform
import re
import stat
import sys
import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from weakref import WeakSet

import wasmtime
from wasmtime import component

from .cache_files import CHECKSUM_LENGTH, UNFINISHED, CacheEntry, Compiled, open_entry, why_foreign, write_whole
from .printing import printable

logger = logging.getLogger(__name__)

#: Part of every key: a change of this number invalidates all entries.
_FORMAT = 1
#: The names of entries.
_ENTRY = re.compile(rf"(?P<key>[0-9a-f]{{64}})-(?P<checksum>[0-9a-f]{{{CHECKSUM_LENGTH}}})\.cwasm")
#: The suffix of files with the name of a guest.
_NAME = ".cwasm-name"
#: The most characters of such a name.
_LONGEST_NAME = 64
#: A process that was killed left the unfinished files that are older than this, in seconds.
_ABANDONED = 3600.0
#: The largest difference between the clocks of machines that share a directory, in seconds.
_SKEW = 3600.0
#: The errors of a full disk.
_FULL = {errno.ENOSPC, errno.EDQUOT}


class CompileCache:
    """Keeps compiled components in the directory `folder`, at most `largest` bytes; the least recently used go first.

    The first `compile` creates the directory, for this user alone. A directory that belongs to another user, or that
    other users can write to, is not used.
    """

    def __init__(self, folder: str | os.PathLike[str], largest: int = 2 << 30) -> None:
        self.folder = Path(folder).absolute()
        self.largest = largest
        self._version = _wasmtime_version()
        self._supplied: WeakSet[component.Component | wasmtime.Module] = WeakSet()
        self._warned: set[str] = set()

    def compile(
        self, engine: wasmtime.Engine, fingerprint: str, wasm: bytes, kind: type[Compiled], name: str = ""
    ) -> Compiled:
        """Load the compiled form of `wasm` from the directory, or compile it with `engine` and keep it there.

        `fingerprint` is different for every configuration of an engine. `name` is the name for `names`. Raises
        `wasmtime.WasmtimeError` if `wasm` is not a valid guest of this `kind`.
        """
        if not self._is_usable():
            return kind(engine, wasm)
        key = _key(self._version, fingerprint, wasm)
        kept = self._load(engine, key, kind)
        if kept is not None:
            self._supplied.add(kept)
            return kept
        started = time.perf_counter()
        compiled = kind(engine, wasm)
        logger.info("miss %s: compiled %d bytes in %.3f s", key[:16], len(wasm), time.perf_counter() - started)
        self._keep(key, compiled, name)
        return compiled

    def supplied(self, compiled: component.Component | wasmtime.Module) -> bool:
        """Return whether this was loaded from the directory, not compiled."""
        return compiled in self._supplied

    def trouble(self) -> str:
        """Return why the directory, which may be missing, cannot be used; empty if it can."""
        if not self._version:
            return "the version of Wasmtime is not known"
        try:
            str(self.folder).encode()  # as Wasmtime takes it
            return why_foreign(self.folder.stat())
        except UnicodeEncodeError:
            return "its path is not valid Unicode"
        except OSError:
            return ""

    def entries(self) -> list[CacheEntry]:
        """Return the entries, the least recently used first; none if the directory cannot be read."""
        latest = time.time() + _SKEW
        # A time in the future is from a clock that was wrong, so the time of the last use is unknown.
        return sorted(self._entries(), key=lambda entry: (entry.used <= latest, entry.used))

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

    def clear(self, keys: Collection[str] | None = None) -> list[CacheEntry]:
        """Remove the entries with these keys, by default all, and the unfinished files of killed processes.

        Returns the entries that were removed.
        """
        if self.trouble():
            return []
        self._remove_abandoned()
        chosen = [entry for entry in self.entries() if keys is None or entry.key in keys]
        removed = [entry for entry in chosen if self._remove(entry)]
        left = {entry.key for entry in self.entries()}
        for file, _ in self._files("", _NAME):  # of entries that were removed
            if file.removesuffix(_NAME) not in left:
                with suppress(OSError):
                    (self.folder / file).unlink()
        return removed

    # --- the directory ---

    def _is_usable(self) -> bool:
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            logger.info("compiled components are not kept: %s", _shown(error))
            return False
        trouble = self.trouble()  # another user may have created it just before
        if trouble:
            self._warn(f"{self.folder} is not used for compiled components, because {trouble}")
        return not trouble

    def _warn(self, text: str) -> None:
        if text not in self._warned:
            self._warned.add(text)
            logger.warning("%s", _shown(text))

    def _entries(self, key: str = "") -> Iterator[CacheEntry]:
        """Yield the entries of one key, or all; only regular files of this user are entries."""
        for name, status in self._files(key, ".cwasm"):
            match = _ENTRY.fullmatch(name)
            if match and not why_foreign(status):
                path = self.folder / name
                yield CacheEntry(path, match["key"], match["checksum"], status.st_size, status.st_mtime)

    def _files(self, start: str, end: str) -> Iterator[tuple[str, os.stat_result]]:
        with suppress(OSError), os.scandir(self.folder) as files:
            for file in files:
                if file.name.startswith(start) and file.name.endswith(end):
                    with suppress(OSError):
                        status = file.stat(follow_symlinks=False)
                        if stat.S_ISREG(status.st_mode):
                            yield file.name, status

    # --- reading ---

    def _load(self, engine: wasmtime.Engine, key: str, kind: type[Compiled]) -> Compiled | None:
        for entry in list(self._entries(key)):
            started = time.perf_counter()
            try:
                kept = open_entry(engine, entry, kind)
            except (OSError, wasmtime.WasmtimeError) as error:
                if entry.path.exists():  # unless another process has just removed it
                    logger.info("entry %s is compiled again: %s", entry, " ".join(str(error).split()))
                    self._remove(entry)
                continue
            now = time.time_ns()
            with suppress(OSError):
                os.utime(entry.path, ns=(now, now))
            logger.info("hit %s: loaded %d bytes in %.3f s", entry, entry.size, time.perf_counter() - started)
            return kept
        return None

    # --- writing ---

    def _keep(self, key: str, compiled: component.Component | wasmtime.Module, name: str) -> None:
        started = time.perf_counter()
        content = compiled.serialize()
        if len(content) > self.largest:
            logger.info("%s is not kept: its %d bytes are more than all may have", key[:16], len(content))
            return
        path = self.folder / f"{key}-{hashlib.sha256(content).hexdigest()[:CHECKSUM_LENGTH]}.cwasm"
        try:
            write_whole(path, content)
            if name:
                write_whole(self.folder / f"{key}{_NAME}", printable(name, _LONGEST_NAME).encode())
        except OSError as error:
            if error.errno in _FULL:
                self._warn(f"compiled components are not kept, because there is no space left for {self.folder}")
            else:
                logger.info("%s is not kept: %s", key[:16], _shown(error))
            return
        logger.info("stored %s: %d bytes in %.3f s", key[:16], len(content), time.perf_counter() - started)
        self._make_room(path)

    def _make_room(self, newest: Path) -> None:
        """Remove entries until the rest is small enough; the newest one always stays."""
        self._remove_abandoned()
        entries = self.entries()
        total = sum(entry.size for entry in entries)
        for entry in entries:
            if total <= self.largest:
                return
            if entry.path != newest and self._remove(entry):
                logger.info("evicted %s: %d bytes, last used %.0f s ago", entry, entry.size, time.time() - entry.used)
            if not entry.path.exists():  # another process may have removed it
                total -= entry.size

    def _remove(self, entry: CacheEntry) -> bool:
        """Return whether this call removed it; on Windows a file that a process has mapped cannot be removed."""
        try:
            entry.path.unlink()
        except OSError:
            return False
        with suppress(OSError):
            (self.folder / f"{entry.key}{_NAME}").unlink()
        return True

    def _remove_abandoned(self) -> None:
        for name, status in self._files("", UNFINISHED):
            if abs(time.time() - status.st_mtime) > _ABANDONED:
                with suppress(OSError):
                    (self.folder / name).unlink()


def _shown(message: object) -> str:
    """Return a text that can be encoded, whatever bytes a path in it has."""
    return str(message).encode(errors="backslashreplace").decode()


def _wasmtime_version() -> str:
    """Return the installed version; empty if it is unknown, as in some bundles."""
    with suppress(metadata.PackageNotFoundError):
        return metadata.version("wasmtime")
    return ""


def _key(version: str, fingerprint: str, wasm: bytes) -> str:
    """Return a name that stands for everything that the compiled form of `wasm` depends on."""
    made_by = (_FORMAT, version, platform.machine(), sys.platform, fingerprint)
    digest = hashlib.sha256(hashlib.sha256(repr(made_by).encode()).digest())
    digest.update(wasm)
    return digest.hexdigest()
