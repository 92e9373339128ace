"""What a guest prints, as whole lines, however it writes them."""

from __future__ import annotations

from collections.abc import Callable

#: A line that is longer is given in parts, of so many bytes.
_LONGEST = 4096


class Lines:
    """Gives `receive` whole lines; used by one thread at a time."""

    def __init__(self, receive: Callable[[bytes], object]) -> None:
        self._receive = receive
        self._rest = b""

    def write(self, content: bytes) -> None:
        """Give the lines that are complete."""
        lines, end, self._rest = (self._rest + content).rpartition(b"\n")
        if end:
            self._receive(lines + end)
        while len(self._rest) >= _LONGEST:
            self._receive(self._rest[:_LONGEST])
            self._rest = self._rest[_LONGEST:]

    def flush(self) -> None:
        """Give the rest, which has no end of a line."""
        rest, self._rest = self._rest, b""
        if rest:
            self._receive(rest)
