"""`wasi:http/outgoing-handler`: from a request of a guest to a future, or a refusal."""

from __future__ import annotations

import threading
from importlib.util import find_spec
from typing import TYPE_CHECKING, cast

from wasi_http_bindings import outgoing_handler, types
from wasi_http_bindings.types import ErrorCode, ErrorCodeException, MethodConnect, SchemeHTTP, SchemeHTTPS
from wit_host import Err, Ok, ResultError, Signal

from ..polling import Pollable
from .hosting import Types
from .messages import IncomingResponse, OutgoingRequest, RequestOptions, content_length, method_name
from .policy import Destination, Origin, Outgoing
from .sending import Head, Sending, Times
from .surroundings import Surroundings

if TYPE_CHECKING:
    from .exchanging import Exchange

_SECOND = 1e9


class OutgoingHandler(outgoing_handler.Host):
    """The function for one guest, which may do what `policy` says; without it, nothing.

    Raises ImportError if there is a policy, and no h11.
    """

    def __init__(self, hosting: Types, policy: Outgoing | None) -> None:
        self._around = hosting.around
        self._policy = policy
        self._free = None if policy is None else threading.Semaphore(policy.connections)
        if policy is not None and find_spec("h11") is None:
            raise ImportError("requests of guests need the package h11; install it with: pip install h11")

    def handle(
        self, request: types.OutgoingRequest, options: types.RequestOptions | None
    ) -> types.FutureIncomingResponse:
        """Begin a request."""
        wanted, chosen = cast(OutgoingRequest, request), cast(RequestOptions | None, options)
        try:
            return self._begin(wanted, chosen)
        finally:
            wanted.drop()
            if chosen is not None:
                chosen.drop()

    def _begin(self, request: OutgoingRequest, options: RequestOptions | None) -> FutureIncomingResponse:
        policy, free = self._policy, self._free
        if policy is None or free is None:
            raise ErrorCodeException(types.ErrorCodeHTTPRequestDenied())
        sending = _sending(request, options, policy)
        if not free.acquire(blocking=False):
            raise ErrorCodeException(types.ErrorCodeConnectionLimitReached())
        from .exchanging import Exchange  # which needs h11

        try:
            future = FutureIncomingResponse(self._around)
        except BaseException:
            free.release()
            raise
        try:
            future.begin(Exchange(sending, future.arrive, free.release))
        except RuntimeError:  # the system gives no thread
            free.release()
            future.drop()
            raise ErrorCodeException(types.ErrorCodeConnectionLimitReached()) from None
        request.is_sent = True
        return future


class FutureIncomingResponse(types.FutureIncomingResponse):
    """The resource `future-incoming-response`."""

    def __init__(self, around: Surroundings) -> None:
        self._hold = around.hold()
        try:
            around.handles.add()
        except BaseException:
            self._hold.release()
            raise
        self.signal = Signal()
        self._around = around
        self._exchange: Exchange | None = None
        self._outcome: Head | ErrorCode | None = None
        self._is_taken = self._is_given = False

    def begin(self, exchange: Exchange) -> None:
        """Begin what it is the future of; raises RuntimeError if there is no thread for it."""
        exchange.start()
        self._exchange = exchange

    def arrive(self, outcome: Head | ErrorCode) -> None:
        """Take the response, or the reason why there is none, on any thread."""
        self._outcome = outcome
        self.signal.notify()

    def left(self) -> float | None:
        """Return 0 if it is there."""
        return None if self._outcome is None else 0

    def expect(self) -> None:
        """Do nothing: it arrives by itself."""

    def subscribe(self) -> Pollable:
        """Return what is ready when it is there."""
        return Pollable(self, self._around.handles)

    def get(self) -> Ok[Ok[types.IncomingResponse] | Err[ErrorCode]] | Err[None] | None:
        """Return the response, once."""
        outcome = self._outcome
        if outcome is None:
            return None
        if self._is_taken:
            return Err(None)
        if not isinstance(outcome, Head):
            self._is_taken = True
            return Ok(Err(outcome))
        response = IncomingResponse(outcome, self._hold, self._around)
        self._is_taken = self._is_given = True
        return Ok(Ok(response))

    def drop(self) -> None:
        """Give up a response that was not taken."""
        self._around.handles.remove()
        if self._is_given:  # the response has the body
            return
        self._hold.release()
        if self._exchange is not None:
            self._exchange.cancel()


def _sending(request: OutgoingRequest, options: RequestOptions | None, policy: Outgoing) -> Sending:
    """The request as it will be sent; raises ErrorCodeException if it may not."""
    method = request.method()
    if isinstance(method, MethodConnect):
        raise ErrorCodeException(types.ErrorCodeHTTPRequestMethodInvalid())
    try:
        length = content_length(request.entries)
    except ResultError:
        raise ErrorCodeException(types.ErrorCodeHTTPRequestBodySize(None)) from None
    if length and request.flow is None:
        raise ErrorCodeException(types.ErrorCodeHTTPRequestBodySize(0))
    path = request.path_with_query() or "/"
    return Sending(
        method=method_name(method),
        path=path if path.startswith("/") else f"/{path}",
        destination=_destination(request, policy),
        headers=request.entries,
        body=request.flow,
        times=_times(options, policy),
        policy=policy,
    )


def _destination(request: OutgoingRequest, policy: Outgoing) -> Destination:
    scheme = {SchemeHTTP(): "http", SchemeHTTPS(): "https", None: "https"}.get(request.scheme())
    authority = request.authority()
    if scheme is None or authority is None:
        raise ErrorCodeException(types.ErrorCodeHTTPRequestURIInvalid())
    try:
        origin = Origin.parse(f"{scheme}://{authority}")
    except ValueError:
        raise ErrorCodeException(types.ErrorCodeHTTPRequestURIInvalid()) from None
    destination = policy.destination(origin)
    if destination is None:
        raise ErrorCodeException(types.ErrorCodeHTTPRequestDenied())
    return destination


def _times(options: RequestOptions | None, policy: Outgoing) -> Times:
    if options is None:
        return Times(policy.connect_timeout, policy.first_byte_timeout, policy.between_bytes_timeout)
    return Times(
        _shorter(options.connect_timeout(), policy.connect_timeout),
        _shorter(options.first_byte_timeout(), policy.first_byte_timeout),
        _shorter(options.between_bytes_timeout(), policy.between_bytes_timeout),
    )


def _shorter(nanoseconds: int | None, most: float) -> float:
    return most if nanoseconds is None else min(nanoseconds / _SECOND, most)
