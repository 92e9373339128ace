"""The user's key that authenticates compiled guests: a file that only this user can read, apart from the cache.

Whoever knows the key can have native code executed, so no guest may be given a directory that contains its file.
"""

from __future__ import annotations

import os
import secrets
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from platformdirs import user_state_path

from wit_host import why_foreign, why_replaceable

#: The length of the key.
_BYTES = 32
#: The permissions of other users.
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
#: No link is followed, a pipe does not block, and nothing is converted.
_READ = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


class UnusableKey(Exception):
    """The key cannot be trusted; the text says why, and what to do."""


def key_path() -> Path | None:
    """The file of the key, whether or not it exists; None for a user without a home directory."""
    path = user_state_path("wasi-nn-torch", appauthor=False) / "keys" / "compiled-guests"
    return path if path.is_absolute() else None


def find_or_make_key(path: Path) -> bytes:
    """Read the key, or make it; processes that do so at the same time get the same one.

    Raises UnusableKey if others may know the key, and OSError if there is none and it cannot be written.
    """
    found = find_key(path)
    if found is None:
        _make(path)
        found = find_key(path)
    if found is None:
        raise UnusableKey(f"another process removed {path}")
    return found


def find_key(path: Path) -> bytes | None:
    """Read the key; None if there is none. Raises UnusableKey if others may know it."""
    try:
        trouble = why_replaceable(path)
        if trouble:
            raise UnusableKey(f"the key {path} cannot be kept there, because {trouble}")
        descriptor = os.open(path, _READ)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise UnusableKey(f"the key {path} cannot be read ({error.strerror}); remove it to get a new one") from None
    try:
        trouble = _why_known(os.fstat(descriptor))
        content = b"" if trouble else os.read(descriptor, _BYTES + 1)
    finally:
        os.close(descriptor)
    if not trouble and len(content) != _BYTES:
        trouble = f"it does not have {_BYTES} bytes"
    if trouble:
        raise UnusableKey(f"the key {path} is not used, because {trouble}; remove it to get a new one")
    return content


def _why_known(status: os.stat_result) -> str:
    """The reason why another user may know the key in this file; empty if none can."""
    if not stat.S_ISREG(status.st_mode):
        return "it is not a file"
    if os.name == "posix" and status.st_mode & _OTHERS:
        return "other users have access to it"
    return why_foreign(status)


def _make(path: Path) -> None:
    """Make a key under its name, complete and for this user alone, unless another process was faster."""
    for directory in reversed(path.parents):
        if not directory.is_dir():
            directory.mkdir(mode=0o700, exist_ok=True)
    handle, unfinished = tempfile.mkstemp(dir=path.parent, prefix=f"{path.name}-")
    try:
        with open(handle, "wb") as file:
            file.write(secrets.token_bytes(_BYTES))
            file.flush()
            os.fsync(handle)
        with suppress(FileExistsError):
            os.link(unfinished, path)
    finally:
        os.unlink(unfinished)
