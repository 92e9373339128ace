"""One request over HTTP: who makes it, when it is due, and what is known of it for the log."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from http import HTTPStatus
from random import getrandbits

from wasi_nn_torch.contract.text import quote
from wasi_nn_torch.http.asgi import Receive, Scope, header, may_have_trailers_among_headers
from wasi_nn_torch.http.errors import HttpError, bad_request
from wasi_nn_torch.http.settings import Settings
from wasi_nn_torch.sessions.durations import parse_duration

_ID = re.compile(r"[\x21-\x7e]{1,128}", re.ASCII)
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?", re.ASCII)
_LONGEST_TENANT = 256
#: As much as is ever needed: 30 years.
_MOST_MICROSECONDS = 10**15


@dataclass
class Exchange:
    """A request and the way to read its body; `id` and `traceparent` are the client's, if it gave usable ones.

    `model` is the name of the model that has to answer, once it is known to exist.
    """

    scope: Scope
    receive: Receive
    id: str
    traceparent: str | None
    started: float = field(default_factory=time.monotonic)
    model: str | None = None

    @classmethod
    def of(cls, scope: Scope, receive: Receive) -> Exchange:
        """The exchange of a request that has arrived."""
        id = _text(scope, b"x-request-id")
        traceparent = _text(scope, b"traceparent")
        return cls(
            scope,
            receive,
            id if id is not None and _ID.fullmatch(id) else f"{getrandbits(128):032x}",
            traceparent if traceparent is not None and _TRACEPARENT.fullmatch(traceparent) else None,
        )

    @property
    def path_parameters(self) -> dict[str, str]:
        """The names in the path."""
        parameters: dict[str, str] = self.scope.get("path_params", {})
        return parameters

    def text(self, name: str) -> str | None:
        """The value of a header; None if there is none."""
        return _text(self.scope, name.encode())

    def tenant(self, settings: Settings) -> str | None:
        """Whose request it is; raises `HttpError` with status 400 for a name that cannot be used, or several.

        With status 411 for a name that may be a trailer, which a proxy that sets the header lets through.
        """
        if settings.tenant_header is None:
            return None
        name = settings.tenant_header.lower().encode("latin-1")
        given = [value for each, value in self.scope["headers"] if each == name]
        if not given:
            return None
        if len(given) > 1:
            raise bad_request(f"the header {settings.tenant_header} is there {len(given)} times; give it once")
        if may_have_trailers_among_headers(self.scope):
            text = f"a request in chunks cannot have the header {settings.tenant_header} here; send a Content-Length"
            raise HttpError(HTTPStatus.LENGTH_REQUIRED, text)
        return _tenant(given[0], settings.tenant_header)

    def due(self, settings: Settings) -> float | None:
        """When the request has to be answered, in `time.monotonic`; raises `HttpError` with status 400."""
        return self._due(_seconds(_text(self.scope, b"x-request-timeout")), settings.timeout)

    def due_with(self, due: float | None, microseconds: object) -> float | None:
        """The same for the parameter `timeout` of a request, in microseconds; 0 means none."""
        if microseconds is None or microseconds == 0:
            return due
        if isinstance(microseconds, bool) or not isinstance(microseconds, int) or microseconds < 0:
            raise bad_request("the parameter `timeout` must be a number of microseconds")
        wanted = self.started + min(microseconds, _MOST_MICROSECONDS) / 1e6
        return wanted if due is None else min(due, wanted)

    def _due(self, seconds: float | None, most: float | None) -> float | None:
        given = [each for each in (seconds, most) if each is not None]
        return self.started + min(given) if given else None


def _tenant(value: bytes, name: str) -> str:
    if not 0 < len(value) <= _LONGEST_TENANT:
        raise bad_request(f"the header {name} has {len(value)} bytes; give 1 to {_LONGEST_TENANT}")
    try:
        return value.decode()
    except UnicodeDecodeError:  # to replace what is wrong could make two tenants one
        reason = f"the header {name} is not UTF-8"
    raise bad_request(reason)


def _seconds(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        return parse_duration(text)
    except ValueError:
        reason = f"the header X-Request-Timeout is {quote(text)}; give seconds, or a number with a unit, such as 500ms"
    raise bad_request(reason)


def _text(scope: Scope, name: bytes) -> str | None:
    value = header(scope, name)
    return None if value is None else value.decode("latin-1")
