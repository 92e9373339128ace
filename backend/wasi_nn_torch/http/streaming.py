"""One request that a component answers: its body as it arrives, and the answer as the component writes it.

In: an exchange, and a function that has a component answer a request. Out: what was sent. Nothing is held but what is
on its way: a client that sends or reads slowly is waited for, and so is a component that does.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Any

from wasi_host.http import FORBIDDEN, Abandoned, Inflow, Outflow, Request, Response, content_length
from wasi_http_bindings import types
from wasi_nn_torch.contract.sizes import spell_size
from wasi_nn_torch.contract.text import one_line, quote
from wasi_nn_torch.http.asgi import Disconnected, Receive, Scope, Send, header
from wasi_nn_torch.http.bodies import whole_number
from wasi_nn_torch.http.components import Give
from wasi_nn_torch.http.errors import HttpError, late, too_large
from wasi_nn_torch.http.exchanges import Exchange
from wasi_nn_torch.http.settings import Settings
from wasi_nn_torch.http.trailers import log_left_out, received_trailers, send_trailers, why_not_taken
from wit_host import ResultError

logger = logging.getLogger(__name__)

#: Has a component answer a request.
Answer = Callable[[Request, Give], Coroutine[Any, Any, None]]

_WITHOUT_BODY = (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)
#: The reasons of a component that are the time of somebody else.
_LATE = (
    types.ErrorCodeDNSTimeout,
    types.ErrorCodeConnectionTimeout,
    types.ErrorCodeConnectionReadTimeout,
    types.ErrorCodeConnectionWriteTimeout,
    types.ErrorCodeHTTPResponseTimeout,
)


@dataclass
class Sent:
    """How far an answer has got: its status once it began, and the bytes of its body that were sent.

    `received` is the number of bytes of the request's body so far.
    """

    status: int | None = None
    nbytes: int = 0
    received: int = 0
    is_complete: bool = False


class Streaming:
    """Answers requests by components; some of those go on for a while after their clients were answered."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._left_behind: set[asyncio.Task[None]] = set()

    async def answer(self, exchange: Exchange, path: str, send: Send, name: str, answer: Answer, sent: Sent) -> None:
        """Answer one request, whose component is called `name` and sees `path`; `sent` says how far that has got.

        Raises `HttpError`, Disconnected, Abandoned if the component does not complete its answer, and the errors of
        guests. The component is stopped then; after its answer it may do more.
        """
        due = exchange.due(self._settings)
        _require_short(exchange.scope, self._settings.max_body)
        inflow = Inflow()
        head: asyncio.Future[Response | types.ErrorCode] = asyncio.get_running_loop().create_future()
        request = _request(exchange.scope, path, inflow)
        feeding = asyncio.ensure_future(_feed(exchange, inflow, self._settings, sent))
        feeding.add_done_callback(_retrieve)
        working = asyncio.ensure_future(answer(request, _giver(head)))
        try:
            async with asyncio.timeout(None if due is None else max(0.0, due - time.monotonic())):
                given = await _first(head, working, feeding, name)
                response = _require_response(given, name, exchange.scope["method"])
                await _or(_sent(response, name, exchange, send, sent), feeding, working)
        except TimeoutError:
            raise late() from None
        finally:
            feeding.cancel()
            inflow.fail(types.ErrorCodeConnectionTerminated())  # a component that reads on must not wait
            self._leave(working, stop=not sent.is_complete)

    def _leave(self, task: asyncio.Task[None], stop: bool) -> None:
        if stop:
            task.cancel()
        self._left_behind.add(task)
        task.add_done_callback(partial(self._forget, was_stopped=stop))

    def _forget(self, task: asyncio.Task[None], was_stopped: bool) -> None:
        self._left_behind.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not was_stopped:
            logger.warning("a component failed after its answer: %s", one_line(error))


def _giver(head: asyncio.Future[Response | types.ErrorCode]) -> Give:
    loop = asyncio.get_running_loop()

    def take(given: Response | types.ErrorCode) -> None:
        if not head.done():
            head.set_result(given)

    return lambda given: loop.call_soon_threadsafe(take, given)


async def _first(
    head: asyncio.Future[Response | types.ErrorCode],
    working: asyncio.Task[None],
    feeding: asyncio.Task[None],
    name: str,
) -> Response | types.ErrorCode:
    """What the component answers; raises what ends the request before."""
    awaited: set[asyncio.Future[Any]] = {head, working, feeding}
    await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)
    if head.done():
        return head.result()
    if feeding.done() and not working.done():
        feeding.result()
    working.result()
    logger.warning("the component %s returned without an answer", name)
    raise HttpError(HTTPStatus.INTERNAL_SERVER_ERROR, f"{quote(name)} gave no answer", "no-answer")


def _require_response(given: Response | types.ErrorCode, name: str, method: str) -> Response:
    """The response; raises `HttpError` if there is none, or none that can be sent."""
    if not isinstance(given, Response):
        logger.warning("the component %s could not answer: %s", name, one_line(given))
        status = HTTPStatus.GATEWAY_TIMEOUT if isinstance(given, _LATE) else HTTPStatus.BAD_GATEWAY
        raise HttpError(status, f"{quote(name)} could not answer", "error-code")
    if not _has_valid_length(given, method):
        logger.warning("the component %s answered with a wrong content-length", name)
        raise HttpError(HTTPStatus.BAD_GATEWAY, f"{quote(name)} gave an answer that is not valid", "misfit")
    return given


