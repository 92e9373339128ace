"""Sending trailers by uvicorn, which cannot: they follow the last chunk of an answer."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from uvicorn.protocols.http.httptools_impl import HEADER_RE, HEADER_VALUE_RE, RequestResponseCycle

from wasi_nn_torch.http.asgi import Message

_START, _BODY = "http.response.start", "http.response.body"
_END: Message = {"type": _BODY, "body": b"", "more_body": False}

Send = Callable[[Any], Coroutine[Any, Any, None]]


class TrailingSend:
    """The `send` of one answer, with the extension `http.response.trailers` of ASGI.

    Trailers of an answer that is not sent in chunks, since it has a length or no body, are left out.
    """

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self._cycle = cycle
        self._send: Send = cycle.send
        self._is_announced = False
        self._lines: list[bytes] = []

    def __call__(self, message: Message) -> Coroutine[Any, Any, None]:
        """Send a message."""
        if message["type"] == _START:
            self._is_announced = message.get("trailers", False)
        elif self._is_announced:
            return self._sent(message)
        return self._send(message)

    async def _sent(self, message: Message) -> None:
        """Send a part of the body, or take trailers; the end of the body waits for them."""
        if message["type"] == _BODY:
            if message.get("body"):
                await self._send({"type": _BODY, "body": message["body"], "more_body": True})
            return
        for name, value in message["headers"]:
            if not name or HEADER_RE.search(name) or HEADER_VALUE_RE.search(value):
                raise RuntimeError("invalid trailer")
            self._lines += [name, b": ", value, b"\r\n"]
        if not message.get("more_trailers", False):
            await self._end()

    async def _end(self) -> None:
        cycle = self._cycle
        if cycle.flow.write_paused and not cycle.disconnected:
            await cycle.flow.drain()
        if cycle.chunked_encoding and not cycle.disconnected:
            cycle.transport.write(b"".join([b"0\r\n", *self._lines, b"\r\n"]))
            cycle.chunked_encoding = False  # so that uvicorn does not write the last chunk
        await self._send(_END)
