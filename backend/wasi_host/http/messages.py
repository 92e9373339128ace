"""The requests and responses of `wasi:http/types`, in both directions."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from wasi_http_bindings import types
from wasi_http_bindings.types import (
    ErrorCode,
    ErrorCodeHTTPRequestBodySize,
    ErrorCodeHTTPResponseBodySize,
    Method,
    MethodGet,
    MethodOther,
    Scheme,
    SchemeHTTP,
    SchemeHTTPS,
    SchemeOther,
)
from wit_host import Err, Ok, ResultError

from .bodies import IncomingBody, OutgoingBody, WrongSize
from .fields import Entry, Fields, is_token
from .flows import Inflow, Outflow
from .sending import Head
from .surroundings import Hold, Surroundings

#: The final statuses that a component may give; others would confuse whoever reads the response.
STATUSES = range(200, 600)
#: A path and a query of printable ASCII, as a request line has them.
_PATH = re.compile(r"[/?][!\"$-~]*", re.ASCII)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+\-.]*", re.ASCII)
#: A name or an address, maybe a port; no user, and nothing that is spelled with a percent sign.
_AUTHORITY = re.compile(r"([A-Za-z0-9._\-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?", re.ASCII)
_LONGEST = 1 << 14
_DIGITS = re.compile(rb"[0-9]{1,18}")
_LENGTH = "content-length"

METHODS: dict[str, Method] = {
    each.__name__.removeprefix("Method").upper(): each()
    for each in (
        types.MethodGet,
        types.MethodHead,
        types.MethodPost,
        types.MethodPut,
        types.MethodDelete,
        types.MethodConnect,
        types.MethodOptions,
        types.MethodTrace,
        types.MethodPatch,
    )
}
_NAMES = {method: name for name, method in METHODS.items()}


def method_name(method: Method) -> str:
    """The method as HTTP spells it."""
    return method.value if isinstance(method, MethodOther) else _NAMES[method]


def scheme_of(name: str) -> Scheme:
    """The scheme of a name in lower case."""
    if name == "http":
        return SchemeHTTP()
    return SchemeHTTPS() if name == "https" else SchemeOther(name)


@dataclass(frozen=True)
class Request:
    """A request that a guest shall answer: as it arrived, with its body."""

    method: str
    path: str
    scheme: str
    authority: str | None
    headers: Sequence[Entry]
    body: Inflow


@dataclass(frozen=True)
class Response:
    """A response that a guest gives; without a `body`, that is empty."""

    status: int
    headers: Sequence[Entry]
    body: Outflow | None


class _Incoming:
    """What incoming requests and responses share: the headers, and the body, which counts until it is dropped."""

    def __init__(self, headers: Sequence[Entry], body: Inflow, hold: Hold, around: Surroundings) -> None:
        around.handles.add()
        self._headers = headers
        self._body = body
        self._hold = hold
        self._around = around
        self._is_consumed = False

    def headers(self) -> Fields:
        """Return the headers."""
        return self._around.fields(self._headers, is_mutable=False)

    def consume(self) -> IncomingBody:
        """Return the body, once."""
        if self._is_consumed:
            raise ResultError(None)
        body = IncomingBody(self._body, self._hold, self._around)
        self._is_consumed = True
        return body

    def drop(self) -> None:
        """Read no body that was not taken."""
        self._around.handles.remove()
        if not self._is_consumed:
            self._body.close()
            self._hold.release()


class IncomingRequest(_Incoming, types.IncomingRequest):
    """The resource `incoming-request`."""

    def __init__(self, request: Request, around: Surroundings) -> None:
        super().__init__(request.headers, request.body, around.hold(), around)
        self._request = request

    def method(self) -> Method:
        """Return the method."""
        return METHODS.get(self._request.method) or MethodOther(self._request.method)

    def path_with_query(self) -> str | None:
        """Return the path and the query."""
        return self._request.path

    def scheme(self) -> Scheme | None:
        """Return the scheme."""
        return scheme_of(self._request.scheme)

    def authority(self) -> str | None:
        """Return the host that the client asked for."""
        return self._request.authority


class IncomingResponse(_Incoming, types.IncomingResponse):
    """The resource `incoming-response`."""

    def __init__(self, head: Head, hold: Hold, around: Surroundings) -> None:
        super().__init__(head.headers, head.body, hold, around)
        self._status = head.status

    def status(self) -> int:
        """Return the status."""
        return self._status


class _Outgoing:
    """What outgoing requests and responses share: the headers, which stay as they are, and the body.

    The body has `length` bytes if its headers say so, and `most` at most.
    """

    def __init__(self, headers: Fields, around: Surroundings, wrong_size: WrongSize, most: int | None = None) -> None:
        around.handles.add()
        self._headers = headers
        self._around = around
        self._wrong_size = wrong_size
        self._most = most
        self._hold: Hold | None = None
        #: The bytes of the body, if the guest took that.
        self.flow: Outflow | None = None
        #: Whether somebody reads the body after this is dropped.
        self.is_sent = False

    def headers(self) -> Fields:
        """Return the headers."""
        return self._headers.frozen()

    def body(self) -> OutgoingBody:
        """Return the body, once."""
        if self.flow is not None:
            raise ResultError(None)
        length = content_length(self.entries)
        hold = self._around.hold()
        try:
            body = OutgoingBody(self._around, length, self._wrong_size, self._most)
        except BaseException:
            hold.release()
            raise
        self._hold, self.flow = hold, body.flow
        return body

    @property
    def entries(self) -> tuple[Entry, ...]:
        """The names and values of the headers."""
        return self._headers.all

    def drop(self) -> None:
        """Drop the headers; the body lives on if it is sent, and otherwise nobody takes its bytes."""
        self._around.handles.remove()
        self._headers.drop()
        if self._hold is not None:
            self._hold.release()
        if self.flow is not None and not self.is_sent:
            self.flow.refuse()


class OutgoingRequest(_Outgoing, types.OutgoingRequest):
    """The resource `outgoing-request`, whose body has `most` bytes at most."""

    def __init__(self, headers: Fields, around: Surroundings, most: int | None) -> None:
        super().__init__(headers, around, ErrorCodeHTTPRequestBodySize, most)
        self._method: Method = MethodGet()
        self._path: str | None = None
        self._scheme: Scheme | None = None
        self._authority: str | None = None
        self._size = 0

    def method(self) -> Method:
        """Return the method."""
        return self._method

    def set_method(self, method: Method) -> None:
        """Change the method."""
        if isinstance(method, MethodOther):
            _require(len(method.value) <= _LONGEST and is_token(method.value))
            method = METHODS.get(method.value, method)
        self._count(_text(self._method), _text(method))
        self._method = method

    def path_with_query(self) -> str | None:
        """Return the path and the query."""
        return self._path

    def set_path_with_query(self, path_with_query: str | None) -> None:
        """Change the path and the query."""
        _require(not path_with_query or _matches(_PATH, path_with_query))
        self._count(self._path, path_with_query)
        self._path = path_with_query

    def scheme(self) -> Scheme | None:
        """Return the scheme."""
        return self._scheme

    def set_scheme(self, scheme: Scheme | None) -> None:
        """Change the scheme."""
        if isinstance(scheme, SchemeOther):
            _require(_matches(_SCHEME, scheme.value))
            scheme = scheme_of(scheme.value.lower())
        self._count(_text(self._scheme), _text(scheme))
        self._scheme = scheme

    def authority(self) -> str | None:
        """Return the host and the port."""
        return self._authority

    def set_authority(self, authority: str | None) -> None:
        """Change the host and the port."""
        _require(authority is None or _matches(_AUTHORITY, authority))
        self._count(self._authority, authority)
        self._authority = authority

    def drop(self) -> None:
        """Drop its texts too."""
        self._around.budget.remove(self._size)
        super().drop()

    def _count(self, old: str | None, new: str | None) -> None:
        """Count the text that takes the place of another one; raises GuestLimit if they are too long."""
        more = len(new or "") - len(old or "")
        self._around.budget.add(more)
        self._size += more


class RequestOptions(types.RequestOptions):
    """The resource `request-options`; times are in nanoseconds."""

    def __init__(self, around: Surroundings) -> None:
        around.handles.add()
        self._around = around
        self._connect: int | None = None
        self._first_byte: int | None = None
        self._between_bytes: int | None = None

    def connect_timeout(self) -> int | None:
        """Return the time for a connection."""
        return self._connect

    def set_connect_timeout(self, duration: int | None) -> None:
        """Change the time for a connection."""
        self._connect = duration

    def first_byte_timeout(self) -> int | None:
        """Return the time to the response."""
        return self._first_byte

    def set_first_byte_timeout(self, duration: int | None) -> None:
        """Change the time to the response."""
        self._first_byte = duration

    def between_bytes_timeout(self) -> int | None:
        """Return the time between two pieces of the body."""
        return self._between_bytes

    def set_between_bytes_timeout(self, duration: int | None) -> None:
        """Change the time between two pieces of the body."""
        self._between_bytes = duration

    def drop(self) -> None:
        """Count one handle less."""
        self._around.handles.remove()


class OutgoingResponse(_Outgoing, types.OutgoingResponse):
    """The resource `outgoing-response`."""

    def __init__(self, headers: Fields, around: Surroundings) -> None:
        super().__init__(headers, around, ErrorCodeHTTPResponseBodySize)
        self._status = 200

    def status_code(self) -> int:
        """Return the status."""
        return self._status

    def set_status_code(self, status_code: int) -> None:
        """Change the status."""
        _require(status_code in STATUSES)
        self._status = status_code

    @property
    def whole(self) -> Response:
        """The response with its headers and its body."""
        return Response(self._status, self.entries, self.flow)


class ResponseOutparam(types.ResponseOutparam):
    """The resource `response-outparam`; `answer` is called once, on the thread of the guest."""

    def __init__(self, answer: Callable[[Response | ErrorCode], object], around: Surroundings) -> None:
        around.handles.add()
        self._answer = answer
        self._around = around

    def set(self, response: Ok[types.OutgoingResponse] | Err[ErrorCode]) -> None:
        """Give the response, or the reason why there is none."""
        self.drop()
        if isinstance(response, Err):
            self._answer(response.value)
        elif isinstance(response.value, OutgoingResponse):
            whole = response.value.whole
            response.value.is_sent = True
            response.value.drop()
            self._answer(whole)

    def drop(self) -> None:
        """Count one handle less."""
        self._around.handles.remove()


def content_length(headers: Sequence[Entry]) -> int | None:
    """The length in the headers; raises ResultError if it is none, or there are several."""
    given = [value for name, value in headers if name == _LENGTH]
    if not given:
        return None
    _require(len(given) == 1 and _DIGITS.fullmatch(given[0]) is not None)
    return int(given[0])


def _text(value: Method | Scheme | None) -> str | None:
    """The text of a method or a scheme that has one of its own."""
    return value.value if isinstance(value, MethodOther | SchemeOther) else None


def _matches(pattern: re.Pattern[str], text: str) -> bool:
    return len(text) <= _LONGEST and pattern.fullmatch(text) is not None


def _require(is_valid: bool) -> None:
    if not is_valid:
        raise ResultError(None)
