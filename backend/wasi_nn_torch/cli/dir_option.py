"""The command line's `--dir HOST[::GUEST][:ro|:rw]`: the only place that knows how it is spelled."""

from __future__ import annotations

import os
from pathlib import Path

from wasi_nn_torch.sessions.directories import Directory

#: How `--help` shows it.
METAVAR = "HOST[::GUEST][:ro|:rw]"

_MODES = {"ro": False, "rw": True}


def parse_directory(text: str) -> tuple[str, Directory]:
    """The host's path and what the guest sees; raises ValueError.

    Without a name for the guest it is the host's, and without `:rw` read-only. A name for the guest that has a colon in
    it needs one of `:ro` and `:rw` after it.
    """
    host, separator, rest = text.partition("::")
    if not separator:
        return _with_one_name(text)
    guest, mode = _split(rest)
    if not host or not guest or guest.endswith(":"):
        raise ValueError(f"`{text}` is not {METAVAR}")
    if mode is None and ":" in guest:
        raise ValueError(f"`{text}` ends with neither :ro nor :rw, which a guest's name with a colon in it needs")
    return host, Directory(guest, mode or False)


def parse_directories(texts: list[str]) -> dict[str, Directory]:
    """Several directories; raises ValueError if one is given twice."""
    directories: dict[str, Directory] = {}
    for text in texts:
        host, directory = parse_directory(text)
        if host in directories:
            raise ValueError(f"the directory `{host}` is given twice; give it once")
        directories[host] = directory
    return directories


def _with_one_name(text: str) -> tuple[str, Directory]:
    """`HOST[:ro|:rw]`, where a path of the host may have colons in it if there is such a directory."""
    host, mode = _split(text)
    if not host or (":" in os.path.splitdrive(host)[1] and not Path(host).exists()):
        raise ValueError(f"`{text}` is not {METAVAR}{_hint(text)}")
    return host, Directory(host, mode or False)


def _hint(text: str) -> str:
    """How to spell what WasmEdge takes as `GUEST:HOST[:readonly]`, if this may be meant."""
    guest, _, rest = text.partition(":")
    host = rest.removesuffix(":readonly")
    if not guest or not host:
        return ""
    mode = "" if host != rest else ":rw"
    return f"; WasmEdge's GUEST:HOST is `{host}::{guest}{mode}` here"


def _split(text: str) -> tuple[str, bool | None]:
    """A path, and whether what follows it says `rw` or `ro`; None if nothing does."""
    path, separator, mode = text.rpartition(":")
    return (path, _MODES[mode]) if separator and mode in _MODES else (text, None)
