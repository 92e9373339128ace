"""The directories that a guest can open."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Directory:
    """A directory as a guest sees it: `path` is the guest's name for it, `writable` whether the guest may change it.

    In a directory that is not writable a guest can read files and list directories, and change nothing.
    """

    path: str
    writable: bool = False
