"""Compiled components and core modules, kept in a directory so that the next start need not compile them again.

In: the bytes of a guest, and the engine that compiles them. Out: the compiled guest.

An entry is one file, `<key>-<tag>.cwasm`. The key stands for the bytes, the compiler and its settings. The content is
native code, which Wasmtime runs and hardly checks. So the tag is an HMAC of key and content with a secret of the user:
without the secret nobody can make an entry, change one, or give one the name of another. What is loaded is a copy of
exactly the bytes that the tag belongs to. An entry that is not authentic is compiled again.

Next to an entry is `<key>.cwasm-name` with the name of the guest, for people only.

Any number of threads and processes may use one directory; those that want the same guest at the same time wait for the
first one to compile it. A guest runs even if its file cannot be read or written.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import platform
import sys
import time
from contextlib import suppress
from weakref import WeakSet

import wasmtime
from wasmtime import component

from .cache_directory import CacheDirectory
from .cache_files import open_entry, sign
from .compiling import Compiling
from .made_for import installed_wasmtime
from .private_copy import Compiled

logger = logging.getLogger(__name__)

#: Part of every key: a change of this number invalidates all entries.
_FORMAT = 2
#: The fewest bytes of a secret: those of a tag.
_SHORTEST_SECRET = 32
#: The errors of a full disk.
_FULL = {errno.ENOSPC, errno.EDQUOT}


class CompileCache:
    """Keeps compiled components in the directory `folder`, at most `largest` bytes; the least recently used go first.

    `secret` authenticates what is in the directory: whoever knows it can have native code executed. Raises ValueError
    if it is too short. The first `compile` creates the directory, for this user alone. A directory that belongs to
    another user, or that other users can write to or replace, is not used.
    """

    def __init__(self, folder: str | os.PathLike[str], secret: bytes, largest: int = 2 << 30) -> None:
        if len(secret) < _SHORTEST_SECRET:
            raise ValueError(f"the secret of a cache has {len(secret)} bytes; use at least {_SHORTEST_SECRET}")
        self.directory = CacheDirectory(folder, largest)
        self._secret = secret
        self._version = installed_wasmtime()
        self._supplied: WeakSet[component.Component | wasmtime.Module] = WeakSet()
        self._warned: set[str] = set()

    def compile(
        self, compiling: Compiling, fingerprint: str, wasm: bytes, kind: type[Compiled], name: str = ""
    ) -> Compiled:
        """Load the compiled form of `wasm` from the directory, or have it compiled and keep it there.

        `fingerprint` is different for every configuration of an engine. `name` is the name for people. Raises
        `wasmtime.WasmtimeError` if `wasm` is not a valid guest of this `kind`, and the exceptions of a compiler.
        """
        if not self._is_usable():
            return compiling.compile(wasm, kind)[0]
        key = _key(self._version, fingerprint, wasm)
        kept = self._load(compiling.engine, key, kind)
        if kept is None:
            with self.directory.alone(key):
                kept = self._load(compiling.engine, key, kind)  # another process may have compiled it meanwhile
                if kept is None:
                    return self._compile(compiling, key, wasm, kind, name)
        self._supplied.add(kept)
        return kept

    def _compile(self, compiling: Compiling, key: str, wasm: bytes, kind: type[Compiled], name: str) -> Compiled:
        started = time.perf_counter()
        compiled, content = compiling.compile(wasm, kind)
        logger.info("miss %s: compiled %d bytes in %.3f s", key[:16], len(wasm), time.perf_counter() - started)
        self._keep(key, content or compiled.serialize(), name)
        return compiled

    def supplied(self, compiled: component.Component | wasmtime.Module) -> bool:
        """Return whether this was loaded from the directory, not compiled."""
        return compiled in self._supplied

    def _is_usable(self) -> bool:
        if not self._version:
            self._warn_not_used("the version of Wasmtime is not known")
            return False
        trouble = self.directory.trouble()
        if not trouble:
            try:
                self.directory.create()
            except OSError as error:
                logger.info("compiled components are not kept: %s", _shown(error))
                return False
            trouble = self.directory.trouble()  # another user may have created it just before
        if trouble:
            self._warn_not_used(trouble)
        return not trouble

    def _warn_not_used(self, trouble: str) -> None:
        self._warn(f"{self.directory.folder} is not used for compiled components, because {trouble}")

    def _warn(self, text: str) -> None:
        if text not in self._warned:
            self._warned.add(text)
            logger.warning("%s", _shown(text))

    def _load(self, engine: wasmtime.Engine, key: str, kind: type[Compiled]) -> Compiled | None:
        for entry in list(self.directory.entries_of(key)):
            started = time.perf_counter()
            try:
                kept = open_entry(engine, entry, self._secret, kind)
            except (OSError, wasmtime.WasmtimeError) as error:
                if entry.path.exists():  # unless another process has just removed it
                    logger.info("entry %s is compiled again: %s", entry, " ".join(str(error).split()))
                    self.directory.remove(entry)
                continue
            now = time.time_ns()
            with suppress(OSError):
                os.utime(entry.path, ns=(now, now))
            logger.info("hit %s: loaded %d bytes in %.3f s", entry, entry.size, time.perf_counter() - started)
            return kept
        return None

    def _keep(self, key: str, content: bytes | bytearray, name: str) -> None:
        started = time.perf_counter()
        if len(content) > self.directory.largest:
            logger.info("%s is not kept: its %d bytes are more than all may have", key[:16], len(content))
            return
        tag = sign(self._secret, key)
        tag.update(content)
        path = self.directory.path(key, tag.hexdigest())
        try:
            self.directory.write(path, content)
            if name:
                self.directory.write_name(key, name)
        except OSError as error:
            if error.errno in _FULL:
                folder = self.directory.folder
                self._warn(f"compiled components are not kept, because there is no space left for {folder}")
            else:
                logger.info("%s is not kept: %s", key[:16], _shown(error))
            return
        logger.info("stored %s: %d bytes in %.3f s", key[:16], len(content), time.perf_counter() - started)
        self.directory.make_room(path)


def _shown(message: object) -> str:
    """Return a text that can be encoded, whatever bytes a path in it has."""
    return str(message).encode(errors="backslashreplace").decode()


def _key(version: str, fingerprint: str, wasm: bytes) -> str:
    """Return a name that stands for everything that the compiled form of `wasm` depends on."""
    made_by = (_FORMAT, version, platform.machine(), sys.platform, fingerprint)
    digest = hashlib.sha256(hashlib.sha256(repr(made_by).encode()).digest())
    digest.update(wasm)
    return digest.hexdigest()
