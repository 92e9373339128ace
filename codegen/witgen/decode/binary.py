"""Numbers, names and vectors of the WebAssembly binary format.

In: bytes and the name of their file. Out: the values in them, or a `WitError` at an offset.
"""

from __future__ import annotations

from witgen.diagnostics import WitError
from witgen.syntax import Span, at_offset


class Reader:
    """Reads `data` from `at` up to `end`; offsets are those in the whole file."""

    __slots__ = ("at", "data", "end", "file")

    def __init__(self, file: str, data: bytes, at: int, end: int) -> None:
        self.file = file
        self.data = data
        self.at = at
        self.end = end

    def inside(self, start: int, end: int) -> Reader:
        """Another reader, for a part of the same bytes."""
        return Reader(self.file, self.data, start, end)

    def place(self, offset: int | None = None) -> Span:
        """The place of an offset; without one, of the next byte."""
        return at_offset(self.file, self.at if offset is None else offset)

    def refused(self, message: str, offset: int, hint: str | None = None) -> WitError:
        """An error at an offset."""
        return WitError(message, self.place(offset), hint)

    def byte(self) -> int:
        """Read the next byte."""
        if self.at >= self.end:
            hint = "the file is incomplete or damaged; build or download it again"
            raise self.refused("the bytes end too early", self.at, hint)
        self.at += 1
        return self.data[self.at - 1]

    def peek(self) -> int:
        """The next byte, which stays unread."""
        value = self.byte()
        self.at -= 1
        return value

    def expect(self, value: int, what: str) -> None:
        """Read the byte `value`."""
        if self.byte() != value:
            raise self.refused(f"{what} needs the byte {value:#04x}, not {self.data[self.at - 1]:#04x}", self.at - 1)

    def flag(self) -> bool:
        """Read a byte that is 0 or 1."""
        value = self.byte()
        if value > 1:
            raise self.refused(f"0x00 or 0x01 is needed, not {value:#04x}", self.at - 1)
        return value == 1

    def u32(self) -> int:
        """Read an unsigned LEB128 number of 32 bits."""
        return self.unsigned(32)

    def unsigned(self, bits: int) -> int:
        """Read an unsigned LEB128 number of at most `bits` bits."""
        start, value, shift, part = self.at, 0, 0, 0x80
        while part & 0x80:
            if shift >= bits:
                raise self.refused(f"a number has more than {bits} bits", start)
            part = self.byte()
            value |= (part & 0x7F) << shift
            shift += 7
        if value >> bits:
            raise self.refused(f"a number has more than {bits} bits", start)
        return value

    def s33(self) -> int:
        """Read a signed LEB128 number of 33 bits: an index, or a code below zero."""
        start, value, shift, part = self.at, 0, 0, 0x80
        while part & 0x80:
            if shift >= 33:
                raise self.refused("a number has more than 33 bits", start)
            part = self.byte()
            value |= (part & 0x7F) << shift
            shift += 7
        value -= (part >> 6) << shift
        if not -(1 << 32) <= value < 1 << 32:
            raise self.refused("a number has more than 33 bits", start)
        return value

    def count(self) -> int:
        """Read the number of items of a vector; each takes at least one byte, so a larger number is refused."""
        start, count = self.at, self.u32()
        if count > self.end - self.at:
            raise self.refused(f"{count} items do not fit into the bytes that are left", start)
        return count

    def skip(self, what: str) -> int:
        """Skip a length and as many bytes, which are `what`; return where these bytes begin."""
        start, length = self.at, self.u32()
        if length > self.end - self.at:
            hint = "the file is incomplete or damaged; build or download it again"
            raise self.refused(f"{what} of {length} bytes does not fit", start, hint)
        self.at += length
        return self.at - length

    def name(self) -> str:
        """Read a length and as many bytes of UTF-8."""
        start = self.skip("a name")
        try:
            return self.data[start : self.at].decode()
        except UnicodeDecodeError:
            raise self.refused("a name is not UTF-8", start) from None

    def finish(self) -> None:
        """Check that everything was read."""
        if self.at != self.end:
            raise self.refused("bytes are left over", self.at)
