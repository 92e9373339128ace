"""Sending one request of a guest, and receiving the response, in an event loop of its own thread.

In: a request whose destination was allowed. Out: its head, or an error code; then the bytes of its body as they arrive.
The connection is made to an address that was checked after the name was looked up, and used for one request only.
h11 writes and reads HTTP/1.1. Redirects are answers like any other.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from typing import Any

import h11

from wasi_http_bindings import types
from wasi_http_bindings.types import ErrorCode

from .connecting import READ, connected, of_tls
from .fields import FORBIDDEN, Entry, trailer_fields
from .flows import Abandoned, HttpFailure, Inflow
from .sending import Head, Sending

#: The most bytes of the head of a response, or of its trailers.
_HEAD = 1 << 16
#: Methods whose requests have a body, even if it is empty.
_WITH_BODY = ("POST", "PUT", "PATCH")


class Exchange:
    """A request on its way.

    `on_head` is called once, with the head or the reason why there is none, and `on_end` at the end, on its thread.
    """

    def __init__(
        self, sending: Sending, on_head: Callable[[Head | ErrorCode], object], on_end: Callable[[], object]
    ) -> None:
        self._sending = sending
        self._on_head = on_head
        self._on_end = on_end
        self._has_head = False
        self._inflow = Inflow(self.cancel)
        self._cancelling = threading.Lock()
        self._is_cancelled = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, on a thread of its own."""
        threading.Thread(target=self._run, name="wasi-http-request", daemon=True).start()

    def cancel(self) -> None:
        """Let nobody get anything any more."""
        with self._cancelling:
            self._is_cancelled = True
            task = self._task
        if task is not None:
            with suppress(RuntimeError):  # it has ended
                task.get_loop().call_soon_threadsafe(task.cancel)

    def _run(self) -> None:
        try:
            asyncio.run(self._exchange())
        except asyncio.CancelledError:
            self._fail(types.ErrorCodeConnectionTerminated())
        except BaseException:
            self._fail(types.ErrorCodeInternalError(None))
            raise
        finally:
            if self._sending.body is not None:
                self._sending.body.refuse()
            self._on_end()

    async def _exchange(self) -> None:
        with self._cancelling:
            self._task = asyncio.current_task()
            if self._is_cancelled:
                raise asyncio.CancelledError
        try:
            await self._converse()
        except HttpFailure as failure:
            self._fail(failure.code)
        except Abandoned:  # by the guest
            self._fail(types.ErrorCodeConnectionTerminated())
        except h11.LocalProtocolError:
            self._fail(types.ErrorCodeHTTPProtocolError())
        except ssl.SSLError as error:
            self._fail(of_tls(error))
        except OSError:
            self._fail(types.ErrorCodeConnectionTerminated())

    def _fail(self, code: ErrorCode) -> None:
        if self._has_head:
            self._inflow.fail(code)
        else:
            self._has_head = True
            self._on_head(code)

    async def _converse(self) -> None:
        sending = self._sending
        async with _within(sending.times.connect, types.ErrorCodeConnectionTimeout()):
            is_secure = sending.destination.origin.scheme == "https"
            reader, writer = await connected(sending.destination, sending.policy.tls if is_secure else None)
        connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=_HEAD)
        try:
            uploading = asyncio.ensure_future(_upload(connection, writer, sending))
            try:
                async with _within(sending.times.first_byte, types.ErrorCodeHTTPResponseTimeout()):
                    response = await _response(connection, reader, uploading)
                self._has_head = True
                self._on_head(Head(response.status_code, _entries(response.headers), self._inflow))
                await self._download(connection, reader)
            finally:
                uploading.cancel()
                await asyncio.wait({uploading})
                if not uploading.cancelled():
                    uploading.exception()  # the response tells what matters
        finally:
            writer.transport.abort()

    async def _download(self, connection: h11.Connection, reader: asyncio.StreamReader) -> None:
        received = 0
        while True:
            async with _within(self._sending.times.between_bytes, types.ErrorCodeConnectionReadTimeout()):
                event = await _event(connection, reader)
            if isinstance(event, h11.Data):
                received += len(event.data)
                if received > self._sending.policy.response_body:
                    raise HttpFailure(types.ErrorCodeHTTPResponseBodySize(self._sending.policy.response_body))
                await self._inflow.put(bytes(event.data))
            elif isinstance(event, h11.EndOfMessage):
                self._inflow.finish(trailer_fields(_entries(event.headers)) or None)
                return
            else:
                raise HttpFailure(types.ErrorCodeHTTPResponseIncomplete())


