"""The files of a cache of compiled guests.

In: content to keep, and files that may have been changed. Out: complete files, and guests that the engine can run.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import wasmtime
from wasmtime import component

Compiled = TypeVar("Compiled", component.Component, wasmtime.Module)

#: The length of a checksum.
CHECKSUM_LENGTH = 32
#: The suffix of files that are being written.
UNFINISHED = ".cwasm-new"


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


def open_entry(engine: wasmtime.Engine, entry: CacheEntry, kind: type[Compiled]) -> Compiled:
    """Map an entry; raises OSError or WasmtimeError if its content has changed, or is for another engine."""
    with entry.path.open("rb") as file:
        # SHA-256, because most processors compute it as fast as any weaker checksum: 35 MB in 25 ms.
        if hashlib.file_digest(file, "sha256").hexdigest()[:CHECKSUM_LENGTH] != entry.checksum:
            raise OSError("its content has changed")
    return kind.deserialize_file(engine, str(entry.path))


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


def why_foreign(status: os.stat_result) -> str:
    """Return why another user may have written the file with this status; empty if none can have."""
    if os.name != "posix":
        return ""  # access control lists protect the user's directories there
    if status.st_uid != os.geteuid():
        return "it belongs to another user"
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return "other users can write to it"
    return ""
