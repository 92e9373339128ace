"""The types of ASGI, and a response as the parts that are sent."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = Sequence[tuple[bytes, bytes]]

Fill = Callable[[memoryview, float], Awaitable[None]]
"""Fills a buffer of the size of the body with the body, within some seconds.

An extension of ASGI, called once, and before anything is received. Raises Disconnected if the client goes, and
TimeoutError, after which the connection ends with the answer.
"""

#: The name of that extension, of one for the trailers of requests, and of ASGI's own for those of answers.
_FILL = "wasi_nn_torch.fill"
_TRAILERS_OF_REQUESTS = "wasi_nn_torch.trailers"
TRAILERS = "http.response.trailers"

#: The parser of uvicorn that adds the trailers of a request to its headers, once it is used in this process.
_UVICORN = "uvicorn.protocols.http.httptools_impl"

#: Parts of a body that are together not larger than this are sent as one.
_SMALL = 1 << 16


@dataclass(frozen=True)
class Response:
    """A response: its status, its headers without the length, and its body in parts, which are not copied."""

    status: int
    headers: Headers
    parts: Sequence[bytes | memoryview]


class Disconnected(Exception):
    """The client has gone before it was answered."""


async def respond(send: Send, response: Response) -> None:
    """Send a response."""
    size = sum(map(len, response.parts))
    headers = [*response.headers, (b"content-length", str(size).encode())]
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    parts = response.parts if size > _SMALL else [b"".join(response.parts)]
    *first, last = parts or [b""]
    for part in first:
        await send({"type": "http.response.body", "body": part, "more_body": True})
    await send({"type": "http.response.body", "body": last, "more_body": False})


def sent_bytes(scope: Scope, response: Response) -> int:
    """The bytes of a response's body that its client gets: none if it has asked for the head only."""
    return 0 if scope["method"] == "HEAD" else sum(map(len, response.parts))


def header(scope: Scope, name: bytes) -> bytes | None:
    """The value of the first header of a name, in lower case; None if there is none."""
    headers: Headers = scope["headers"]
    for each, value in headers:
        if each == name:
            return value
    return None


def offer_to_fill(scope: Scope, fill: Fill) -> None:
    """Offer an application to fill a buffer with the body of a request."""
    scope.setdefault("extensions", {})[_FILL] = fill


def filler(scope: Scope) -> Fill | None:
    """What fills a buffer with the body of a request; None if the server does not offer that."""
    found: Fill | None = scope.get("extensions", {}).get(_FILL)
    return found


def offer_trailers(scope: Scope, received: Headers) -> None:
    """Offer an application to send trailers, and to read those that are in `received` once the body has arrived."""
    scope.setdefault("extensions", {}).update({TRAILERS: {}, _TRAILERS_OF_REQUESTS: received})


def may_have_trailers_among_headers(scope: Scope) -> bool:
    """Whether a header may be a trailer, as uvicorn's parser makes of those of bodies in chunks.

    Nothing in the request tells them apart, so it may also be a server of another kind, in the same process.
    """
    if _UVICORN not in sys.modules or _TRAILERS_OF_REQUESTS in scope.get("extensions", {}):
        return False
    return header(scope, b"transfer-encoding") is not None


def trailers_so_far(scope: Scope) -> Headers:
    """The trailers of a request, which are complete once its body has arrived; none if the server offers none."""
    received: Headers = scope.get("extensions", {}).get(_TRAILERS_OF_REQUESTS, ())
    return received
