"""uvicorn's protocol for one connection, with limits for clients that are slow, or send more than they should."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from typing import Any, cast

from uvicorn.protocols.http.flow_control import service_unavailable
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from wasi_nn_torch.http.asgi import Receive, Response, Scope, Send, offer_to_fill, offer_trailers, respond, sent_bytes
from wasi_nn_torch.http.encoding import refusal, to_json
from wasi_nn_torch.http.errors import busy
from wasi_nn_torch.http.filling import fill
from wasi_nn_torch.http.recording import Refusal
from wasi_nn_torch.http.trailing import TrailingSend
from wasi_nn_torch.http.upgrading import Parser, frame_of

#: The most bytes of the request line and the headers together, and the most headers.
_MOST_BYTES, _MOST_HEADERS = 64 << 10, 200
#: The seconds in which the headers of a request have to arrive.
HEADER_SECONDS = 10.0
#: The seconds that a client may take none of its answer.
STALL_SECONDS = 30.0
#: The most bytes that are copied to be sent together with others.
_SMALL = 1 << 16
#: The seconds for which a connection without a request stays open when the server stops.
_CLOSING_SECONDS = 0.5


#: Takes a refusal, the status of its answer if there is one, the bytes of the body of that, and the client.
Record = Callable[[Refusal, int | None, int, str], object]


class GuardedProtocol(HttpToolsProtocol):
    """Refuses long headers with status 431, and closes connections that are slow to send headers or to take answers.

    Each refusal is given to `record`.
    """

    def __init__(self, record: Record, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401  # those of uvicorn
        super().__init__(*args, **kwargs)
        self._record = record
        self.parser = Parser(self)
        #: The head of a request that asks for another protocol, without that wish; the body follows it.
        self._frame = b""
        self._is_framing = False
        self._bytes = self._count = 0
        #: The trailers of the request, once its headers are complete.
        self._trailers: list[tuple[bytes, bytes]] | None = None
        self._is_closing = False
        self._slow_headers = _Alarm(self.loop, HEADER_SECONDS, self._refuse_slow)
        self._stalled = _Alarm(self.loop, STALL_SECONDS, self._abort)

    def connection_made(self, transport: Any) -> None:  # noqa: ANN401  # what the event loop passes
        """Wait for a request."""
        super().connection_made(transport)
        self._slow_headers.start()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting for anything."""
        self._slow_headers.stop()
        self._stalled.stop()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """Wait for the headers."""
        if self._is_framing:
            return
        super().on_message_begin()
        self._bytes = self._count = 0
        self._trailers = None
        self._slow_headers.start()

    def on_url(self, url: bytes) -> None:
        """Count the request line."""
        if self._is_framing:
            return
        self._admit(len(url), 0)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count a header, or a trailer, which must not be taken for a header."""
        if self._is_framing:
            return
        self._admit(len(name) + len(value), 1)
        if self._trailers is None:
            super().on_header(name, value)
        else:
            self._trailers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Begin to answer; this is the last answer of the connection if the server stops."""
        if self._is_framing:
            self._is_framing = False
            return
        self._slow_headers.stop()
        self._trailers = []
        if self.parser.should_upgrade():
            self._frame = frame_of(self.headers)
        super().on_headers_complete()
        if self.scope["http_version"] == "1.1":
            offer_trailers(cast(Scope, self.scope), self._trailers)
            cast(Any, self.cycle).send = TrailingSend(self.cycle)
        if not self.expect_100_continue:
            offer_to_fill(cast(Scope, self.scope), partial(fill, self, self.cycle))
            if self.scope["method"] != "HEAD":  # which has no body that the head could wait for
                self.cycle.transport = cast("asyncio.Transport", _HeadWithBody(self.transport))
        if self._is_closing and self.cycle is not None:
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        """Close the connection after the answer, if the parser reads no further since a trailer says so."""
        if self._frame:  # the parser took the body for another protocol
            return
        super().on_message_complete()
        if self._trailers and not self.parser.should_keep_alive():
            self.cycle.keep_alive = False
            if self.cycle.response_complete:
                self.transport.close()

    def go_on(self) -> None:
        """Read the body of a request that asks for another protocol."""
        frame, self._frame = self._frame, b""
        if frame:
            self._is_framing = True
            self.parser.feed_data(frame)

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP, or is too long, and close the connection."""
        self._slow_headers.stop()
        is_long = self._bytes > _MOST_BYTES or self._count > _MOST_HEADERS
        if self.cycle is not None and not self.cycle.response_complete:  # an answer is on its way
            self._tell(Refusal.LONG_HEADERS if is_long else Refusal.MALFORMED)
            self.transport.close()
        elif is_long:
            text = f"the headers of the request are too long (limit {_MOST_BYTES} bytes, {_MOST_HEADERS} headers)"
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, text, Refusal.LONG_HEADERS)
        else:
            self._refuse(HTTPStatus.BAD_REQUEST, "the request is not valid HTTP", Refusal.MALFORMED)

    def pause_writing(self) -> None:
        """Wait for the client to take its answer."""
        super().pause_writing()
        self._stalled.start()

    def resume_writing(self) -> None:
        """Go on, as the client takes its answer."""
        self._stalled.stop()
        super().resume_writing()

    def shutdown(self) -> None:
        """Let the connection end: with the answer to its request or, without one, in a moment.

        A request may be on its way when the server stops; it is answered, too.
        """
        self._is_closing = True
        if self.cycle is None or self.cycle.response_complete:
            self.loop.call_later(_CLOSING_SECONDS, self._close_if_idle)
        else:
            self.cycle.keep_alive = False

    def _close_if_idle(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()

    def _refuse_slow(self) -> None:
        if not self.transport.is_closing():
            # Browsers open connections that they may need; one of which nothing arrives has not failed.
            refusal = None if self.scope is None else Refusal.SLOW_HEADERS
            self._refuse(HTTPStatus.REQUEST_TIMEOUT, f"no request arrived within {HEADER_SECONDS:g} s", refusal)

    def _admit(self, nbytes: int, count: int) -> None:
        self._bytes += nbytes
        self._count += count
        if self._bytes > _MOST_BYTES or self._count > _MOST_HEADERS:
            raise ValueError("the headers are too long")  # the parser stops, and `send_400_response` is called

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:  # noqa: ANN401  # what uvicorn chose
        if app is service_unavailable:
            refused = refusal(busy("too many connections are open; try again later"))
            self._tell(
                Refusal.CONNECTIONS, HTTPStatus.SERVICE_UNAVAILABLE, sent_bytes(cast(Scope, cycle.scope), refused)
            )
            app = partial(_refuse_connection, refused)
        super()._start_asgi_task(cycle, app)

    def _tell(self, refusal: Refusal, status: HTTPStatus | None = None, sent: int = 0) -> None:
        host, port = self.client or ("-", 0)
        self._record(refusal, None if status is None else status.value, sent, f"{host}:{port}")

    def _refuse(self, status: HTTPStatus, text: str, refusal: Refusal | None) -> None:
        body = to_json({"error": text})
        head = (
            f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        if refusal is not None:
            self._tell(refusal, status, len(body))
        self.transport.write(head.encode() + body)
        self.transport.close()

    def _abort(self) -> None:
        self._tell(Refusal.STALLED)
        self.transport.abort()


async def _refuse_connection(refused: Response, scope: Scope, receive: Receive, send: Send) -> None:
    headers = [*refused.headers, (b"connection", b"close")]
    await respond(send, Response(refused.status, headers, refused.parts))


class _Alarm:
    """Calls a function after some seconds, unless it is stopped or started again before."""

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float, ring: Callable[[], object]) -> None:
        self._loop = loop
        self._seconds = seconds
        self._ring = ring
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self.stop()
        self._timer = self._loop.call_later(self._seconds, self._ring)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class _HeadWithBody:
    """The transport of one answer: what is written first, the head, is sent with what is written next."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head: bytes | None = None
        self._has_head = False

    def write(self, data: bytes | memoryview) -> None:
        head, self._head = self._head, None
        if head is not None:
            self._write_both(head, data)
        elif self._has_head:
            self._transport.write(data)
        else:
            self._head, self._has_head = bytes(data), True

    def close(self) -> None:
        if self._head is not None:
            self.write(b"")
        self._transport.close()

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def _write_both(self, head: bytes, data: bytes | memoryview) -> None:
        if len(data) > _SMALL:
            self._transport.writelines([head, data])
        else:
            self._transport.write(b"".join([head, data]))
