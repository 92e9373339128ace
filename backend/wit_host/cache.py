"""Compiled components and core modules, kept in a folder so that the next start need not compile them again.

In: the bytes of a guest, and the engine that compiles them. Out: what they are compiled to.

An entry is one file, `<key>-<checksum>.cwasm`. The key stands for what was compiled, by what and how; the checksum is
that of the file's content, so that neither can ever be paired with a stranger. The content is native code, which
Wasmtime maps into memory and hardly checks. So an entry is used only where nobody else can write to the folder or the
file, and only with the content that was written: whatever else is found there is compiled again.

Beside an entry lies `<key>.cwasm-name`, which says what the guest was called, for people only.

Any number of threads and processes may use one folder. A file gets its name when all of it is written, and may be
removed at any time: who maps it keeps what is mapped. Nothing that goes wrong with a file keeps a guest from running.
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
import tempfile
import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TypeVar
from weakref import WeakSet

import wasmtime
from wasmtime import component

from .printing import printable

logger = logging.getLogger(__name__)

Compiled = TypeVar("Compiled", component.Component, wasmtime.Module)

#: Part of every key: another number makes all entries those of another time.
_FORMAT = 1
#: The length of a checksum.
_DIGITS = 32
_ENTRY = re.compile(rf"(?P<key>[0-9a-f]{{64}})-(?P<checksum>[0-9a-f]{{{_DIGITS}}})\.cwasm")
#: How files end that are being written.
_UNFINISHED = ".cwasm-new"
#: How files end that say what a guest was called, and how many characters of that they have at most.
_NAME = ".cwasm-name"
_LONGEST_NAME = 64
#: Files that were begun longer ago than this were left by a process that was killed, in seconds.
_ABANDONED = 3600.0
#: By this much the clocks of machines that share a folder may differ, in seconds.
_SKEW = 3600.0
_FULL = {errno.ENOSPC, errno.EDQUOT}


@dataclass(frozen=True)
class CacheEntry:
    """One compiled component: its file, its size in bytes, and when it was last used, in seconds since 1970."""

    path: Path
    key: str
    checksum: str
    size: int
    used: float

    def __str__(self) -> str:
        return self.key[:16]


class CompileCache:
    """Keeps compiled components in `folder`, together at most `largest` bytes; the least recently used go first.

    The folder is made, for this user alone, by the first `compile`. One that belongs to another user, or
    that other users can write to, is not used.
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
        """What `engine` compiles `wasm` to, from the folder if it is there, else to be found there next time.

        `fingerprint` is different for every configuration of an engine. `name` is what `names` says of it. Raises
        `wasmtime.WasmtimeError` if `wasm` is no component, or no core module, that is valid; `kind` says which it
        should be.
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
        """Whether this was found in the folder, rather than compiled."""
        return compiled in self._supplied

    def trouble(self) -> str:
        """Why the folder, which may be missing, is not used; empty if it is."""
        if not self._version:
            return "the version of Wasmtime is not known"
        try:
            str(self.folder).encode()  # as Wasmtime takes it
            return _foreign(self.folder.stat())
        except UnicodeEncodeError:
            return "its path is not valid Unicode"
        except OSError:
            return ""

    def entries(self) -> list[CacheEntry]:
        """What is kept, the least recently used first; None if the folder cannot be read."""
        latest = time.time() + _SKEW
        # A time to come is from a clock that has been put right, and says nothing of when the entry was used.
        return sorted(self._entries(), key=lambda entry: (entry.used <= latest, entry.used))

    def names(self) -> dict[str, str]:
        """What guests were called when they were compiled, by the key of their entries, as far as it is known.

        A name is a line of at most 64 characters, all of which can be shown.
        """
        found = {}
        for file, status in self._files("", _NAME):
            if not _foreign(status) and status.st_size <= 4 * _LONGEST_NAME:  # as many bytes have so many characters
                with suppress(OSError, UnicodeDecodeError):
                    found[file.removesuffix(_NAME)] = printable((self.folder / file).read_text("utf-8"), _LONGEST_NAME)
        return {key: name for key, name in found.items() if name}

    def clear(self, keys: Collection[str] | None = None) -> list[CacheEntry]:
        """Remove the entries with these keys, by default all, and what killed processes left of some.

        Returns the entries that were removed.
        """
        if self.trouble():
            return []
        self._remove_abandoned()
        chosen = [entry for entry in self.entries() if keys is None or entry.key in keys]
        removed = [entry for entry in chosen if self._remove(entry)]
        left = {entry.key for entry in self.entries()}
        for file, _ in self._files("", _NAME):  # of entries that are gone
            if file.removesuffix(_NAME) not in left:
                with suppress(OSError):
                    (self.folder / file).unlink()
        return removed

    # --- the folder ---

    def _is_usable(self) -> bool:
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            logger.info("compiled components are not kept: %s", _shown(error))
            return False
        trouble = self.trouble()  # it may be a folder that somebody else made just before
        if trouble:
            self._warn(f"{self.folder} is not used for compiled components, because {trouble}")
        return not trouble

    def _warn(self, text: str) -> None:
        if text not in self._warned:
            self._warned.add(text)
            logger.warning("%s", _shown(text))

    def _entries(self, key: str = "") -> Iterator[CacheEntry]:
        """The entries of one key, or all; only regular files of this user are entries."""
        for name, status in self._files(key, ".cwasm"):
            match = _ENTRY.fullmatch(name)
            if match and not _foreign(status):
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
                kept = _open(engine, entry, kind)
            except (OSError, wasmtime.WasmtimeError) as error:
                if entry.path.exists():  # or another process has just removed it
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
        path = self.folder / f"{key}-{hashlib.sha256(content).hexdigest()[:_DIGITS]}.cwasm"
        try:
            _write(path, content)
            if name:
                _write(self.folder / f"{key}{_NAME}", printable(name, _LONGEST_NAME).encode())
        except OSError as error:
            if error.errno in _FULL:
                self._warn(f"compiled components are not kept, because there is no space left for {self.folder}")
            else:
                logger.info("%s is not kept: %s", key[:16], _shown(error))
            return
        logger.info("stored %s: %d bytes in %.3f s", key[:16], len(content), time.perf_counter() - started)
        self._make_room(path)

    def _make_room(self, newest: Path) -> None:
        """Remove entries until the rest is small enough, the newest in any case among it."""
        self._remove_abandoned()
        entries = self.entries()
        total = sum(entry.size for entry in entries)
        for entry in entries:
            if total <= self.largest:
                return
            if entry.path != newest and self._remove(entry):
                logger.info("evicted %s: %d bytes, last used %.0f s ago", entry, entry.size, time.time() - entry.used)
            if not entry.path.exists():  # it may be another process that removed it
                total -= entry.size

    def _remove(self, entry: CacheEntry) -> bool:
        """Whether this call removed it; Windows lets nobody remove a file that a process has mapped."""
        try:
            entry.path.unlink()
        except OSError:
            return False
        with suppress(OSError):
            (self.folder / f"{entry.key}{_NAME}").unlink()
        return True

    def _remove_abandoned(self) -> None:
        for name, status in self._files("", _UNFINISHED):
            if abs(time.time() - status.st_mtime) > _ABANDONED:
                with suppress(OSError):
                    (self.folder / name).unlink()


def _shown(message: object) -> str:
    """A text that can be written anywhere, whatever a path in it is made of."""
    return str(message).encode(errors="backslashreplace").decode()


def _wasmtime_version() -> str:
    """The version that is installed; empty if nothing says so, as in some bundles."""
    with suppress(metadata.PackageNotFoundError):
        return metadata.version("wasmtime")
    return ""


def _key(version: str, fingerprint: str, wasm: bytes) -> str:
    """Everything that decides what `wasm` is compiled to, as a name."""
    made_by = (_FORMAT, version, platform.machine(), sys.platform, fingerprint)
    digest = hashlib.sha256(hashlib.sha256(repr(made_by).encode()).digest())
    digest.update(wasm)
    return digest.hexdigest()


def _open(engine: wasmtime.Engine, entry: CacheEntry, kind: type[Compiled]) -> Compiled:
    """Map an entry; raises OSError or WasmtimeError if it is not what was written, or not for this engine."""
    with entry.path.open("rb") as file:
        # SHA-256, because most processors compute it as fast as any sum that is weaker: 35 MB in 25 ms.
        if hashlib.file_digest(file, "sha256").hexdigest()[:_DIGITS] != entry.checksum:
            raise OSError("its content is not what was written")
    return kind.deserialize_file(engine, str(entry.path))


def _write(path: Path, content: bytes | bytearray) -> None:
    """Write a file that only this user can read; whoever looks for it finds the whole of it or nothing."""
    handle, unfinished = tempfile.mkstemp(dir=path.parent, prefix="", suffix=_UNFINISHED)
    try:
        with open(handle, "wb") as file:
            file.write(content)
        os.replace(unfinished, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(unfinished)
        raise


def _foreign(status: os.stat_result) -> str:
    """Why somebody else may have written what has this status; empty if nobody can have."""
    if os.name != "posix":
        return ""  # the user's folders are guarded by access control lists there
    if status.st_uid != os.geteuid():
        return "it belongs to another user"
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return "other users can write to it"
    return ""
