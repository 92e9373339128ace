"""Numbers, names and vectors of the WebAssembly binary format.

In: bytes. Out: the values in them, or `InvalidComponent`. Positions are offsets into the whole input.
"""

from __future__ import annotations

from ..errors import GuestError


class InvalidComponent(GuestError):
    """A component cannot be read or rewritten; `offset` is the place in its bytes."""

    def __init__(self, text: str, offset: int) -> None:
        super().__init__(f"{text} (at offset {offset:#x})")
        self.offset = offset


class Reader:
    """Reads `data` from `at` up to `end`."""

    __slots__ = ("at", "data", "end")

    def __init__(self, data: bytes, at: int, end: int) -> None:
        self.data = data
        self.at = at
        self.end = end

    def byte(self) -> int:
        """Read the next byte."""
        at = self.at
        if at >= self.end:
            raise InvalidComponent("the bytes end too early", at)
        self.at = at + 1
        return self.data[at]

    def peek(self) -> int:
        """Return the next byte without reading it."""
        value = self.byte()
        self.at -= 1
        return value

    def expect(self, value: int, what: str) -> None:
        """Read the byte `value`."""
        if self.byte() != value:
            raise InvalidComponent(f"{value:#04x} is needed for {what}", self.at - 1)

    def u32(self) -> int:
        """Read an unsigned LEB128 number of 32 bits."""
        return self.unsigned(32)

    def unsigned(self, bits: int) -> int:
        """Read an unsigned LEB128 number of at most `bits` bits."""
        first = self.byte()
        if first < 0x80:
            return first
        start, value, shift, part = self.at - 1, first & 0x7F, 7, 0x80
        while part & 0x80:
            if shift >= bits:
                raise InvalidComponent(f"a number has more than {bits} bits", start)
            part = self.byte()
            value |= (part & 0x7F) << shift
            shift += 7
        if value >> bits:
            raise InvalidComponent(f"a number has more than {bits} bits", start)
        return value

    def s33(self) -> int:
        """Read a signed LEB128 number: an index, or a code below zero."""
        return self.signed(33)

    def signed(self, bits: int) -> int:
        """Read a signed LEB128 number of at most `bits` bits."""
        start, value, shift, part = self.at, 0, 0, 0x80
        while part & 0x80:
            if shift >= bits:
                raise InvalidComponent(f"a number has more than {bits} bits", start)
            part = self.byte()
            value |= (part & 0x7F) << shift
            shift += 7
        value -= (part >> 6) << shift
        if not -(1 << bits - 1) <= value < 1 << bits - 1:
            raise InvalidComponent(f"a number has more than {bits} bits", start)
        return value

    def count(self) -> int:
        """Read the number of items of a vector; each takes at least one byte, so a larger number is invalid."""
        start, count = self.at, self.u32()
        if count > self.end - self.at:
            raise InvalidComponent(f"{count} items do not fit", start)
        return count

    def name(self) -> bytes:
        """Read a length and as many bytes; the engine checks whether they are text."""
        start = self.skip("a name")
        return self.data[start : self.at]

    def skip(self, what: str) -> int:
        """Skip a length and as many bytes, which are `what`; return where these bytes begin."""
        start, length = self.at, self.u32()
        if length > self.end - self.at:
            raise InvalidComponent(f"{what} of {length} bytes does not fit", start)
        self.at += length
        return self.at - length

    def finish(self) -> None:
        """Check that everything was read."""
        if self.at != self.end:
            raise InvalidComponent("bytes are left over", self.at)


def encoded(value: int) -> bytes:
    """Encode `value` as the shortest unsigned LEB128 number."""
    result = bytearray()
    while value > 0x7F:
        result.append(value & 0x7F | 0x80)
        value >>= 7
    result.append(value)
    return bytes(result)


def encoded_type(index: int) -> bytes:
    """Encode a type index in the place of a value type, as a signed LEB128 number: negative numbers are other types."""
    result = bytearray()
    while index > 0x3F:
        result.append(index & 0x7F | 0x80)
        index >>= 7
    result.append(index)
    return bytes(result)