def _has_valid_length(response: Response, method: str) -> bool:
    try:
        length = content_length(response.headers)
    except ResultError:
        return False
    return not length or response.body is not None or method == "HEAD" or response.status in _WITHOUT_BODY


async def _or(work: Coroutine[Any, Any, None], feeding: asyncio.Task[None], working: asyncio.Task[None]) -> None:
    """Do `work`; raises what ends the request before, and the reason if the component abandons its answer."""
    task = asyncio.ensure_future(work)
    task.add_done_callback(_retrieve)
    try:
        await asyncio.wait({task, feeding}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            feeding.result()
        try:
            task.result()
        except Abandoned:
            await asyncio.wait({working, feeding}, return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                working.result()
            raise
    finally:
        task.cancel()


async def _sent(response: Response, name: str, exchange: Exchange, send: Send, sent: Sent) -> None:
    """Send a response of the component `name`, whose body is sent as it is written."""
    has_body = response.status not in _WITHOUT_BODY
    headers = [*_headers(response, has_body), (b"x-request-id", exchange.id.encode())]
    sent.status = response.status
    start = {"type": "http.response.start", "status": response.status, "headers": headers}
    flow = response.body
    if flow is not None and has_body and exchange.scope["method"] != "HEAD":
        why_not = why_not_taken(exchange.scope, response.headers)
        await send(start if why_not else {**start, "trailers": True})
        await _stream(response, flow, send, sent)
        if why_not is None:
            await send_trailers(send, flow.trailers, name)
        elif flow.trailers:
            log_left_out(name, why_not)
    else:
        await send(start)
        await _end(send, b"", sent)
    if flow is not None:
        flow.discard()


async def _stream(response: Response, flow: Outflow, send: Send, sent: Sent) -> None:
    """Send the body as it is written; one of a known length is complete with its last byte."""
    length = content_length(response.headers)
    while True:
        try:
            content = await flow.get()
        except Abandoned:
            # So end the answers of JavaScript to exceptions; there is nothing that a client could take for complete.
            if response.status < HTTPStatus.INTERNAL_SERVER_ERROR or sent.nbytes or length is not None:
                raise
            content = b""
        sent.nbytes += len(content)
        if not content or sent.nbytes == length:
            await _end(send, content, sent)
            return
        await send({"type": "http.response.body", "body": content, "more_body": True})


async def _end(send: Send, content: bytes, sent: Sent) -> None:
    sent.is_complete = True
    await send({"type": "http.response.body", "body": content, "more_body": False})


def _headers(response: Response, has_body: bool) -> Iterable[tuple[bytes, bytes]]:
    for name, value in response.headers:
        if name != "x-request-id" and (has_body or name != "content-length"):
            yield name.encode(), value
    if response.body is None and has_body and not any(name == "content-length" for name, _ in response.headers):
        yield b"content-length", b"0"


async def _feed(exchange: Exchange, flow: Inflow, settings: Settings, sent: Sent) -> None:
    """Give the component the body as it arrives; raises Disconnected when the client goes, and `HttpError`."""
    is_wanted = True
    more = True
    while True:
        message = await _received(exchange.receive, settings.body_timeout if more else None, flow)
        if message["type"] == "http.disconnect":
            flow.fail(types.ErrorCodeConnectionTerminated())
            raise Disconnected
        content: bytes = message.get("body", b"")
        sent.received += len(content)
        if sent.received > settings.max_body:
            flow.fail(types.ErrorCodeHTTPRequestBodySize(settings.max_body))
            raise _too_large(settings.max_body)
        if is_wanted:
            try:
                await flow.put(content)
            except Abandoned:
                is_wanted = False
        more = message.get("more_body", False)
        if not more:
            flow.finish(tuple(received_trailers(exchange.scope)) or None)


async def _received(receive: Receive, seconds: float | None, flow: Inflow) -> Any:  # noqa: ANN401  # a message of ASGI
    try:
        async with asyncio.timeout(seconds):
            return await receive()
    except TimeoutError:
        flow.fail(types.ErrorCodeConnectionReadTimeout())
        text = f"nothing of the body of the request arrived for {seconds:g} s"
        raise HttpError(HTTPStatus.REQUEST_TIMEOUT, text, "slow", [(b"connection", b"close")]) from None


def _require_short(scope: Scope, most: int) -> None:
    text = header(scope, b"content-length")
    if text is not None and whole_number(text, "Content-Length") > most:
        raise _too_large(most)


def _too_large(most: int) -> HttpError:
    return too_large(f"the body of the request is too large (limit {spell_size(most)})")


def _request(scope: Scope, path: str, body: Inflow) -> Request:
    """The request as a component sees it, without what belongs to the connection."""
    headers = [(name.decode("latin-1"), value) for name, value in scope["headers"]]
    authority = header(scope, b"host")
    return Request(
        method=scope["method"],
        path=path,
        scheme=scope.get("scheme", "http"),
        authority=None if authority is None else authority.decode("latin-1"),
        headers=[entry for entry in headers if entry[0] not in FORBIDDEN],
        body=body,
    )


def _retrieve(task: asyncio.Task[None]) -> None:
    """Take notice of an exception that nobody needs any more."""
    if not task.cancelled():
        task.exception()
