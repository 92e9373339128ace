"""Which component answers a request, by its path; and the answers of components, also those that fail."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from urllib.parse import quote, unquote

from wasi_host.http import Abandoned
from wasi_nn_torch.contract.frames import release_frames
from wasi_nn_torch.http.asgi import Disconnected, Receive, Response, Scope, Send, respond, sent_bytes
from wasi_nn_torch.http.components import Component
from wasi_nn_torch.http.encoding import refusal
from wasi_nn_torch.http.errors import HttpError, busy
from wasi_nn_torch.http.exchanges import Exchange
from wasi_nn_torch.http.extensions import why_not_there
from wasi_nn_torch.http.failures import as_http_error
from wasi_nn_torch.http.logs import request_id
from wasi_nn_torch.http.metrics import Metrics
from wasi_nn_torch.http.paths import is_reserved, within
from wasi_nn_torch.http.recording import CLIENT_GONE, record
from wasi_nn_torch.http.settings import Settings
from wasi_nn_torch.http.streaming import Sent, Streaming
from wasi_nn_torch.http.tracing import span

#: What is not encoded in a path, beside letters and digits.
_PLAIN = "/:@!$&'()*+,;=~-._"


class Mounts:
    """The components of a server, which are an ASGI application for the paths that none of its routes has."""

    def __init__(self, components: Iterable[Component], settings: Settings, metrics: Metrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self._streaming = Streaming(settings)
        #: The longest paths first, of which the first that fits answers.
        self._components = sorted(components, key=lambda component: len(component.path), reverse=True)
        self.is_ready = True

    @property
    def has_root(self) -> bool:
        """Whether a component answers the path `/`."""
        return any(component.path == "/" for component in self._components)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; one whose client has gone gets no answer."""
        exchange = Exchange.of(scope, receive)
        request_id.set(exchange.id)
        sent = Sent()
        with span(exchange, "/") as end:
            kind = await self._answered(exchange, send, sent)
            status = CLIENT_GONE if sent.status is None else sent.status
            end(status)
        if exchange.model is not None:
            self._metrics.received(exchange.model, sent.received)
        record(self._metrics, exchange, status, kind, sent.nbytes)

    async def _answered(self, exchange: Exchange, send: Send, sent: Sent) -> str | None:
        """Answer a request, and return the kind of failure, if it is one."""
        try:
            await self._answer(exchange, send, sent)
        except (Disconnected, Abandoned) as error:
            return "gone" if isinstance(error, Disconnected) else "truncated"
        except Exception as error:  # noqa: BLE001  # each becomes an answer, or ends one
            failure = as_http_error(error, exchange.model or "-", exchange.id)
            release_frames(error)
            if sent.status is None:
                await _refuse(failure, exchange, send, sent)
            return failure.kind
        return None

    async def _answer(self, exchange: Exchange, send: Send, sent: Sent) -> None:
        component, inner = self._find(_path(exchange.scope))
        exchange.model = component.name
        if not self.is_ready:
            raise busy("the server is stopping; try another one")
        tenant = exchange.tenant(self._settings)
        component.gate.require_room()
        query: bytes = exchange.scope.get("query_string", b"")
        whole = inner + ("?" + query.decode("latin-1") if query else "")
        answer = partial(component.answer, tenant)
        await self._streaming.answer(exchange, whole, send, component.name, answer, sent)

    def _find(self, path: str) -> tuple[Component, str]:
        """The component for a path, and the path that it sees; raises `HttpError` with status 404."""
        for component in self._components:
            inner = within(component.path, path)
            if inner is not None and not is_reserved(path):
                return component, inner
        text = why_not_there(path) or "there is no such path; see the Open Inference Protocol, version 2"
        raise HttpError(404, text, "unknown")


async def _refuse(failure: HttpError, exchange: Exchange, send: Send, sent: Sent) -> None:
    response = refusal(failure)
    headers = [*response.headers, (b"x-request-id", exchange.id.encode())]
    await respond(send, Response(response.status, headers, response.parts))
    sent.status = response.status
    sent.nbytes = sent_bytes(exchange.scope, response)


def _path(scope: Scope) -> str:
    """The path as the client spelled it, below the one that the application is mounted at."""
    raw: bytes = scope.get("raw_path") or quote(scope["path"], safe=_PLAIN).encode()
    path = raw.partition(b"?")[0].decode("latin-1")
    root: str = scope.get("root_path", "").rstrip("/")
    segments = path.split("/")
    above = root.count("/") + 1
    if not root or unquote("/".join(segments[:above])) != root:
        return path
    return "/" + "/".join(segments[above:])
