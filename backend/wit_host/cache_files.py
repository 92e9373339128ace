"""The files of a cache of compiled guests.

In: content to keep, and files that may have been changed. Out: complete files, and guests that the engine can run.
"""

from __future__ import annotations

import hmac
import os
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import wasmtime

from .private_copy import Compiled, PrivateCopy

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
