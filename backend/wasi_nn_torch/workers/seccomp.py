"""The system calls that a confined process may make; all others fail."""

from __future__ import annotations

import ctypes
import errno
import os
import platform
from collections.abc import Iterable, Iterator

from wasi_nn_torch.workers.bpf import ALLOW, INT, KILL_PROCESS, LONG, Alternatives, Check, assemble, errno_action
from wasi_nn_torch.workers.kernel import PR_SET_NAME, PR_SET_VMA, call, number

_SET_MODE_FILTER, _GET_ACTION_AVAIL = 1, 2

#: Calls on open descriptors, the process's own memory, its threads and signal handlers, and clocks.
_ALLOWED = (
    "futex read write readv writev recvmsg sendmsg recvfrom close fstat lseek poll ppoll select pselect6 "
    "munmap mremap mprotect madvise brk "
    "clock_gettime clock_getres clock_nanosleep nanosleep gettimeofday time getrandom "
    "sched_yield sched_getaffinity getcpu "
    "rt_sigaction rt_sigprocmask rt_sigreturn sigaltstack restart_syscall "
    "rseq set_robust_list gettid getpid exit exit_group getrusage sysinfo"
).split()

#: What drivers of accelerators need besides: files, which Landlock restricts, and events.
_FOR_DEVICES = (
    "access epoll_create1 epoll_ctl epoll_pwait epoll_wait eventfd2 faccessat faccessat2 ftruncate get_mempolicy "
    "getcwd getdents64 getegid geteuid getgid getuid ioctl lstat mbind memfd_create mincore mlock mmap newfstatat open "
    "openat pipe2 readlink readlinkat sched_setaffinity stat statfs statx uname"
).split()

_F_GETFD, _F_SETFD, _F_GETFL, _F_SETFL, _F_DUPFD_CLOEXEC, _F_GET_SEALS = 1, 2, 3, 4, 1030, 1034
# ARCH_GET_XCOMP_SUPP, ARCH_GET_XCOMP_PERM and ARCH_REQ_XCOMP_PERM: the registers for products of matrices.
_XCOMP = (0x1021, 0x1022, 0x1023)

_MAP_SHARED, _MAP_ANONYMOUS = 0x01, 0x20
# MAP_PRIVATE, MAP_FIXED, MAP_NORESERVE, MAP_POPULATE, MAP_STACK and MAP_FIXED_NOREPLACE. MAP_GROWSDOWN and MAP_HUGETLB
# are left out: the kernel does not count the former's memory as data, and the latter's is reserved for others.
_MAP_OTHERS = 0x02 | 0x10 | 0x4000 | 0x8000 | 0x20000 | 0x100000
_MAP_PRIVATELY = _MAP_OTHERS | _MAP_ANONYMOUS
_MAP_DESCRIPTOR = _MAP_OTHERS | _MAP_SHARED

# The flags with which the C libraries of GNU and musl create a thread.
_THREADS = (0x3D0F00, 0x7D0F00)


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p)]


def lacking() -> str | None:
    """What this kernel lacks, or None."""
    try:
        for action in (ALLOW, errno_action(0), KILL_PROCESS):
            call("seccomp", _GET_ACTION_AVAIL, 0, ctypes.create_string_buffer(action.to_bytes(4, "little"), 4))
    except OSError as error:
        return f"the kernel does not offer filters for system calls ({error.strerror})"
    return None


def restrict(devices: bool = False) -> None:
    """Refuse, from now on and irrevocably, the calling thread all system calls but those that it needs.

    Needs no_new_privs. Raises OSError.
    """
    install(*assemble_filter(platform.machine(), os.getpid(), devices))


def install(instructions: bytes, length: int) -> None:
    """Let a filter decide about the system calls of the calling thread from now on. Raises OSError."""
    buffer = ctypes.create_string_buffer(instructions, len(instructions))
    call("seccomp", _SET_MODE_FILTER, 0, _Program(length, ctypes.addressof(buffer)))


def assemble_filter(machine: str, pid: int, devices: bool = False) -> tuple[bytes, int]:
    """The filter for the process `pid`: its bytes, and the number of its instructions."""
    names = [*_ALLOWED, *_FOR_DEVICES] if devices else _ALLOWED
    fixed = dict.fromkeys(_numbers(names, machine), ALLOW)
    for each in _numbers(["clone3"], machine):  # whose flags are in memory; C libraries go on with clone
        fixed[each] = errno_action(errno.ENOSYS)
    checked = {
        each: alternatives
        for name, alternatives in _checks(pid).items()
        for each in _numbers([name], machine)
        if each not in fixed
    }
    return assemble(machine, fixed, checked, errno_action(errno.EPERM))


def allowed(machine: str) -> list[str]:
    """The names of the system calls that are allowed, with any arguments or some."""
    return [name for name in [*_ALLOWED, *_checks(0)] if number(name, machine) is not None]


def _numbers(names: Iterable[str], machine: str) -> Iterator[int]:
    for name in names:
        found = number(name, machine)
        if found is not None:
            yield found


def _checks(pid: int) -> dict[str, Alternatives]:
    """What is demanded of the arguments of calls."""
    return {
        # Shared anonymous memory, and stacks that grow, would not count as data of the process.
        "mmap": [[Check(3, 0, LONG & ~_MAP_PRIVATELY)], [Check(3, 0, LONG & ~_MAP_DESCRIPTOR)]],
        "clone": [[Check(0, flags, LONG)] for flags in _THREADS],
        "fcntl": _one_of(1, (_F_GETFD, _F_SETFD, _F_GETFL, _F_SETFL, _F_DUPFD_CLOEXEC, _F_GET_SEALS)),
        "sendto": [[Check(4, 0, LONG)]],  # without an address
        "tgkill": _one_of(0, (pid,)),
        "prctl": _one_of(0, (PR_SET_NAME, PR_SET_VMA)),
        "arch_prctl": _one_of(0, _XCOMP),
        "prlimit64": [[Check(0, 0), Check(2, 0, LONG)]],  # reading its own
    }


def _one_of(argument: int, values: tuple[int, ...]) -> Alternatives:
    return [[Check(argument, value, INT)] for value in values]
