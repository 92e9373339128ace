"""Numbers, names and vectors of the WebAssembly binary format.

In: bytes. Out: what stands there, or `InvalidComponent`. Positions are offsets into the whole input.
"""

from __future__ import annotations

from ..errors import GuestError


class InvalidComponent(GuestError):
    """A component cannot be read or prepared; `offset` is where in its bytes."""

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
        """The next byte."""
        at = self.at
        if at >= self.end:
            raise InvalidComponent("the bytes end too early", at)
        self.at = at + 1
        return self.data[at]

    def peek(self) -> int:
        """The next byte, which stays the next."""
        value = self.byte()
        self.at -= 1
        return value

    def expect(self, value: int, what: str) -> None:
        """Read the byte `value`."""
        if self.byte() != value:
            raise InvalidComponent(f"{value:#04x} is needed for {what}", self.at - 1)

    def u32(self) -> int:
        """An unsigned LEB128 number."""
        return self.unsigned(32)

    def unsigned(self, bits: int) -> int:
        """An unsigned LEB128 number of so many bits."""
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
        """A signed LEB128 number: an index, or a code below zero."""
        start, value, shift, part = self.at, 0, 0, 0x80
        while part & 0x80:
            if shift >= 33:
                raise InvalidComponent("a number has more than 33 bits", start)
            part = self.byte()
            value |= (part & 0x7F) << shift
            shift += 7
        value -= (part >> 6) << shift
        if not -(1 << 32) <= value < 1 << 32:
            raise InvalidComponent("a number has more than 33 bits", start)
        return value

    def count(self) -> int:
        """The number of items of a vector; each takes a byte at least, so a larger one is wrong."""
        start, count = self.at, self.u32()
        if count > self.end - self.at:
            raise InvalidComponent(f"{count} items do not fit", start)
        return count

    def name(self) -> bytes:
        """A length and so many bytes; whether they are text is for the engine to say."""
        start, length = self.at, self.u32()
        if length > self.end - self.at:
            raise InvalidComponent(f"a name of {length} bytes does not fit", start)
        self.at += length
        return self.data[self.at - length : self.at]

    def finish(self) -> None:
        """Check that everything was read."""
        if self.at != self.end:
            raise InvalidComponent("bytes are left over", self.at)


def encoded(value: int) -> bytes:
    """`value` as an unsigned LEB128 number, as short as can be."""
    result = bytearray()
    while value > 0x7F:
        result.append(value & 0x7F | 0x80)
        value >>= 7
    result.append(value)
    return bytes(result)


def encoded_type(index: int) -> bytes:
    """A type index in the place of a value type, where codes below zero are types too: a signed LEB128 number."""
    result = bytearray()
    while index > 0x3F:
        result.append(index & 0x7F | 0x80)
        index >>= 7
    result.append(index)
    return bytes(result)
