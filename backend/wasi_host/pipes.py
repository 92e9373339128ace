"""Sources and sinks of bytes: fixed bytes, captured bytes, functions, and pipes between a guest and its host."""

from __future__ import annotations

import threading
from collections.abc import Callable

from wit_host import Signal

from .limits import exceeded


class Given:
    """A source of fixed bytes."""

    signal = Signal()

    def __init__(self, content: bytes = b"") -> None:
        self._rest = memoryview(content)

    def left(self) -> float:
        """Return 0: there are bytes, or the end."""
        return 0

    def take(self, most: int) -> memoryview:
        """Return the next bytes."""
        if not self._rest:
            raise EOFError
        taken, self._rest = self._rest[:most], self._rest[most:]
        return taken

    def close(self) -> None:
        """Keep the rest for the next stream."""


class OutputLimit:
    """The bytes that several sinks may take together."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._used = 0

    def within(self, content: bytes | memoryview) -> bytes:
        """Count bytes; return those within the limit."""
        within = bytes(content[: max(0, self._most - self._used)])
        self._used += len(within)
        return within

    def require(self, given: bytes | memoryview, within: bytes) -> None:
        """Raise GuestLimit if not all bytes were within the limit."""
        if len(within) < len(given):
            raise exceeded("output", f"the guest wrote more than {self._most} bytes of output")


class Received:
    """A sink whose bytes a function receives, which may raise."""

    signal = Signal()

    def __init__(self, receive: Callable[[bytes], object], limit: OutputLimit) -> None:
        self._receive = receive
        self._limit = limit

    def left(self) -> float:
        """Return 0: there is always room."""
        return 0

    def room(self) -> int:
        """Return more than any guest writes at once."""
        return 1 << 32

    def put(self, content: bytes | memoryview) -> None:
        """Give the bytes to the function; raises GuestLimit after those within the limit."""
        within = self._limit.within(content)
        if within:
            self._receive(within)
        self._limit.require(content, within)

    def is_flushed(self) -> bool:
        """Return True: the function has received everything."""
        return True

    def close(self) -> None:
        """Do nothing: the function may be called again for the next stream."""


class Pipe:
    """A pipe that holds at most `capacity` bytes, between a guest and its host, in either direction.

    The guest's end is `source` or `sink`; `write`, `finish`, `read` and `abandon` are for the host, on another thread
    than the guest's.
    """

    def __init__(self, capacity: int = 1 << 16) -> None:
        if capacity < 1:
            raise ValueError(f"a pipe holds at least 1 byte, not {capacity}")
        self.signal = Signal()
        self._capacity = capacity
        self._content = bytearray()
        self._is_finished = False
        self._is_abandoned = False
        self._changed = threading.Condition()

    # --- for the host ---

    def write(self, content: bytes, timeout: float | None = None) -> None:
        """Write all bytes for the guest, waiting for room.

        Raises BrokenPipeError if the guest reads no more, TimeoutError if it did not read within `timeout` seconds, and
        ValueError after `finish`.
        """
        rest = memoryview(content)
        while rest:
            with self._changed:
                if self._is_finished:
                    raise ValueError("the pipe was finished before")
                if not self._changed.wait_for(lambda: self._is_abandoned or self._space(), timeout):
                    raise TimeoutError("the guest did not read from the pipe in time")
                if self._is_abandoned:
                    raise BrokenPipeError("the guest reads no more from the pipe")
                part = rest[: self._space()]
                self._content += part
                rest = rest[len(part) :]
            self._tell()

    def read(self, most: int = 1 << 16, timeout: float | None = None) -> bytes:
        """Return bytes that the guest wrote, at least one; nothing after the last one.

        Raises TimeoutError if there were none within `timeout` seconds.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._content or self._is_finished, timeout):
                raise TimeoutError("the guest did not write to the pipe in time")
            taken = bytes(self._content[:most])
            del self._content[:most]
        self._tell()
        return taken

    def finish(self) -> None:
        """Write nothing more: the guest reads the end after the last byte."""
        self._is_finished = True
        self._tell()

    def abandon(self) -> None:
        """Read nothing more: what the guest writes fails, since its stream is closed."""
        self._is_abandoned = True
        self._tell()

    # --- for the guest ---

    @property
    def source(self) -> PipeSource:
        """The end that a guest reads from."""
        return PipeSource(self)

    @property
    def sink(self) -> PipeSink:
        """The end that a guest writes to."""
        return PipeSink(self)

    def is_readable(self) -> bool:
        """Return whether there are bytes, or the end."""
        return bool(self._content) or self._is_finished

    def take(self, most: int) -> bytes:
        """Return up to `most` bytes that are there; raises EOFError after the last one."""
        with self._changed:
            taken = bytes(self._content[:most])
            del self._content[:most]
            if not taken and self._is_finished:
                raise EOFError
        self._tell()
        return taken

    def space(self) -> int:
        """Return how many bytes there is room for; raises EOFError if nobody reads them."""
        if self._is_abandoned:
            raise EOFError
        return self._space()

    def put(self, content: bytes | memoryview) -> None:
        """Take bytes; raises EOFError if nobody reads them."""
        with self._changed:
            if self._is_abandoned:
                raise EOFError
            self._content += content
        self._tell()

    def is_writable(self) -> bool:
        """Return whether there is room, or nobody reads."""
        return self._is_abandoned or self._space() > 0

    def is_empty(self) -> bool:
        """Return whether everything was read; raises EOFError if nobody reads."""
        if self._is_abandoned:
            raise EOFError
        return not self._content

    def _space(self) -> int:
        return max(0, self._capacity - len(self._content))

    def _tell(self) -> None:
        with self._changed:
            self._changed.notify_all()
        self.signal.notify()


class PipeSource:
    """The end of a pipe that a guest reads from."""

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe
        self.signal = pipe.signal
        self.take = pipe.take
        self.close = pipe.abandon

    def left(self) -> float | None:
        """Return 0 if there are bytes, or the end."""
        return 0 if self._pipe.is_readable() else None


class PipeSink:
    """The end of a pipe that a guest writes to; it is flushed when the host has read everything."""

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe
        self.signal = pipe.signal
        self.room = pipe.space
        self.put = pipe.put
        self.is_flushed = pipe.is_empty
        self.close = pipe.finish

    def left(self) -> float | None:
        """Return 0 if there is room, or nobody reads."""
        return 0 if self._pipe.is_writable() else None
