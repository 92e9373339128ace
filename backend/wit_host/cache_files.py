"""The files of a cache of compiled guests.

In: content to keep, and files that may have been changed. Out: complete files, and guests that the engine can run.
"""

from __future__ import annotations

import hmac
import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import wasmtime

from .private_copy import Compiled, PrivateCopy

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

#: The suffix of files that are being written.
UNFINISHED = ".cwasm-new"
#: The bytes that are read at once.
_PIECE = 1 << 20


@dataclass(frozen=True)
class CacheEntry:
    """One compiled component: its file, its size in bytes, and when it was last used, in seconds since 1970."""

    path: Path
    key: str
    tag: str
    size: int
    used: float

    def __str__(self) -> str:
        return self.key[:16]


def sign(secret: bytes, key: str) -> hmac.HMAC:
    """Begin the tag of an entry, which only a holder of `secret` can make; update it with the entry's content."""
    # SHA-256, because most processors compute it as fast as any weaker function: 35 MB in 25 ms.
    return hmac.new(secret, key.encode(), "sha256")  # all keys have the same length


def open_entry(engine: wasmtime.Engine, entry: CacheEntry, secret: bytes, kind: type[Compiled]) -> Compiled:
    """Load an entry from a copy of exactly the bytes that its tag belongs to.

    Raises OSError if the tag is not authentic, and WasmtimeError if the content is for another engine.
    """
    tag = sign(secret, entry.key)
    with entry.path.open("rb") as file, PrivateCopy() as copy:
        while piece := file.read(_PIECE):
            tag.update(piece)
            copy.write(piece)
        if not hmac.compare_digest(tag.hexdigest(), entry.tag):
            raise OSError("its content has changed, or was not written with this user's key")
        return copy.load(engine, kind)


def write_whole(path: Path, content: bytes | bytearray) -> None:
    """Write a file that only this user can read; a reader finds the whole of it or no file."""
    handle, unfinished = tempfile.mkstemp(dir=path.parent, prefix="", suffix=UNFINISHED)
    try:
        with open(handle, "wb") as file:
            file.write(content)
        os.replace(unfinished, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(unfinished)
        raise


def lock_file(path: Path) -> Callable[[], None] | None:
    """Create a file and lock it, once whoever has locked it has removed it; returns what unlocks and removes it.

    A lock ends with its process. Returns None on a system without such locks; raises OSError if the directory has none.
    """
    if fcntl is None:
        return None
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            if _is_at(handle, path):
                return partial(_unlock, handle, path)
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


def _is_at(handle: int, path: Path) -> bool:
    """Whether an open file is still the one of this path."""
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path, follow_symlinks=False))
    except FileNotFoundError:
        return False


def _unlock(handle: int, path: Path) -> None:
    with suppress(OSError):
        if _is_at(handle, path):
            os.unlink(path)
    fcntl.flock(handle, fcntl.LOCK_UN)  # for copies in forked processes, too
    os.close(handle)
