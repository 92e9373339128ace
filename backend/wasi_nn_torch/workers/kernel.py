"""Calls of the Linux kernel that Python has no functions for, and the numbers of system calls."""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from functools import cache
from typing import Any

#: What a system call reads at an address.
_Memory = ctypes.Array[Any] | ctypes.Structure

PR_SET_PDEATHSIG = 1
PR_SET_NAME = 15
PR_SET_NO_NEW_PRIVS = 38
PR_SET_VMA = 0x53564D41

#: The architectures whose system calls are known, as `platform.machine` spells them, in the order of `NUMBERS`.
ARCHITECTURES = ("x86_64", "aarch64")

#: The numbers of system calls on each of `ARCHITECTURES`; None if an architecture does not have the call.
NUMBERS: dict[str, tuple[int | None, int | None]] = {
    "access": (21, None),
    "arch_prctl": (158, None),
    "brk": (12, 214),
    "capset": (126, 91),
    "clock_getres": (229, 114),
    "clock_gettime": (228, 113),
    "clock_nanosleep": (230, 115),
    "clone": (56, 220),
    "clone3": (435, 435),
    "close": (3, 57),
    "epoll_create1": (291, 20),
    "epoll_ctl": (233, 21),
    "epoll_pwait": (281, 22),
    "epoll_wait": (232, None),
    "eventfd2": (290, 19),
    "exit": (60, 93),
    "exit_group": (231, 94),
    "faccessat": (269, 48),
    "faccessat2": (439, 439),
    "fcntl": (72, 25),
    "fstat": (5, 80),
    "ftruncate": (77, 46),
    "futex": (202, 98),
    "get_mempolicy": (239, 236),
    "getcpu": (309, 168),
    "getcwd": (79, 17),
    "getdents64": (217, 61),
    "getegid": (108, 177),
    "geteuid": (107, 175),
    "getgid": (104, 176),
    "getpid": (39, 172),
    "getrandom": (318, 278),
    "getrusage": (98, 165),
    "gettid": (186, 178),
    "gettimeofday": (96, 169),
    "getuid": (102, 174),
    "ioctl": (16, 29),
    "landlock_add_rule": (445, 445),
    "landlock_create_ruleset": (444, 444),
    "landlock_restrict_self": (446, 446),
    "lseek": (8, 62),
    "lstat": (6, None),
    "madvise": (28, 233),
    "mbind": (237, 235),
    "memfd_create": (319, 279),
    "mincore": (27, 232),
    "mlock": (149, 228),
    "mmap": (9, 222),
    "mprotect": (10, 226),
    "mremap": (25, 216),
    "munmap": (11, 215),
    "nanosleep": (35, 101),
    "newfstatat": (262, 79),
    "open": (2, None),
    "openat": (257, 56),
    "pipe2": (293, 59),
    "poll": (7, None),
    "ppoll": (271, 73),
    "prctl": (157, 167),
    "prlimit64": (302, 261),
    "pselect6": (270, 72),
    "read": (0, 63),
    "readlink": (89, None),
    "readlinkat": (267, 78),
    "readv": (19, 65),
    "recvfrom": (45, 207),
    "recvmsg": (47, 212),
    "restart_syscall": (219, 128),
    "rseq": (334, 293),
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "sched_getaffinity": (204, 123),
    "sched_setaffinity": (203, 122),
    "sched_yield": (24, 124),
    "seccomp": (317, 277),
    "select": (23, None),
    "sendmsg": (46, 211),
    "sendto": (44, 206),
    "set_robust_list": (273, 99),
    "sigaltstack": (131, 132),
    "stat": (4, None),
    "statfs": (137, 43),
    "statx": (332, 291),
    "sysinfo": (99, 179),
    "tgkill": (234, 131),
    "time": (201, None),
    "uname": (63, 160),
    "write": (1, 64),
    "writev": (20, 66),
}


def unsupported() -> str | None:
    """The reason why system calls of this system are not known, or None."""
    if sys.platform != "linux":
        return f"this system is {sys.platform}, not Linux"
    if platform.machine() not in ARCHITECTURES or sys.maxsize < 2**32:
        bits = sys.maxsize.bit_length() + 1
        return f"this is {platform.machine()} with {bits} bits, not {' or '.join(ARCHITECTURES)} with 64"
    return None


def number(name: str, machine: str) -> int | None:
    """The number of a system call on a machine, or None if it does not have the call."""
    return NUMBERS[name][ARCHITECTURES.index(machine)]


def call(name: str, *arguments: int | _Memory | None) -> int:
    """Make a system call, and return its result; a structure is passed by its address. Raises OSError."""
    found = number(name, platform.machine())
    if found is None:
        raise NotImplementedError(f"{platform.machine()} does not have the system call {name}")
    return _checked(_library().syscall(ctypes.c_long(found), *map(_argument, arguments)), name)


def prctl(option: int, value: int) -> None:
    """Set an attribute of the process. Raises OSError."""
    _checked(_library().prctl(option, *map(ctypes.c_ulong, (value, 0, 0, 0))), f"prctl({option})")


def _argument(value: int | _Memory | None) -> object:
    return ctypes.c_long(value) if isinstance(value, int) else value if value is None else ctypes.byref(value)


def _checked(result: int, name: str) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")
    return result


@cache
def _library() -> ctypes.CDLL:
    library = ctypes.CDLL(None, use_errno=True)
    library.syscall.restype = ctypes.c_long
    return library
