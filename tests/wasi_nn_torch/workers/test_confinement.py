"""Confining a process: its limits, its end, and what is missing."""

import ctypes
import errno
import faulthandler
import mmap
import os
import platform
import select
import signal
import sys
import threading
import time
from collections.abc import Callable

import pytest

from tests.wasi_nn_torch.workers.children import Outcome, in_child, without_privileges
from wasi_nn_torch.workers import kernel, rlimits, seccomp
from wasi_nn_torch.workers.bpf import ALLOW, assemble, errno_action
from wasi_nn_torch.workers.confinement import Confinement, ConfinementError, confine, describe, lacking

pytestmark = pytest.mark.cpu

linux = pytest.mark.skipif(bool(lacking()), reason=f"a process cannot be confined here: {', '.join(lacking())}")

MEMORY = 64 << 20


def confined(confinement: Confinement, act: Callable[[], object]) -> Outcome:
    """Do something in a confined process."""

    def both() -> object:
        confine(confinement)
        return act()

    return in_child(both)


# --- memory ---


@linux
@pytest.mark.parametrize(("size", "code"), [(MEMORY // 2, 0), (2 * MEMORY, errno.ENOMEM)], ids=["within", "beyond"])
def test_private_memory_is_limited(native: ctypes.CDLL, size: int, code: int) -> None:
    native.allocate.argtypes, native.allocate.restype = [ctypes.c_long], ctypes.c_long
    assert confined(Confinement(memory=MEMORY), lambda: native.allocate(size)).answer == code


@linux
def test_threads_share_the_limit_of_memory() -> None:
    """The parts are large, since a process that has freed memory, as this one may have, can take that much more."""

    def act() -> int:
        held: list[mmap.mmap] = []
        together = threading.Barrier(4)

        def take() -> None:
            together.wait()
            try:
                held.append(mmap.mmap(-1, 40 * MEMORY, mmap.MAP_PRIVATE | mmap.MAP_ANON))
            except OSError:
                return

        threads = [threading.Thread(target=take) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return len(held)

    assert confined(Confinement(memory=60 * MEMORY), act).answer == 1


@linux
def test_address_space_is_limited_too() -> None:
    def act() -> str:
        mmap.mmap(-1, 1 << 45, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, mmap.PROT_READ)
        return "mapped"

    assert confined(Confinement(memory=MEMORY), act).answer == "OSError: [Errno 12] Cannot allocate memory"


@linux
def test_a_limit_may_be_larger_than_any_memory() -> None:
    assert confined(Confinement(memory=1 << 64, cpu_seconds=1 << 64), lambda: "confined").answer == "confined"


@linux
def test_without_a_limit_of_memory_it_takes_more(native: ctypes.CDLL) -> None:
    native.allocate.argtypes, native.allocate.restype = [ctypes.c_long], ctypes.c_long
    assert confined(Confinement(), lambda: native.allocate(2 * MEMORY)).answer == 0


@linux
def test_shared_memory_that_it_was_given_can_be_written_but_not_enlarged(native: ctypes.CDLL) -> None:
    given = os.memfd_create("given")
    os.truncate(given, 4096)

    def act() -> int:
        with mmap.mmap(given, 4096) as memory:
            memory[:5] = b"shown"
        os.lseek(given, 0, os.SEEK_END)
        return native.write_to(given)

    try:
        assert confined(Confinement(memory=MEMORY), act).answer == errno.EFBIG
        assert os.pread(given, 5, 0) == b"shown"
        assert os.stat(given).st_size == 4096
    finally:
        os.close(given)


# --- time and life ---


@linux
def test_a_loop_ends_when_its_time_is_used_up(native: ctypes.CDLL) -> None:
    assert confined(Confinement(cpu_seconds=1), native.loop).status == -signal.SIGKILL


@linux
@pytest.mark.parametrize(("more", "least", "most"), [(0, 0.9, 2.5), (3, 2.9, 5.5)])
def test_its_time_can_be_extended_by_the_process_that_made_it(
    native: ctypes.CDLL, more: int, least: float, most: float
) -> None:
    child = os.fork()
    if not child:
        confine(Confinement(cpu_seconds=1, more_time=True))
        native.loop()
    while more and time.clock_gettime((~child << 3) | 2) < 0.3:
        time.sleep(0.01)
    if more:
        rlimits.allow(child, more)
    _, status, usage = os.wait4(child, 0)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGXCPU
    assert least < usage.ru_utime + usage.ru_stime < most


@linux
def test_it_dies_with_its_parent() -> None:
    reading, writing = os.pipe()
    parent = os.fork()
    if not parent:
        try:
            if not os.fork():
                confine(Confinement())
                os.write(writing, b"confined")
            else:
                os.close(writing)
            time.sleep(600)
        finally:
            os._exit(1)
    os.close(writing)
    assert os.read(reading, 8) == b"confined"
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    ready, _, _ = select.select([reading], [], [], 60)
    assert ready, "the process is alive although its parent is dead"
    assert os.read(reading, 8) == b""  # its end of the pipe is closed
    os.close(reading)


@linux
def test_an_abort_is_an_abort() -> None:
    def act() -> None:
        faulthandler.disable()
        os.abort()

    assert confined(Confinement(), act).status == -signal.SIGABRT


@linux
def test_it_keeps_no_capability() -> None:
    def act() -> list[int]:
        header, bits = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)(*[1] * 6)
        confine(Confinement(waive=frozenset({"seccomp"})))
        kernel.call("capset", header, bits)
        return list(bits)

    assert in_child(act).answer == f"PermissionError: [Errno 1] capset: {os.strerror(errno.EPERM)}"


# --- what is wrong ---


@linux
def test_a_process_with_threads_is_not_confined() -> None:
    def act() -> None:
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
        confine(Confinement())

    assert in_child(act).answer == "ConfinementError: the process has 2 threads; confine it before it starts any"


@linux
def test_a_process_whose_parent_has_ended_is_not_confined() -> None:
    outcome = in_child(lambda: confine(Confinement(parent=os.getpid())))
    assert str(outcome.answer).startswith("ConfinementError: the parent of the process, ")


@linux
@pytest.mark.parametrize(("part", "call"), [("landlock", "landlock_create_ruleset"), ("seccomp", "seccomp")])
def test_a_part_that_the_kernel_lacks_is_an_error_unless_it_is_waived(part: str, call: str) -> None:
    def act(waive: frozenset[str]) -> list[str]:
        without_privileges(lambda: lack(call))
        missing = lacking()
        confine(Confinement(waive=waive))
        return missing

    error = str(in_child(lambda: act(frozenset())).answer)
    assert error.startswith(f"ConfinementError: {part} cannot be had on this system: ")
    missing = in_child(lambda: act(frozenset({part}))).answer
    assert isinstance(missing, list)
    assert [text.partition(":")[0] for text in missing] == [part]


def test_an_unknown_part_cannot_be_waived() -> None:
    with pytest.raises(ValueError, match="cannot waive limits; choose from landlock, seccomp"):
        Confinement(waive=frozenset({"limits"}))


@pytest.mark.parametrize("name", ["memory", "cpu_seconds"])
def test_a_limit_is_at_least_one(name: str) -> None:
    with pytest.raises(ValueError, match=f"`{name}` is 0; it must be at least 1, or None for no limit"):
        Confinement(**{name: 0})


@pytest.mark.skipif(sys.platform == "linux", reason="Linux can confine processes")
def test_other_systems_say_that_they_cannot() -> None:
    assert lacking()
    assert describe()[0][0] == "confinement"
    with pytest.raises(ConfinementError):
        confine(Confinement())


@linux
def test_the_parts_are_described() -> None:
    parts = dict(describe())
    assert list(parts) == ["landlock", "seccomp", "limits"]
    assert parts["landlock"].startswith("ABI ")


def lack(name: str) -> None:
    """Make a system call unavailable to this process."""
    machine = platform.machine()
    number = kernel.number(name, machine)
    assert number is not None
    seccomp.install(*assemble(machine, {number: errno_action(errno.ENOSYS)}, {}, ALLOW))
