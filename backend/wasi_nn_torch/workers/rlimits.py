"""Limits of the memory, time, threads and descriptors of a process."""

from __future__ import annotations

import math
import resource
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_DESCRIPTORS = 64
#: How many threads more than the whole system has now.
_THREADS = 1024
_STACK = 64 << 20
#: The address space for shared memory and for what is reserved but not used, in bytes, and as a multiple of the memory.
#: It bounds the tables of pages, which are memory too.
_SHARED, _RESERVED = 16 << 30, 4
_MOST = 1 << 62
#: The kernel counts in nanoseconds of 64 bits, and would kill a process at once if that overflowed.
_MOST_SECONDS = 1 << 31
#: The kind of clock that has the processor time of another process; the kernel's number of it also has the process.
_CLOCK = 2


@dataclass(frozen=True)
class State:
    """What a process has; sizes are in bytes."""

    threads: int
    data: int  # private writable memory
    address_space: int
    all_threads: int  # of the whole system

    @classmethod
    def now(cls) -> State:
        """The state of this process. Raises OSError if the system does not tell."""
        lines = (line.split() for line in Path("/proc/self/status").read_text().splitlines())
        status = {words[0]: words[1] for words in lines if len(words) > 1}
        _, _, all_threads = Path("/proc/loadavg").read_text().split()[3].partition("/")
        return cls(
            int(status["Threads:"]), int(status["VmData:"]) << 10, int(status["VmSize:"]) << 10, int(all_threads)
        )


def restrict(state: State, memory: int | None, devices: bool = False) -> None:
    """Limit this process to `memory` bytes beyond what it has, and in everything else but time. Raises OSError."""
    for name, wanted in _limits(state, memory, devices):
        limit = _within_hard(name, wanted)
        resource.setrlimit(name, (limit, limit))


def restrict_time(seconds: int, is_final: bool) -> None:
    """Limit this process to `seconds` of processor time beyond what it has taken. Raises OSError.

    Unless that `is_final`, `allow` can give it more: then the limit is the one that sends a signal, which ends the
    process unless it is handled.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    limit = _within_hard(resource.RLIMIT_CPU, _end(time.process_time(), seconds))
    resource.setrlimit(resource.RLIMIT_CPU, (limit, limit if is_final else hard))


def allow(pid: int, seconds: int) -> None:
    """Limit another process of this user to `seconds` of processor time beyond what it has taken. Raises OSError."""
    taken = time.clock_gettime((~pid << 3) | _CLOCK)
    _, hard = resource.prlimit(pid, resource.RLIMIT_CPU)
    resource.prlimit(pid, resource.RLIMIT_CPU, (_end(taken, seconds), hard))


def _end(taken: float, seconds: int) -> int:
    return min(math.ceil(taken) + seconds, _MOST_SECONDS)


def _within_hard(name: int, wanted: int) -> int:
    _, hard = resource.getrlimit(name)
    return min(wanted, _MOST if hard == resource.RLIM_INFINITY else hard)


def _limits(state: State, memory: int | None, devices: bool) -> Iterator[tuple[int, int]]:
    # Of 1 rather than 0, which does not keep the kernel from piping a core to a program of the system.
    yield resource.RLIMIT_CORE, 1
    yield resource.RLIMIT_NOFILE, _DESCRIPTORS
    yield resource.RLIMIT_STACK, min(_soft(resource.RLIMIT_STACK), _STACK)
    yield resource.RLIMIT_NPROC, state.all_threads + _THREADS  # not for the superuser
    yield resource.RLIMIT_MSGQUEUE, 0
    if not devices:
        yield resource.RLIMIT_FSIZE, 0
        yield resource.RLIMIT_MEMLOCK, 0
    if memory is not None:
        yield resource.RLIMIT_DATA, state.data + memory
        if not devices:
            yield resource.RLIMIT_AS, state.address_space + _RESERVED * memory + _SHARED


def _soft(name: int) -> int:
    soft, _ = resource.getrlimit(name)
    return _STACK if soft == resource.RLIM_INFINITY else soft
