"""Trailers: the fields that follow the body of a message, in both directions.

ASGI has an extension for those of answers, which few servers offer. It has none for those of requests: the server of
this package offers them with an extension of its own.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from wasi_host.http import trailer_fields
from wasi_nn_torch.contract.text import quote
from wasi_nn_torch.http.asgi import TRAILERS, Scope, Send, trailers_so_far

logger = logging.getLogger(__name__)

Entries = Sequence[tuple[str, bytes]]

#: The most bytes of the trailers of an answer; many clients take no more.
_MOST = 1 << 14


def received_trailers(scope: Scope) -> Entries:
    """The trailers of a request whose body has arrived, without those that cannot be any."""
    return trailer_fields((name.decode("latin-1"), value) for name, value in trailers_so_far(scope))


def why_not_taken(scope: Scope, headers: Entries) -> str | None:
    """Why an answer with these headers can have no trailers; None if it can."""
    if TRAILERS not in scope.get("extensions", {}):
        return "the server cannot send any"
    if any(name == "trailer" for name, _ in headers) or _asks_for_them(scope):
        return None
    return "the client did not ask for them with `TE: trailers`, and the answer did not say `Trailer`"


def _asks_for_them(scope: Scope) -> bool:
    codings = (each for name, value in scope["headers"] if name == b"te" for each in value.split(b","))
    return any(each.partition(b";")[0].strip().lower() == b"trailers" for each in codings)


async def send_trailers(send: Send, entries: Entries, name: str) -> None:
    """End an answer of the component `name` whose start has announced trailers; what cannot be sent is left out."""
    allowed = trailer_fields(entries)
    for left_out in {key for key, _ in entries} - {key for key, _ in allowed}:
        logger.debug("%s cannot be a trailer, and is left out of an answer of the component %s", quote(left_out), name)
    if sum(len(key) + len(value) for key, value in allowed) > _MOST:
        log_left_out(name, "they are too long")
        allowed = ()
    await send({"type": TRAILERS, "headers": [(key.encode(), value) for key, value in allowed], "more_trailers": False})


def log_left_out(name: str, why: str) -> None:
    """Log that the trailers of an answer are not sent."""
    logger.debug("the trailers of the component %s are not sent: %s", name, why)
