"""What the filter decides, on every architecture: computed as the kernel computes it."""

import errno
import struct

import pytest

from wasi_nn_torch.workers.bpf import ALLOW, KILL_PROCESS, errno_action
from wasi_nn_torch.workers.kernel import ARCHITECTURES, NUMBERS, number
from wasi_nn_torch.workers.seccomp import allowed, assemble_filter

pytestmark = pytest.mark.cpu

PROCESS = 4321
AUDIT = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
EPERM, ENOSYS = errno_action(errno.EPERM), errno_action(errno.ENOSYS)
HIGH = 1 << 32
THREAD = 0x3D0F00
SIGCHLD, CLONE_NEWUSER = 17, 0x10000000
MAP_SHARED, MAP_PRIVATE, MAP_ANONYMOUS, MAP_GROWSDOWN = 1, 2, 0x20, 0x100

#: Calls whose arguments decide: name, arguments, and whether they are allowed.
CHECKED = [
    ("clone", (THREAD,), True),
    ("clone", (SIGCHLD,), False),
    ("clone", (THREAD | CLONE_NEWUSER,), False),
    ("clone", (THREAD | HIGH,), False),
    ("fcntl", (0, 1030), True),
    ("fcntl", (0, 1030 | HIGH), True),  # of which the kernel reads the low half
    ("fcntl", (0, 8), False),
    ("mmap", (0, 4096, 3, MAP_PRIVATE | MAP_ANONYMOUS), True),
    ("mmap", (0, 4096, 3, MAP_SHARED), True),
    ("mmap", (0, 4096, 3, MAP_SHARED | MAP_ANONYMOUS), False),
    ("mmap", (0, 4096, 3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN), False),
    ("mmap", (0, 4096, 3, MAP_PRIVATE | HIGH), False),
    ("prctl", (15,), True),
    ("prctl", (4,), False),
    ("prlimit64", (0, 7, 0, 1234), True),
    ("prlimit64", (0, 7, 1234), False),
    ("prlimit64", (0, 7, HIGH), False),
    ("prlimit64", (1, 7, 0), False),
    ("sendto", (3, 1234, 1, 0, 0), True),
    ("sendto", (3, 1234, 1, 0, HIGH), False),
    ("tgkill", (PROCESS, 1, 6), True),
    ("tgkill", (PROCESS + 1, 1, 6), False),
]


def decide(machine: str, call: int, arguments: tuple[int, ...] = (), audit: int | None = None) -> int:
    """The action of the filter for a system call."""
    program, length = assemble_filter(machine, PROCESS)
    assert len(program) == 8 * length
    data = struct.pack("<IIQ6Q", call, audit or AUDIT[machine], 0, *arguments, *[0] * (6 - len(arguments)))
    accumulator, at = 0, 0
    while True:
        code, if_true, if_false, operand = struct.unpack_from("=HBBI", program, 8 * at)
        at += 1
        if code == 0x20:  # load a word
            (accumulator,) = struct.unpack_from("<I", data, operand)
        elif code == 0x54:  # and
            accumulator &= operand
        elif code == 0x15:  # jump if equal
            at += if_true if accumulator == operand else if_false
        elif code == 0x35:  # jump if at least
            at += if_true if accumulator >= operand else if_false
        else:
            assert code == 0x06  # return
            return operand


@pytest.mark.parametrize("machine", ARCHITECTURES)
@pytest.mark.parametrize(("name", "arguments", "is_allowed"), CHECKED)
def test_arguments_decide(machine: str, name: str, arguments: tuple[int, ...], is_allowed: bool) -> None:
    call = number(name, machine)
    assert call is not None
    assert decide(machine, call, arguments) == (ALLOW if is_allowed else EPERM)


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_calls_are_refused_unless_they_are_listed(machine: str) -> None:
    listed = {number(name, machine) for name in allowed(machine)}
    passed = {call for call in range(1024) if decide(machine, call) == ALLOW}
    assert passed < listed  # some depend on their arguments
    assert not passed & {number(name, machine) for name in ("openat", "ioctl", "clone3", "seccomp", "capset")}


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_clone3_seems_to_be_missing_so_that_libraries_use_clone(machine: str) -> None:
    assert decide(machine, 435) == ENOSYS


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_calls_in_the_manner_of_another_architecture_end_the_process(machine: str) -> None:
    assert decide(machine, 0, audit=0x40000003) == KILL_PROCESS


def test_calls_of_the_x32_abi_are_refused() -> None:
    assert decide("x86_64", 0) == ALLOW
    assert decide("x86_64", 0x40000000) == EPERM


def test_no_two_names_have_the_same_number() -> None:
    for index in range(len(ARCHITECTURES)):
        numbers = [each[index] for each in NUMBERS.values() if each[index] is not None]
        assert len(set(numbers)) == len(numbers)
