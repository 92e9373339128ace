"""Landlock: the kernel refuses a process files, network, and signals to others."""

from __future__ import annotations

import ctypes
import errno
import glob
import os
import sys
from collections.abc import Iterable

from wasi_nn_torch.workers.kernel import call

_VERSION = 1  # a flag of landlock_create_ruleset: return the version of the ABI
_PATH_BENEATH = 1

_READ_FILE, _WRITE_FILE, _READ_DIR, _IOCTL = 1 << 2, 1 << 1, 1 << 3, 1 << 15
_READ = _READ_FILE | _READ_DIR

#: From which version of the ABI on there are which rights to files, in bits, and what they are called.
_FILES = (
    (1, (1 << 13) - 1, "files"),
    (2, 1 << 13, "moving files"),
    (3, 1 << 14, "truncating files"),
    (5, _IOCTL, "ioctl on devices"),
)
_NETWORK = ((4, 0b11, "TCP ports"),)
_SCOPES = ((6, 0b11, "abstract sockets and signals"),)

#: The files of accelerators, and what their drivers read.
_DEVICES = ("/dev/nvidia*", "/dev/nvidia-caps/*", "/dev/dri", "/dev/kfd")
_READABLE = (
    "/proc/self",
    "/proc/driver/nvidia",
    "/proc/devices",
    "/proc/meminfo",
    "/proc/cpuinfo",
    "/sys",
    "/usr",
    "/lib*",
)


class _Ruleset(ctypes.Structure):
    _fields_ = [("files", ctypes.c_uint64), ("network", ctypes.c_uint64), ("scopes", ctypes.c_uint64)]


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = [("access", ctypes.c_uint64), ("parent", ctypes.c_int32)]


def abi() -> int:
    """The version of the kernel's ABI, or 0 if it does not offer Landlock."""
    try:
        return call("landlock_create_ruleset", None, 0, _VERSION)
    except OSError:
        return 0


def refused() -> list[str]:
    """What this kernel can refuse."""
    version = abi()
    return [what for since, _, what in (*_FILES, *_NETWORK, *_SCOPES) if since <= version]


def lacking() -> str | None:
    """What this kernel lacks, or None."""
    if abi() > 0:
        return None
    return (
        "the kernel does not offer Landlock, or the container refuses it; use Linux 5.13 or later, with `landlock` in "
        "its parameter `lsm`, and a profile of the container that allows the system calls of Landlock"
    )


def restrict(devices: bool = False) -> None:
    """Refuse the calling thread, from now on and irrevocably, everything that this kernel can refuse.

    `devices` leaves accelerators, and the files that their drivers need. Needs no_new_privs. Raises OSError.
    """
    version = abi()
    if not version:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
    asked = _Ruleset(*(_bits(rights, version) for rights in (_FILES, _NETWORK, _SCOPES)))
    size = 8 if version < 4 else 16 if version < 6 else 24  # what the kernel knows of the structure
    ruleset = call("landlock_create_ruleset", asked, size, 0)
    try:
        if devices:
            _permit(ruleset, _matching(_DEVICES), asked.files & (_READ | _WRITE_FILE | _IOCTL))
            _permit(ruleset, [*_matching(_READABLE), *_packages()], _READ)
        call("landlock_restrict_self", ruleset, 0)
    finally:
        os.close(ruleset)


def _bits(rights: Iterable[tuple[int, int, str]], version: int) -> int:
    return sum(bits for since, bits, _ in rights if since <= version)


def _matching(patterns: Iterable[str]) -> list[str]:
    return [path for pattern in patterns for path in sorted(glob.glob(pattern))]


def _packages() -> list[str]:
    """The folders of installed packages, which have libraries of accelerators."""
    return [path for path in sys.path if os.path.basename(path) in ("site-packages", "dist-packages")]


def _permit(ruleset: int, paths: Iterable[str], access: int) -> None:
    for path in paths:
        parent = os.open(path, os.O_PATH | os.O_CLOEXEC)
        try:
            fitting = access if os.path.isdir(path) else access & ~_READ_DIR
            call("landlock_add_rule", ruleset, _PATH_BENEATH, _PathBeneath(fitting, parent), 0)
        finally:
            os.close(parent)
