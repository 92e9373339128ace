"""The code of bridges: for functions with results of bytes, and for functions whose bytes became strings.

In: the core values that such a function takes. Out: instructions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .binary import encoded, encoded_type
from .bridges import Signature
from .shapes import I32

_GET, _SET, _CALL, _END = b"\x20", b"\x21", b"\x10", b"\x0b"
_CONST, _ADD, _SUB, _AND, _OR, _GE_U = b"\x41", b"\x6a", b"\x6b", b"\x71", b"\x72", b"\x4f"
_IF = b"\x04\x40"
_LOAD_LENGTH, _STORE_ADDRESS = b"\x28\x02\x04", b"\x36\x02\x00"
_LOAD_CASE, _LOAD_PLACED_LENGTH, _IS_ZERO = b"\x2d\x00\x00", b"\x28\x02\x08", b"\x45"
_NO_LOCALS, _ONE_I32 = b"\x00", b"\x01\x01" + I32

#: The first length that cannot cross as a string: with one byte more its highest bit would mean another encoding.
TOO_LONG = (1 << 31) - 1
#: The position, in the last argument of a string bridge, of the bits for strings that were too long to cross. The bits
#: for strings with an additional first byte are the lowest.
TOO_LONG_BITS = 8


@dataclass(frozen=True, slots=True)
class ResultCode:
    """The code for a function that takes the place of its result as its last parameter, and is called twice.

    With `f` the function, `p` its parameters and `ret` the place of the result:

        f(p, ret)                                        the host says how long the result is, at ret + 4
        memory[ret] = realloc(0, 0, 1, memory[ret + 4])  the guest makes room
        f(p, ret)                                        the host fills it
    """

    parameters: bytes

    @property
    def front(self) -> Signature:
        """The guest passes the place of a result anyway."""
        return Signature(self.parameters)

    @property
    def back(self) -> Signature:
        """The same as `front`."""
        return self.front

    def body(self, lower: int, realloc: int) -> bytes:
        """Return locals and instructions."""
        call = b"".join(_GET + encoded(number) for number in range(len(self.parameters))) + _CALL + encoded(lower)
        ret = _GET + encoded(len(self.parameters) - 1)
        room = _number(0) * 2 + _number(1) + ret + _LOAD_LENGTH + _CALL + encoded(realloc)
        return _NO_LOCALS + call + ret + room + _STORE_ADDRESS + call + _END


#: The address that a bridge passes when it has no memory for a result yet, and the instruction for it.
NO_PLACE = (1 << 32) - 1
_NOWHERE = _CONST + b"\x7f"


@dataclass(frozen=True, slots=True)
class PlacedCode:
    """The code for a function whose result is a `result` that begins, if it is `ok`, with bytes.

    With `f` the function, which returns an address and a length in place of the bytes, `p` its parameters and `ret` the
    place of the result:

        f(p, NO_PLACE, ret)                                  the host says how long the bytes are, at ret + 8
        if memory[ret] is ok:
            f(p, realloc(0, 0, 1, memory[ret + 8]), ret)     the guest makes room, and the host fills it
    """

    parameters: bytes

    @property
    def front(self) -> Signature:
        """The original signature."""
        return Signature(self.parameters + I32)

    @property
    def back(self) -> Signature:
        """The signature with the address, before the place of the result."""
        return Signature(self.parameters + I32 + I32)

    def body(self, lower: int, realloc: int) -> bytes:
        """Return locals and instructions."""
        count = len(self.parameters)
        passed = b"".join(_GET + encoded(number) for number in range(count))
        ret = _GET + encoded(count)
        called = ret + _CALL + encoded(lower)
        room = _number(0) * 2 + _number(1) + ret + _LOAD_PLACED_LENGTH + _CALL + encoded(realloc)
        is_ok = ret + _LOAD_CASE + _IS_ZERO
        return _NO_LOCALS + passed + _NOWHERE + called + is_ok + _IF + passed + room + called + _END + _END


@dataclass(frozen=True, slots=True)
class StringCode:
    """The code for a function whose bytes became strings, which must have an even address and less than 2 GiB.

    `addresses` are the positions of the addresses of bytes among the parameters, each followed by its length. The
    function that is called takes one more number, `bits`. For each string:

        if length >= TOO_LONG:  address, length, bits = 0, 0, bits | their bit of those that are too long
        if address is odd:      address, length, bits = address - 1, length + 1, bits | their bit

    `result` is the core value that is returned. `place`, the last, is the address that a larger result is stored at.
    """

    parameters: bytes
    addresses: Sequence[int]
    result: bytes = b""
    place: bytes = b""

    @property
    def front(self) -> Signature:
        """The original signature."""
        return Signature(self.parameters + self.place, self.result)

    @property
    def back(self) -> Signature:
        """The signature with the bits, which are a parameter, so they come before the place of the result."""
        return Signature(self.parameters + I32 + self.place, self.result)

    def body(self, lower: int, realloc: int) -> bytes:
        """Return locals and instructions."""
        bits = len(self.parameters) + len(self.place)
        changes = b"".join(_even(address, bits, number) for number, address in enumerate(self.addresses))
        passed = [*range(len(self.parameters)), bits, *([len(self.parameters)] if self.place else [])]
        call = b"".join(_GET + encoded(number) for number in passed) + _CALL + encoded(lower)
        return _ONE_I32 + changes + call + _END


def _even(address: int, bits: int, number: int) -> bytes:
    """Make the bytes at the local `address` a string that can cross, and record it in the local `bits`."""
    length = address + 1
    is_long = _GET + encoded(length) + _number(TOO_LONG) + _GE_U
    empty = b"".join(_number(0) + _SET + encoded(each) for each in (address, length))
    is_odd = _GET + encoded(address) + _number(1) + _AND
    longer = _changed(address, _SUB, 1) + _changed(length, _ADD, 1)
    return (
        (is_long + _IF + empty + _changed(bits, _OR, 1 << (TOO_LONG_BITS + number)) + _END)
        + (is_odd + _IF + longer + _changed(bits, _OR, 1 << number) + _END)
    )  # fmt: skip


def _changed(local: int, operation: bytes, number: int) -> bytes:
    return _GET + encoded(local) + _number(number) + operation + _SET + encoded(local)


def _number(value: int) -> bytes:
    return _CONST + encoded_type(value)
