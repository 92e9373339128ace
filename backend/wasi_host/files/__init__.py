"""The files of a guest: in memory, or beneath a folder of the host.

preopens                the directories that a guest begins with
descriptors             the resources of `wasi:filesystem`, with all checks
asked, transfer, errors what a guest asks, its streams, and its errors
memory, folder          the two kinds of files
opened                  what both can do
paths                   following a path step by step
"""

from __future__ import annotations

from .folder import Folder
from .memory import Files
from .preopens import Filesystem, Preopens

__all__ = ["Files", "Filesystem", "Folder", "Preopens"]
