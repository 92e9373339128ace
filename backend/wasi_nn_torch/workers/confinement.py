"""Confinement: a process gives up every right that computing does not need, before it reads a stranger's bytes."""

from __future__ import annotations

import ctypes
import logging
import os
import platform
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from wasi_nn_torch.workers import kernel, landlock, seccomp

if sys.platform == "linux":
    from wasi_nn_torch.workers import rlimits  # whose modules other systems lack

logger = logging.getLogger(__name__)

_T = TypeVar("_T")

#: The parts that an operator can waive, on a kernel that lacks them.
PARTS = frozenset({"landlock", "seccomp"})


class ConfinementError(Exception):
    """The process could not be confined; the text says what is lacking."""


@dataclass(frozen=True)
class Confinement:
    """What a process may take, and what it may do without.

    `memory` is the private memory in bytes, and `cpu_seconds` the time of all its threads together, that the process
    may take beyond what it has when it is confined; None means no limit. With `more_time`, `rlimits.allow` can give it
    more time later. `devices` leaves it the accelerators of this
    machine. The parts in `waive` may be lacking; they are used nevertheless if the kernel has them. `parent` is the
    process whose end ends this one; None means the parent at the time of confining.
    """

    memory: int | None = None
    cpu_seconds: int | None = None
    more_time: bool = False
    devices: bool = False
    waive: frozenset[str] = frozenset()
    parent: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "waive", frozenset(self.waive))
        if unknown := sorted(self.waive - PARTS):
            raise ValueError(f"cannot waive {', '.join(unknown)}; choose from {', '.join(sorted(PARTS))}")
        for name, amount in (("memory", self.memory), ("cpu_seconds", self.cpu_seconds)):
            if amount is not None and amount < 1:
                raise ValueError(f"`{name}` is {amount}; it must be at least 1, or None for no limit")


def confine(confinement: Confinement) -> None:
    """Confine this process, which has one thread, for the rest of its life.

    It keeps its open descriptors and its environment. It is killed when the thread that made it ends. After a
    ConfinementError it is confined in part, and must end.
    """
    if reason := kernel.unsupported():
        raise ConfinementError(f"a process cannot be confined here: {reason}")
    parent = os.getppid() if confinement.parent is None else confinement.parent
    state = _attempt("the state of the process", rlimits.State.now)
    if state.threads != 1:
        raise ConfinementError(f"the process has {state.threads} threads; confine it before it starts any")
    _attempt("no_new_privs", lambda: kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1))
    _attempt("the absence of capabilities", _drop_capabilities)
    _attempt("the end with its parent", lambda: kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL))
    if os.getppid() != parent:
        raise ConfinementError(f"the parent of the process, {parent}, has ended")
    devices = confinement.devices
    _attempt("limits", lambda: rlimits.restrict(state, confinement.memory, devices))
    if confinement.cpu_seconds is not None:
        seconds, is_final = confinement.cpu_seconds, not confinement.more_time
        _attempt("limits", lambda: rlimits.restrict_time(seconds, is_final))
    _attempt_or_waive("landlock", lambda: landlock.restrict(devices), confinement.waive)
    _attempt_or_waive("seccomp", lambda: seccomp.restrict(devices), confinement.waive)


def lacking() -> list[str]:
    """What this system lacks for confining a process, part by part; empty if it lacks nothing."""
    if reason := kernel.unsupported():
        return [reason]
    parts = (("landlock", landlock.lacking()), ("seccomp", seccomp.lacking()))
    return [f"{name}: {reason}" for name, reason in parts if reason]


def describe() -> list[tuple[str, str]]:
    """The parts of the confinement on this system, by name, for people to read."""
    if reason := kernel.unsupported():
        return [("confinement", f"not possible: {reason}")]
    calls = f"{len(seccomp.allowed(platform.machine()))} system calls are allowed, all others refused"
    return [
        ("landlock", landlock.lacking() or f"ABI {landlock.abi()} refuses {', '.join(landlock.refused())}"),
        ("seccomp", seccomp.lacking() or calls),
        ("limits", "private memory, address space, processor time, threads, descriptors, file sizes, cores"),
    ]


def _attempt(part: str, step: Callable[[], _T]) -> _T:
    try:
        return step()
    except OSError as error:
        raise ConfinementError(f"{part} cannot be had on this system: {error.strerror or error}") from error


def _attempt_or_waive(part: str, step: Callable[[], None], waived: frozenset[str]) -> None:
    try:
        step()
    except OSError as error:
        if part not in waived:
            reason = error.strerror or error
            raise ConfinementError(f"{part} cannot be had on this system: {reason}; waive it to go without") from error
        logger.warning("a process is not confined by %s: %s", part, error.strerror or error)


def _drop_capabilities() -> None:
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)  # the version with 64 capabilities, and this process
    kernel.call("capset", header, (ctypes.c_uint32 * 6)())
