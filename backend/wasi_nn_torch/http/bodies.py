"""Reading the body of a request, within limits of size and time, into memory that tensors can lie in."""

from __future__ import annotations

import asyncio
import math
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

from wasi_nn_torch.contract.sizes import spell_size
from wasi_nn_torch.contract.text import quote
from wasi_nn_torch.http.asgi import Disconnected, Receive, Scope, filler, header
from wasi_nn_torch.http.errors import HttpError, bad_request, busy, late, too_large

#: Binary tensors begin at a multiple of this, so that they need not be copied.
_ALIGNMENT = 16
#: What is decompressed at a time.
_STEP = 1 << 20
#: The rest of a body that is late would be taken for the next request.
_CLOSE = [(b"connection", b"close")]
#: The content coding of a body that is not compressed.
_PLAIN = b"identity"
#: The `wbits` of zlib for each content coding.
_CODINGS = {b"gzip": 16 + zlib.MAX_WBITS, b"x-gzip": 16 + zlib.MAX_WBITS, b"deflate": zlib.MAX_WBITS}


class Bodies:
    """Reads bodies of at most `most` bytes each, and `together` at a time, each within `seconds`."""

    def __init__(self, most: int, together: int, seconds: float) -> None:
        self._most = most
        self._together = together
        self._seconds = seconds
        self._held = 0

    @contextmanager
    def room(self, scope: Scope) -> Iterator[int | None]:
        """Hold room for the body of a request until it is answered; the block gets its length, None if not given.

        Raises `HttpError` with status 413 if it is too large, and 503 if all bodies together are.
        """
        length = _length(scope)
        if length is not None and length > self._most:
            raise self._too_large()
        size = self._most if length is None or _coding(scope) != _PLAIN else length
        if self._held and self._held + size > self._together:
            raise busy("the server holds too many large requests; try again later")
        self._held += size
        try:
            yield length
        finally:
            self._held -= size

    async def read(
        self, scope: Scope, receive: Receive, length: int | None, json_length: int | None, due: float | None = None
    ) -> memoryview:
        """Read and decompress the body; its binary part, after `json_length` bytes, is aligned.

        Raises `HttpError` with status 400, 408, 413 or 415, and Disconnected. With status 504 if the body has not
        arrived when the request is due, in `time.monotonic`.
        """
        coding = _coding(scope)
        if coding != _PLAIN and coding not in _CODINGS:
            text = f"the content coding {quote(coding.decode('latin-1'))} is not supported; use gzip or deflate"
            raise HttpError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, text)
        offset = -(json_length or 0) % _ALIGNMENT
        left = math.inf if due is None else max(0.0, due - time.monotonic())
        try:
            body = await self._arrived(scope, receive, length, 0 if coding in _CODINGS else offset, left)
        except TimeoutError:
            raise self._slow() if left >= self._seconds else late(headers=_CLOSE) from None
        if coding in _CODINGS:
            return await asyncio.to_thread(self._decompressed, body, _CODINGS[coding], offset)
        return body

    async def _arrived(
        self, scope: Scope, receive: Receive, length: int | None, offset: int, left: float
    ) -> memoryview:
        """The body as it arrives; raises TimeoutError after `left` seconds, or after those of each body."""
        seconds = min(left, self._seconds)
        fill = filler(scope)
        if fill is None or length is None:
            async with asyncio.timeout(seconds):
                return await self._received(receive, length, offset)
        body = memoryview(bytearray(offset + length))[offset:]
        await fill(body, seconds)
        return body

    async def _received(self, receive: Receive, length: int | None, offset: int) -> memoryview:
        body = bytearray(offset + (length or 0))
        at = offset
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Disconnected
            part: bytes = message.get("body", b"")
            more = message.get("more_body", False)
            if at + len(part) - offset > self._most:
                raise self._too_large()
            body[at : at + len(part)] = part
            at += len(part)
        return memoryview(body)[offset:at]

    def _decompressed(self, body: memoryview, wbits: int, offset: int) -> memoryview:
        expanded = bytearray(offset)
        decoder = zlib.decompressobj(wbits)
        rest = bytes(body)
        try:
            while not decoder.eof:
                part = decoder.decompress(rest, _STEP)
                expanded += part
                rest = decoder.unconsumed_tail
                if len(expanded) - offset > self._most:
                    raise self._too_large()
                if not part and not rest:
                    raise bad_request("the compressed body of the request ends too early")
            if decoder.unused_data:
                raise bad_request("bytes follow the compressed body of the request")
        except zlib.error as error:
            raise bad_request(f"the body of the request cannot be decompressed: {error}") from None
        return memoryview(expanded)[offset:]

    def _slow(self) -> HttpError:
        text = f"the body of the request did not arrive within {self._seconds:g} s"
        return HttpError(HTTPStatus.REQUEST_TIMEOUT, text, "slow", _CLOSE)

    def _too_large(self) -> HttpError:
        return too_large(f"the body of the request is too large (limit {spell_size(self._most)})")


def _coding(scope: Scope) -> bytes:
    return (header(scope, b"content-encoding") or _PLAIN).lower()


def _length(scope: Scope) -> int | None:
    text = header(scope, b"content-length")
    return None if text is None else whole_number(text, "Content-Length")


def json_length(scope: Scope) -> int | None:
    """The length of the JSON at the beginning of the body, if binary data follow it."""
    text = header(scope, b"inference-header-content-length")
    return None if text is None else whole_number(text, "Inference-Header-Content-Length")


def whole_number(text: bytes, name: str) -> int:
    """The number in a header; raises `HttpError` with status 400."""
    if not (text.isdigit() and len(text) <= 18):
        raise bad_request(f"the header {name} must be a number of bytes")
    return int(text)
