"""The errors that clients get: a status, and one line of text without paths, tracebacks or names of tenants."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus

#: The most seconds that a client should wait before it tries again.
RETRY_SECONDS = 1


class HttpError(Exception):
    """An answer other than the wanted one: its `status`, its `text`, and the `kind` of failure for metrics."""

    def __init__(
        self, status: int, text: str, kind: str = "client", headers: Sequence[tuple[bytes, bytes]] = ()
    ) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.kind = kind
        self.headers = headers


def bad_request(text: str) -> HttpError:
    """A request that the protocol does not allow, or that does not fit the model."""
    return HttpError(HTTPStatus.BAD_REQUEST, text)


def busy(text: str) -> HttpError:
    """A request that would have to wait for too many others."""
    retry = (b"retry-after", str(RETRY_SECONDS).encode())
    return HttpError(HTTPStatus.SERVICE_UNAVAILABLE, text, "busy", [retry])


def too_large(text: str) -> HttpError:
    """A request whose body or tensors pass a limit."""
    return HttpError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, text, "too-large")


def late(text: str = "the request was not answered in time", headers: Sequence[tuple[bytes, bytes]] = ()) -> HttpError:
    """A request that was not answered in time."""
    return HttpError(HTTPStatus.GATEWAY_TIMEOUT, text, "timeout", headers)
