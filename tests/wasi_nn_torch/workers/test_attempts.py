"""What code in a worker attempts, natively and from Python, with and without the confinement."""

import ctypes
import errno
import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.wasi_nn_torch.workers.children import PERMITTED, REFUSED, Aim, in_child, without_privileges
from wasi_nn_torch.workers import landlock, seccomp
from wasi_nn_torch.workers.confinement import Confinement, confine, lacking

pytestmark = [
    pytest.mark.cpu,
    pytest.mark.skipif(bool(lacking()), reason=f"a process cannot be confined here: {', '.join(lacking())}"),
]

REFUSALS = (errno.EPERM, errno.EACCES, errno.ENOSYS)

#: What Landlock alone refuses, and from which version of its ABI on.
BY_LANDLOCK = {
    "opening_a_file": 1,
    "writing_a_file": 1,
    "creating_a_file": 1,
    "opening_by_openat2": 1,
    "truncating_a_file": 3,
    "removing_a_file": 1,
    "moving_a_file": 1,
    "linking_a_file": 1,
    "making_a_directory": 1,
    "listing_a_directory": 1,
    "opening_the_memory_of_another": 1,
    "opening_its_own_memory": 1,
    "reading_the_environment_of_another": 1,
    "reading_the_environment_at_its_start": 1,
    "connecting_to_a_port": 4,
    "listening_on_a_port": 4,
    "connecting_to_an_abstract_socket": 6,
    "executing_a_program": 1,
    "executing_by_execveat": 1,
    "signalling_another": 6,
    "signalling_a_thread_of_another": 6,
    "queueing_a_signal_for_another": 6,
    "tracing_another": 1,
    "reading_the_memory_of_another": 1,
    "writing_the_memory_of_another": 1,
}


def attempt(native: ctypes.CDLL, name: str, aim: Aim, restrict: Callable[[], object]) -> object:
    """The error code of an attempt in a process of its own; 0 if it succeeded, or became another program."""

    def act() -> object:
        restrict()
        return getattr(native, name)(ctypes.byref(aim))

    outcome = in_child(act)
    assert outcome.status == 0
    return 0 if outcome.answer is None else outcome.answer


@pytest.mark.parametrize("name", REFUSED)
def test_it_succeeds_without_confinement(name: str, native: ctypes.CDLL, aim: Aim) -> None:
    code = attempt(native, name, aim, lambda: None)
    if code in REFUSALS:
        pytest.skip(f"this system refuses it to everyone: {os.strerror(code)}")
    assert code == 0


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused(name: str, native: ctypes.CDLL, aim: Aim) -> None:
    assert attempt(native, name, aim, lambda: confine(Confinement(memory=1 << 26))) in REFUSALS


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_by_seccomp_alone(name: str, native: ctypes.CDLL, aim: Aim) -> None:
    assert attempt(native, name, aim, lambda: without_privileges(seccomp.restrict)) in REFUSALS


@pytest.mark.parametrize("name", BY_LANDLOCK)
def test_it_is_refused_by_landlock_alone(name: str, native: ctypes.CDLL, aim: Aim) -> None:
    if landlock.abi() < BY_LANDLOCK[name]:
        pytest.skip(f"needs ABI {BY_LANDLOCK[name]} of Landlock; this kernel has {landlock.abi()}")
    assert attempt(native, name, aim, lambda: without_privileges(landlock.restrict)) in REFUSALS


@pytest.mark.parametrize("name", sorted(BY_LANDLOCK.keys() - {"reading_the_environment_at_its_start"}))
def test_it_is_refused_to_a_worker_with_devices(name: str, native: ctypes.CDLL, aim: Aim) -> None:
    assert attempt(native, name, aim, lambda: confine(Confinement(devices=True))) in REFUSALS


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_to_a_thread_that_starts_later(name: str, native: ctypes.CDLL, aim: Aim) -> None:
    def act() -> int:
        confine(Confinement(memory=1 << 26))
        return native.in_a_thread(getattr(native, name), ctypes.byref(aim))

    assert in_child(act).answer in REFUSALS


@pytest.mark.parametrize("name", PERMITTED)
def test_it_works_in_a_worker(name: str, native: ctypes.CDLL, aim: Aim) -> None:
    assert attempt(native, name, aim, lambda: confine(Confinement(memory=1 << 26))) == 0


FROM_PYTHON: dict[str, Callable[[Aim], object]] = {
    "opening a file": lambda aim: Path(os.fsdecode(aim.file)).read_bytes(),
    "creating a file": lambda aim: Path(os.fsdecode(aim.new_file)).touch(),
    "listing a directory": lambda aim: os.listdir(aim.directory),
    "looking at a file": lambda aim: os.stat(aim.file),
    "opening the memory of another": lambda aim: os.open(f"/proc/{aim.victim}/mem", os.O_RDONLY),
    "making a socket": lambda aim: socket.socket(),
    "connecting to a port": lambda aim: _connect(aim.port),
    "executing a program": lambda aim: os.execv("/bin/true", ["true"]),
    "starting a process": lambda aim: os.posix_spawn("/bin/true", ["true"], {}),
    "forking": lambda aim: os.fork() or os._exit(0),
    "signalling another": lambda aim: os.kill(aim.victim, 0),
    "making a file in memory": lambda aim: os.memfd_create("memory"),
    "tracing another, by ctypes": lambda aim: _call("ptrace", 0x4206, aim.victim, None, None),
    "opening a file, by ctypes": lambda aim: _call("open", aim.file, os.O_RDONLY),
    "sharing memory by key, by ctypes": lambda aim: _call("shmget", 0, 4096, 0o1600),
    "unsharing, by ctypes": lambda aim: _call("unshare", 0x10000000),
}


def _call(name: str, *arguments: object) -> None:
    if getattr(_LIBRARY, name)(*arguments) < 0:
        raise OSError(ctypes.get_errno(), name)


def _connect(port: int) -> None:
    with socket.socket() as end:
        end.connect(("127.0.0.1", port))


if sys.platform == "linux":
    _LIBRARY = ctypes.CDLL(None, use_errno=True)


def from_python(name: str, aim: Aim, restrict: Callable[[], object]) -> object:
    """The error code of an attempt, or 0."""

    def act() -> int | None:
        restrict()
        try:
            FROM_PYTHON[name](aim)
        except OSError as error:
            return error.errno
        return 0

    return in_child(act).answer or 0


@pytest.mark.parametrize("name", FROM_PYTHON)
def test_it_succeeds_from_python_without_confinement(name: str, aim: Aim) -> None:
    code = from_python(name, aim, lambda: None)
    if code in REFUSALS:
        pytest.skip(f"this system refuses it to everyone: {os.strerror(code)}")
    assert code == 0


@pytest.mark.parametrize("name", FROM_PYTHON)
def test_it_is_refused_from_python(name: str, aim: Aim) -> None:
    assert from_python(name, aim, lambda: confine(Confinement(memory=1 << 26))) in REFUSALS


def test_a_system_call_in_the_manner_of_32_bit_ends_the_process(native: ctypes.CDLL) -> None:
    if not hasattr(native, "as_32_bit"):
        pytest.skip("only x86-64 has another architecture's system calls")

    def act() -> int:
        confine(Confinement())
        return native.as_32_bit()

    assert in_child(act).status == -signal.SIGSYS


def test_a_system_call_of_the_x32_abi_is_refused(native: ctypes.CDLL) -> None:
    if not hasattr(native, "as_x32"):
        pytest.skip("only x86-64 has the x32 ABI")

    def act() -> int:
        confine(Confinement())
        return native.as_x32()

    assert in_child(act).answer == errno.EPERM