async def _upload(connection: h11.Connection, writer: asyncio.StreamWriter, sending: Sending) -> None:
    """Send the request; its body as the guest writes it."""
    body = sending.body
    headers = [(b"host", sending.destination.origin.authority), *_raw(sending.headers)]
    has_length = any(name == "content-length" for name, _ in sending.headers)
    if body is not None and not has_length:
        headers.append((b"transfer-encoding", b"chunked"))
    elif body is None and sending.method in _WITH_BODY and not has_length:
        headers.append((b"content-length", b"0"))
    request = h11.Request(method=sending.method.encode(), target=sending.path.encode(), headers=headers)
    await _write(connection, writer, request)
    while body is not None and (content := await body.get()):
        await _write(connection, writer, h11.Data(data=content))
    trailers = [] if body is None or has_length else _raw(trailer_fields(body.trailers))
    await _write(connection, writer, h11.EndOfMessage(headers=trailers))


async def _write(connection: h11.Connection, writer: asyncio.StreamWriter, event: Any) -> None:  # noqa: ANN401  # of h11
    data = connection.send(event)
    if data:
        writer.write(data)
        await writer.drain()


async def _response(
    connection: h11.Connection, reader: asyncio.StreamReader, uploading: asyncio.Task[None]
) -> h11.Response:
    """The head of the response, which may come before all of the request was sent."""
    receiving = asyncio.ensure_future(_final_head(connection, reader))
    try:
        waiting: set[asyncio.Task[Any]] = {receiving, uploading}
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        # A server that closes the connection may have answered before.
        if not receiving.done() and not isinstance(uploading.exception(), OSError):
            uploading.result()
        return await receiving
    finally:
        receiving.cancel()


async def _final_head(connection: h11.Connection, reader: asyncio.StreamReader) -> h11.Response:
    while True:
        event = await _event(connection, reader)
        if isinstance(event, h11.Response):
            if sum(len(name) + len(value) for name, value in event.headers) > _HEAD:
                raise HttpFailure(types.ErrorCodeHTTPResponseHeaderSectionSize(_HEAD))
            return event
        if not isinstance(event, h11.InformationalResponse):
            raise HttpFailure(types.ErrorCodeHTTPResponseIncomplete())


async def _event(connection: h11.Connection, reader: asyncio.StreamReader) -> Any:  # noqa: ANN401  # one of h11
    try:
        while (event := connection.next_event()) is h11.NEED_DATA:
            connection.receive_data(await reader.read(READ))
    except h11.RemoteProtocolError as error:
        _, is_closed = connection.trailing_data
        raise HttpFailure(_of_protocol(error, is_closed)) from None
    return event


@asynccontextmanager
async def _within(seconds: float, code: ErrorCode) -> AsyncIterator[None]:
    """Raise HttpFailure with `code` if the block takes longer."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise HttpFailure(code) from None


def _entries(headers: Any) -> tuple[Entry, ...]:  # noqa: ANN401  # those of h11
    named = [(bytes(name).decode("latin-1").lower(), bytes(value)) for name, value in headers]
    return tuple(entry for entry in named if entry[0] not in FORBIDDEN)


def _raw(entries: Sequence[Entry]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value) for name, value in entries]


def _of_protocol(error: h11.RemoteProtocolError, is_closed: bool) -> ErrorCode:
    if error.error_status_hint == HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE:
        return types.ErrorCodeHTTPResponseHeaderSectionSize(_HEAD)
    return types.ErrorCodeHTTPResponseIncomplete() if is_closed else types.ErrorCodeHTTPProtocolError()
