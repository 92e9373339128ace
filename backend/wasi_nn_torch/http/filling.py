"""Reading the body of a request from the socket to where it shall lie, past uvicorn's parser and its copies."""

from __future__ import annotations

import asyncio
from typing import cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from wasi_nn_torch.http.asgi import Disconnected
from wasi_nn_torch.http.upgrading import Framed, Parser


async def fill(protocol: HttpToolsProtocol, cycle: RequestResponseCycle, buffer: memoryview, seconds: float) -> None:
    """Fill a buffer with the body of the request of `cycle`: see `asgi.Fill`."""
    at = len(cycle.body)
    buffer[:at] = cycle.body
    cycle.body = bytearray()
    if cycle.disconnected:
        raise Disconnected
    if not cycle.more_body:
        return
    rest = _Rest(protocol, buffer[at:])
    try:
        await rest.read(seconds)
    except (TimeoutError, asyncio.CancelledError):
        cycle.keep_alive = False  # nobody knows any more where the next request begins
        raise
    protocol.parser = Parser(cast(Framed, protocol))  # the old one still waits for the body
    cycle.more_body = False
    cycle.message_event.clear()


class _Rest(asyncio.BufferedProtocol):
    """Fills `buffer` from a connection in place of `protocol`, which is told everything else that happens."""

    def __init__(self, protocol: HttpToolsProtocol, buffer: memoryview) -> None:
        self._protocol = protocol
        self._buffer = buffer
        self._end = protocol.loop.create_future()

    async def read(self, seconds: float) -> None:
        """Return when the buffer is full; raises Disconnected if the client goes, and TimeoutError."""
        self._hand_over(self)
        alarm = self._protocol.loop.call_later(seconds, self._finish, TimeoutError())
        try:
            await self._end
        finally:
            alarm.cancel()
            if not self._protocol.transport.is_closing():
                self._hand_over(self._protocol)
        if self._buffer:
            raise Disconnected

    def _hand_over(self, reader: asyncio.BaseProtocol) -> None:
        """Let another protocol read; a transport takes notice when it begins to read."""
        flow = self._protocol.flow
        flow.pause_reading()
        self._protocol.transport.set_protocol(reader)
        flow.resume_reading()

    def get_buffer(self, sizehint: int) -> memoryview:
        """What is missing."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Take note of what has arrived."""
        self._buffer = self._buffer[nbytes:]
        if not self._buffer:
            self._protocol.flow.pause_reading()
            self._finish()

    def eof_received(self) -> None:
        """Close the connection."""

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone."""
        self._protocol.connection_lost(exc)
        self._finish()

    def pause_writing(self) -> None:
        """See `asyncio.Protocol`."""
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        """See `asyncio.Protocol`."""
        self._protocol.resume_writing()

    def _finish(self, error: Exception | None = None) -> None:
        if self._end.done():
            return
        if error is None:
            self._end.set_result(None)
        else:
            self._end.set_exception(error)
