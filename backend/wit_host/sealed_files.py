"""Files without a name that only this process has, and that nothing can change once they are sealed.

In: what is written. Out: on Linux, memory that is used like a file, and that the kernel seals; on other systems, an
unlinked temporary file, which has no seal.
"""

from __future__ import annotations

import os
import sys
import tempfile

if sys.platform == "linux":
    import fcntl


def new_file(purpose: str) -> int:
    """Make an empty file, and return its descriptor, which the caller closes; raises OSError.

    `purpose` is shown in the system's lists of files and mappings.
    """
    if sys.platform == "linux":
        return os.memfd_create(purpose, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    with tempfile.TemporaryFile(buffering=0) as file:
        return os.dup(file.fileno())


def seal(descriptor: int) -> None:
    """Let nobody write to the file, nor change its size, where the system can do so."""
    if sys.platform == "linux":
        seals = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
