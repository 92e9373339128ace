"""`wasi:io/error` and `wasi:io/streams`: the resources, for any source and any sink of bytes.

In: a `Source` or a `Sink`, of files, of standard streams, or of one's own. Out: streams that guests read and write,
with backpressure: a guest never writes more than the sink has room for, and a wait ends when the guest has to stop.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from wasi_bindings import error, streams
from wasi_bindings.streams import StreamErrorClosed, StreamErrorException, StreamErrorLastOperationFailed
from wit_host import GuestTrap, Signal

from .limits import Count
from .polling import Pollable, wait_for

#: The most bytes that WASI allows in one call that writes and flushes.
_BLOCKING = 4096
#: The most bytes of one write, and of one step of a splice.
_WRITE = 1 << 20


@runtime_checkable
class Source(Protocol):
    """Bytes that can be read; an instance is read by one guest at a time.

    `left` is as of `polling.Awaited`: the seconds until the next look whether there are bytes.
    """

    @property
    def signal(self) -> Signal:
        """Notified when there may be bytes, or the end."""
        ...

    def left(self) -> float | None:
        """Return 0 if `take` would not return nothing."""
        ...

    def take(self, most: int) -> bytes | memoryview:
        """Return up to `most` bytes, which is at least 1; nothing if there are none yet.

        Raises EOFError after the last byte, OSError if reading failed.
        """
        ...

    def close(self) -> None:
        """The guest reads no more; called once, of the standard input by `World.close`."""
        ...


@runtime_checkable
class Sink(Protocol):
    """Takes bytes that a guest writes; `left` is as of `polling.Awaited`."""

    @property
    def signal(self) -> Signal:
        """Notified when there may be room, or everything was received."""
        ...

    def left(self) -> float | None:
        """Return 0 if there is room, or writing fails."""
        ...

    def room(self) -> int:
        """Return the number of bytes that `put` would take now.

        Raises EOFError if nobody reads them any more, OSError if writing failed.
        """
        ...

    def put(self, content: bytes | memoryview) -> None:
        """Take no more bytes than `room`; copy them, as they are only valid in this call. Raises as `room` does."""
        ...

    def is_flushed(self) -> bool:
        """Return whether everything that was put was received. Raises as `room` does."""
        ...

    def close(self) -> None:
        """The guest writes no more; called once, of standard outputs by `World.close`."""
        ...


class Error(error.Error):
    """The resource `error`: a failure of a stream."""

    def __init__(self, failure: OSError, count: Count) -> None:
        count.add()
        # Its frames may have views of the memory of the guest.
        self.failure = failure.with_traceback(None)
        self._count = count

    def to_debug_string(self) -> str:
        """Return the text of the system, without the paths of the host."""
        return self.failure.strerror or "the operation failed"

    def drop(self) -> None:
        """Count one handle less."""
        self._count.remove()


class _Stream:
    """The common part of both kinds: what ends a stream, and its handles."""

    def __init__(self, count: Count) -> None:
        count.add()
        self._count = count
        self._is_closed = False

    def _closed(self) -> StreamErrorException:
        self._is_closed = True
        return StreamErrorException(StreamErrorClosed())

    def _failed(self, failure: OSError) -> StreamErrorException:
        self._is_closed = True
        return StreamErrorException(StreamErrorLastOperationFailed(Error(failure, self._count)))

    def _require_open(self) -> None:
        if self._is_closed:
            raise self._closed()


class InputStream(_Stream, streams.InputStream):
    """The resource `input-stream`; one read returns `most` bytes at most. It closes the source if it `owns` it."""

    def __init__(self, source: Source, count: Count, most: int, *, owns: bool = True) -> None:
        super().__init__(count)
        self._source = source
        self._owns = owns
        self._most = most

    @property
    def signal(self) -> Signal:
        """That of the source."""
        return self._source.signal

    def left(self) -> float | None:
        """Return 0 if a read would not return nothing."""
        return 0 if self._is_closed else self._source.left()

    def expect(self) -> None:
        """Do nothing: the source gets bytes by itself."""

    def read(self, len_: int) -> bytes | memoryview:
        """Return the bytes that are there, `len_` at most."""
        self._require_open()
        if not len_:
            return b""
        try:
            return self._source.take(min(len_, self._most))
        except EOFError:
            raise self._closed() from None
        except OSError as failure:
            raise self._failed(failure) from None

    def blocking_read(self, len_: int) -> bytes | memoryview:
        """Wait until there are bytes, and return them."""
        while not (content := self.read(len_)) and len_:
            wait_for([self])
        return content

    def skip(self, len_: int) -> int:
        """Drop the bytes that are there; return their number."""
        return len(self.read(len_))

    def blocking_skip(self, len_: int) -> int:
        """Wait until there are bytes, and drop them."""
        return len(self.blocking_read(len_))

    def subscribe(self) -> Pollable:
        """Return what is ready when there are bytes."""
        return Pollable(self, self._count)

    def drop(self) -> None:
        """Close the source."""
        self._count.remove()
        if self._owns:
            self._source.close()


class OutputStream(_Stream, streams.OutputStream[Pollable, InputStream]):
    """The resource `output-stream`. It closes the sink if it `owns` it."""

    def __init__(self, sink: Sink, count: Count, *, owns: bool = True) -> None:
        super().__init__(count)
        self._sink = sink
        self._owns = owns
        self._permit = 0
        self._is_flushing = False

    @property
    def signal(self) -> Signal:
        """That of the sink."""
        return self._sink.signal

    def left(self) -> float | None:
        """Return 0 if `check_write` would not return 0."""
        if self._is_closed:
            return 0
        if not self._is_flushing:
            return self._sink.left()
        try:
            return 0 if self._sink.is_flushed() else None
        except (EOFError, OSError):  # which the next call of the guest gets
            return 0

    def expect(self) -> None:
        """Do nothing: the sink gets room by itself."""

    def check_write(self) -> int:
        """Return how many bytes the next `write` may have."""
        self._require_open()
        if self._is_flushing and not self._is_flushed():
            self._permit = 0
        else:
            self._is_flushing = False
            self._permit = min(self._room(), _WRITE)
        return self._permit

    def write(self, contents: bytes | memoryview) -> None:
        """Put the bytes; traps if they are more than permitted."""
        self._require_open()
        if len(contents) > self._permit:
            raise GuestTrap(f"the guest writes {len(contents)} bytes, and `check-write` permitted {self._permit}")
        self._permit -= len(contents)
        rest = memoryview(contents)
        while rest:  # once, unless another stream of the same sink took the room meanwhile
            part = rest[: self._room()]
            if part:
                self._put(part)
                rest = rest[len(part) :]
            else:
                wait_for([self])

    def blocking_write_and_flush(self, contents: bytes | memoryview) -> None:
        """Put all bytes, waiting for room, and wait until they were received."""
        if len(contents) > _BLOCKING:
            raise GuestTrap(f"the guest writes {len(contents)} bytes at once, and may write {_BLOCKING}")
        self._write_all(contents)
        self.blocking_flush()

    def flush(self) -> None:
        """Permit nothing until everything was received."""
        self._require_open()
        self._is_flushing = True
        self._permit = 0

    def blocking_flush(self) -> None:
        """Wait until everything was received."""
        self.flush()
        while not self._is_flushed():
            wait_for([self])
        self._is_flushing = False

    def write_zeroes(self, len_: int) -> None:
        """Put zeros; traps if they are more than permitted."""
        self._require_open()
        if len_ > self._permit:
            raise GuestTrap(f"the guest writes {len_} zeros, and `check-write` permitted {self._permit}")
        self.write(bytes(len_))

    def blocking_write_zeroes_and_flush(self, len_: int) -> None:
        """Put zeros, and wait until they were received."""
        if len_ > _BLOCKING:
            raise GuestTrap(f"the guest writes {len_} zeros at once, and may write {_BLOCKING}")
        self.blocking_write_and_flush(bytes(len_))

    def splice(self, src: InputStream, len_: int) -> int:
        """Read from `src` as much as there is and this has room for; return the number of bytes."""
        most = min(len_, self.check_write())
        content = src.read(most)
        self.write(content)
        return len(content)

    def blocking_splice(self, src: InputStream, len_: int) -> int:
        """Wait until there are bytes and room, and splice."""
        while len_ and not self.check_write():
            wait_for([self])
        most = min(len_, self._permit)
        content = src.blocking_read(most)
        self.write(content)
        return len(content)

    def subscribe(self) -> Pollable:
        """Return what is ready when there is room."""
        return Pollable(self, self._count)

    def drop(self) -> None:
        """Close the sink."""
        self._count.remove()
        if self._owns:
            self._sink.close()

    def _write_all(self, contents: bytes | memoryview) -> None:
        rest = memoryview(contents)
        while rest:
            permitted = self.check_write()
            if permitted:
                self.write(rest[:permitted])
                rest = rest[permitted:]
            else:
                wait_for([self])

    def _room(self) -> int:
        try:
            return self._sink.room()
        except EOFError:
            raise self._closed() from None
        except OSError as failure:
            raise self._failed(failure) from None

    def _put(self, contents: bytes | memoryview) -> None:
        try:
            self._sink.put(contents)
        except EOFError:
            raise self._closed() from None
        except OSError as failure:
            raise self._failed(failure) from None

    def _is_flushed(self) -> bool:
        try:
            return self._sink.is_flushed()
        except EOFError:
            raise self._closed() from None
        except OSError as failure:
            raise self._failed(failure) from None
