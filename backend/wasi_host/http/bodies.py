"""The bodies of `wasi:http/types`, in both directions, and trailers."""

from __future__ import annotations

from collections.abc import Callable

from wasi_bindings.streams import InputStream as AnyInputStream
from wasi_http_bindings import types
from wasi_http_bindings.types import ErrorCode, ErrorCodeException
from wit_host import Err, GuestTrap, Ok, ResultError, Signal

from ..polling import Pollable
from ..streams import InputStream, OutputStream
from .fields import Entry, Fields
from .flows import HttpFailure, Inflow, Outflow
from .surroundings import Hold, Surroundings

#: The error for a body of a wrong size, by the number of bytes that there were.
WrongSize = Callable[[int | None], ErrorCode]


class IncomingBody(types.IncomingBody):
    """The resource `incoming-body`; it releases `hold` at its end."""

    def __init__(self, flow: Inflow, hold: Hold, around: Surroundings) -> None:
        around.handles.add()
        self._around = around
        self._hold = hold
        self._stream: _BodyStream | None = None
        self.flow: Inflow | None = flow

    def stream(self) -> AnyInputStream:
        """Return the stream of the bytes, once."""
        if self._stream is not None or self.flow is None:
            raise ResultError(None)
        self._stream = _BodyStream(self.flow, self._around)
        return self._stream

    def finish(self) -> FutureTrailers:
        """Return the trailers, and drop this; traps if the stream is open."""
        if self._stream is not None and not self._stream.is_dropped:
            raise GuestTrap("the guest finishes a body whose stream it has not dropped")
        flow, self.flow = self.flow, None
        self.drop()
        if flow is None:
            raise GuestTrap("the guest finishes a body twice")
        flow.close()
        return FutureTrailers(flow, self._around)

    def drop(self) -> None:
        """Read no more."""
        self._around.handles.remove()
        self._hold.release()
        if self.flow is not None:
            self.flow.close()


class _BodyStream(InputStream):
    """The bytes of a body, of which `finish` needs to know whether they are still read."""

    def __init__(self, flow: Inflow, around: Surroundings) -> None:
        super().__init__(flow, around.handles, around.read, owns=False)
        self.is_dropped = False

    def drop(self) -> None:
        """See `InputStream`."""
        self.is_dropped = True
        super().drop()


class FutureTrailers(types.FutureTrailers):
    """The resource `future-trailers`."""

    def __init__(self, flow: Inflow, around: Surroundings) -> None:
        around.handles.add()
        self._around = around
        self._flow = flow
        self._is_taken = False

    @property
    def signal(self) -> Signal:
        """That of the body."""
        return self._flow.signal

    def left(self) -> float | None:
        """Return 0 if the trailers are there."""
        return 0 if self._flow.is_over else None

    def expect(self) -> None:
        """Do nothing: they arrive by themselves."""

    def subscribe(self) -> Pollable:
        """Return what is ready when they are there."""
        return Pollable(self, self._around.handles)

    def get(self) -> Ok[Ok[types.Fields | None] | Err[ErrorCode]] | Err[None] | None:
        """Return the trailers, once."""
        if not self._flow.is_over:
            return None
        if self._is_taken:
            return Err(None)
        self._is_taken = True
        outcome = self._flow.outcome
        if isinstance(outcome, HttpFailure):
            return Ok(Err(outcome.code))
        return Ok(Ok(None if outcome is None else self._around.fields(outcome, is_mutable=False)))

    def drop(self) -> None:
        """Count one handle less."""
        self._around.handles.remove()


class OutgoingBody(types.OutgoingBody):
    """The resource `outgoing-body`, of `length` bytes if that is known, and `most` at most."""

    def __init__(
        self,
        around: Surroundings,
        length: int | None,
        wrong_size: WrongSize,
        most: int | None = None,
    ) -> None:
        around.handles.add()
        self._around = around
        self._length = length
        self._wrong_size = wrong_size
        self._stream: _CountedStream | None = None
        self._is_over = False
        self._most = length if most is None else most if length is None else min(length, most)
        self.flow = Outflow()

    def write(self) -> OutputStream:
        """Return the stream for the bytes, once."""
        if self._stream is not None:
            raise ResultError(None)
        self._stream = _CountedStream(_Counted(self.flow, self._most, self._wrong_size), self._around)
        return self._stream

    def finish(self, trailers: types.Fields | None) -> None:
        """Complete the body, and drop this; traps if the stream is open."""
        entries: tuple[Entry, ...] = ()
        if isinstance(trailers, Fields):
            entries = trailers.all
            trailers.drop()
        if self._stream is not None and not self._stream.is_dropped:
            raise GuestTrap("the guest finishes a body whose stream it has not dropped")
        written = 0 if self._stream is None else self._stream.written
        is_complete = self._length is None or written == self._length
        if is_complete:
            self._is_over = True
            self.flow.finish(entries)
        self.drop()
        if not is_complete:
            raise ErrorCodeException(self._wrong_size(written))

    def drop(self) -> None:
        """End the body, which is not complete unless `finish` said so."""
        self._around.handles.remove()
        if not self._is_over:
            self._is_over = True
            self.flow.abandon()


class _Counted:
    """An outflow that takes `most` bytes at most."""

    def __init__(self, flow: Outflow, most: int | None, wrong_size: WrongSize) -> None:
        self._flow = flow
        self._most = most
        self._wrong_size = wrong_size
        self.written = 0
        self.signal = flow.signal
        self.left = flow.left
        self.room = flow.room
        self.is_flushed = flow.is_flushed
        self.close = flow.close

    def put(self, content: bytes | memoryview) -> None:
        """Take bytes; raises HttpFailure if they are too many."""
        if self._most is not None and self.written + len(content) > self._most:
            raise HttpFailure(self._wrong_size(self.written + len(content)))
        self._flow.put(content)
        self.written += len(content)


class _CountedStream(OutputStream):
    """The stream of such a body."""

    def __init__(self, sink: _Counted, around: Surroundings) -> None:
        super().__init__(sink, around.handles)
        self._counted = sink
        self.is_dropped = False

    @property
    def written(self) -> int:
        """The number of bytes so far."""
        return self._counted.written

    def drop(self) -> None:
        """See `OutputStream`."""
        self.is_dropped = True
        super().drop()
