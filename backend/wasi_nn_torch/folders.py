"""Folders that a guest is lent, and how the command line spells them: `--dir HOST[::GUEST][:ro|:rw]`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

#: How `--help` shows it.
METAVAR = "HOST[::GUEST][:ro|:rw]"

_MODES = {"ro": False, "rw": True}


@dataclass(frozen=True)
class Directory:
    """A folder as a guest sees it: `path` is the guest's name for it, `writable` whether the guest may change it.

    In a folder that is not writable a guest can read files and list folders, and change nothing.
    """

    path: str
    writable: bool = False


def parse_folder(text: str) -> tuple[str, Directory]:
    """The host's path and what the guest sees; raises ValueError.

    Without a name for the guest it is the host's, and without `:rw` read-only. A name for the guest that has a colon in
    it needs one of `:ro` and `:rw` behind it.
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


def parse_folders(texts: list[str]) -> dict[str, Directory]:
    """Several folders; raises ValueError if one is given twice."""
    folders: dict[str, Directory] = {}
    for text in texts:
        host, folder = parse_folder(text)
        if host in folders:
            raise ValueError(f"the folder `{host}` is given twice; give it once")
        folders[host] = folder
    return folders


def _with_one_name(text: str) -> tuple[str, Directory]:
    """`HOST[:ro|:rw]`, where a path of the host may have colons in it if there is such a folder."""
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
