"""The functions of `wasi:http/types`, and the resources that a host gives to a guest which answers a request."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from wasi_bindings import error
from wasi_http_bindings import types
from wasi_http_bindings.types import ErrorCode
from wit_host import Err, Ok

from ..limits import Count, Limits
from ..streams import Error
from .bodies import FutureTrailers, IncomingBody, OutgoingBody
from .fields import Budget, Fields
from .flows import HttpFailure
from .messages import (
    IncomingRequest,
    OutgoingRequest,
    OutgoingResponse,
    Request,
    RequestOptions,
    Response,
    ResponseOutparam,
)
from .surroundings import Surroundings


class Types(types.Host):
    """The functions for one guest; the body of a request that it makes has `most` bytes at most."""

    def __init__(self, handles: Count, limits: Limits, most: int | None = None) -> None:
        self.around = Surroundings(handles, Count("bodies", limits.bodies), Budget(limits.fields), limits.read)
        self._most = most

    # --- for the host ---

    def request(
        self, request: Request, answer: Callable[[Response | ErrorCode], object]
    ) -> tuple[IncomingRequest, ResponseOutparam]:
        """Make the arguments of `handle`; `answer` is called on the thread of the guest, if it answers."""
        return IncomingRequest(request, self.around), ResponseOutparam(answer, self.around)

    # --- for the guest ---

    def http_error_code(self, err: error.Error) -> ErrorCode | None:
        """Return why a body ended."""
        failure = err.failure if isinstance(err, Error) else None
        return failure.code if isinstance(failure, HttpFailure) else None

    def new_fields(self) -> Fields:
        """Return fields without any."""
        return self.around.fields(())

    def fields_from_list(self, entries: list[tuple[str, memoryview]]) -> Fields:
        """Return fields."""
        return Fields.of_guest(self.around.handles, self.around.budget, entries)

    def new_outgoing_request(self, headers: types.Fields) -> OutgoingRequest:
        """Return a request."""
        return OutgoingRequest(cast(Fields, headers), self.around, self._most)

    def new_request_options(self) -> RequestOptions:
        """Return options without any."""
        return RequestOptions(self.around)

    def new_outgoing_response(self, headers: types.Fields) -> OutgoingResponse:
        """Return a response."""
        return OutgoingResponse(cast(Fields, headers), self.around)

    def response_outparam_set(
        self, param: types.ResponseOutparam, response: Ok[types.OutgoingResponse] | Err[ErrorCode]
    ) -> None:
        """Answer a request."""
        cast(ResponseOutparam, param).set(response)

    def incoming_body_finish(self, this: types.IncomingBody) -> FutureTrailers:
        """Return the trailers."""
        return cast(IncomingBody, this).finish()

    def outgoing_body_finish(self, this: types.OutgoingBody, trailers: types.Fields | None) -> None:
        """Complete a body."""
        cast(OutgoingBody, this).finish(trailers)
