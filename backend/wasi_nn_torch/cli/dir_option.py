"""The syntax of `--dir HOST[::GUEST][:ro|:rw]`."""

from __future__ import annotations

import os
from pathlib import Path

from wasi_nn_torch.sessions.directories import Directory

#: The metavar in `--help`.
METAVAR = "HOST[::GUEST][:ro|:rw]"

_MODES = {"ro": False, "rw": True}


def parse_directory(text: str) -> tuple[str, Directory]:
    """Return the path on the host and the directory as the guest sees it; raises ValueError.

    The guest's path defaults to the host's, and access to read-only. If the guest's path contains a colon, it must be
    followed by `:ro` or `:rw`.
    """
    host, separator, rest = text.partition("::")
    if not separator:
        return _with_one_name(text)
    guest, mode = _split(rest)
    if not host or not guest or guest.endswith(":"):
        raise ValueError(f"`{text}` is not {METAVAR}")
    if mode is None and ":" in guest:
        raise ValueError(f"`{text}` must end with :ro or :rw, because the guest's path contains a colon")
    return host, Directory(guest, mode or False)


def parse_directories(texts: list[str]) -> dict[str, Directory]:
    """Several directories; raises ValueError for duplicates."""
    directories: dict[str, Directory] = {}
    for text in texts:
        host, directory = parse_directory(text)
        if host in directories:
            raise ValueError(f"directory `{host}` is given more than once")
        directories[host] = directory
    return directories


def _with_one_name(text: str) -> tuple[str, Directory]:
    """`HOST[:ro|:rw]`; a path that contains colons is accepted only if it exists."""
    host, mode = _split(text)
    if not host or (":" in os.path.splitdrive(host)[1] and not Path(host).exists()):
        raise ValueError(f"`{text}` is not {METAVAR}{_hint(text)}")
    return host, Directory(host, mode or False)


def _hint(text: str) -> str:
    """The counterpart of WasmEdge's `GUEST:HOST[:readonly]`, if the text looks like that."""
    guest, _, rest = text.partition(":")
    host = rest.removesuffix(":readonly")
    if not guest or not host:
        return ""
    mode = "" if host != rest else ":rw"
    return f"; WasmEdge's GUEST:HOST is `{host}::{guest}{mode}` here"


def _split(text: str) -> tuple[str, bool | None]:
    """Split off the mode: the path, and whether the mode is `rw`, or None without a mode."""
    path, separator, mode = text.rpartition(":")
    return (path, _MODES[mode]) if separator and mode in _MODES else (text, None)
