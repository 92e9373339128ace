"""Programs of the kernel's classic packet filter that decide about system calls."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

ALLOW = 0x7FFF0000
KILL_PROCESS = 0x80000000
_ERRNO = 0x00050000

_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_X32 = 0x40000000  # the numbers of the x32 ABI, which has the architecture of x86-64

_LOAD, _AND, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x54, 0x15, 0x35, 0x06
_INSTRUCTION = struct.Struct("=HBBI")
# Where `struct seccomp_data` has its fields.
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
_WORD = 0xFFFFFFFF

#: An argument of which the kernel reads 32 bits, or all 64 of them.
INT, LONG = _WORD, 2**64 - 1


@dataclass(frozen=True)
class Check:
    """Whether the bits `mask` of an argument, counted from 0, are `value`."""

    argument: int
    value: int
    mask: int = INT


#: What makes a call allowed: all checks of any of the alternatives.
Alternatives = Sequence[Sequence[Check]]


def errno_action(code: int) -> int:
    """The action that makes a call fail with an error code."""
    return _ERRNO | code


def assemble(
    machine: str, fixed: Mapping[int, int], checked: Mapping[int, Alternatives], otherwise: int
) -> tuple[bytes, int]:
    """Assemble a filter, and return its bytes and the number of its instructions.

    `fixed` has the action for the number of a system call, `checked` what is demanded of its arguments, and `otherwise`
    is the action for the rest. A call in the manner of another architecture ends the process.
    """
    program = [*_head(machine, otherwise)]
    for number, action in fixed.items():
        program += [_jump(_EQUAL, number, 0, 1), _return(action)]
    for number, alternatives in checked.items():
        body = [*_any_of(alternatives), _return(otherwise)]
        program += [_jump(_EQUAL, number, 0, len(body)), *body]
    program.append(_return(otherwise))
    return b"".join(program), len(program)


def _head(machine: str, otherwise: int) -> Iterable[bytes]:
    yield _statement(_LOAD, _ARCHITECTURE)
    yield _jump(_EQUAL, _AUDIT_ARCH[machine], 1, 0)
    yield _return(KILL_PROCESS)
    yield _statement(_LOAD, _NUMBER)
    if machine == "x86_64":
        yield _jump(_AT_LEAST, _X32, 0, 1)
        yield _return(otherwise)


def _any_of(alternatives: Alternatives) -> Iterable[bytes]:
    for checks in alternatives:
        words = [word for check in checks for word in _words(check)]
        for index, (offset, mask, value) in enumerate(words):
            yield _statement(_LOAD, offset)
            yield _statement(_AND, mask)
            # A failure goes on after what the remaining words and the action take.
            yield _jump(_EQUAL, value, 0, 3 * (len(words) - index - 1) + 1)
        yield _return(ALLOW)


def _words(check: Check) -> Iterable[tuple[int, int, int]]:
    """The offset, mask and value of each word of an argument that is looked at, on a little-endian machine."""
    for shift, offset in ((0, 0), (32, 4)):
        mask = check.mask >> shift & _WORD
        if mask:
            yield _ARGUMENTS + 8 * check.argument + offset, mask, check.value >> shift & mask


def _statement(code: int, operand: int) -> bytes:
    return _INSTRUCTION.pack(code, 0, 0, operand)


def _jump(code: int, operand: int, if_true: int, if_false: int) -> bytes:
    return _INSTRUCTION.pack(code, if_true, if_false, operand)


def _return(action: int) -> bytes:
    return _statement(_RETURN, action)
