"""The ASGI application: the routes of the Open Inference Protocol, to the models of an engine."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial

from starlette.routing import Route, Router

from wasi_nn_torch.contract.errors import NnError
from wasi_nn_torch.contract.frames import release_frames
from wasi_nn_torch.contract.text import printable, quote
from wasi_nn_torch.engine import Engine
from wasi_nn_torch.http.admission import Gate
from wasi_nn_torch.http.asgi import Disconnected, Receive, Response, Scope, Send, respond
from wasi_nn_torch.http.endpoints import Endpoints, refusal, require_method, unknown
from wasi_nn_torch.http.exchanges import Exchange
from wasi_nn_torch.http.failures import as_http_error
from wasi_nn_torch.http.graphs import GraphModel
from wasi_nn_torch.http.logs import log_answer, request_id
from wasi_nn_torch.http.metrics import Metrics
from wasi_nn_torch.http.models import Model
from wasi_nn_torch.http.pipelines import PipelineModel
from wasi_nn_torch.http.settings import GraphSettings, PipelineSettings, Settings
from wasi_nn_torch.http.tracing import span

Handle = Callable[[Exchange], Awaitable[Response]]

#: The status in metrics and logs for a client that has gone before it was answered.
CLIENT_GONE = 499
_LONGEST_PATH = 200

_MODEL = "/v2/models/{model}"
_VERSION = _MODEL + "/versions/{version}"


class Application:
    """An ASGI application. Made by `create_app`; `close` ends its pipelines, and leaves the engine open."""

    def __init__(self, models: Mapping[str, Model], settings: Settings, metrics: Metrics) -> None:
        self.models = models
        self.endpoints = Endpoints(models, settings, metrics)
        self._router = Router(
            list(_routes(self.endpoints, metrics)), redirect_slashes=False, default=Endpoint((), unknown, metrics)
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        await self._router(scope, receive, send)

    def stop(self) -> None:
        """Take no more requests; those that run are answered."""
        self.endpoints.is_ready = False

    def close(self) -> None:
        """End the instances of all pipelines, each as soon as it has answered."""
        self.stop()
        for model in self.models.values():
            model.close()


class Endpoint:
    """One route, which is an ASGI application: answers with what `handle` returns or raises."""

    def __init__(self, methods: Iterable[str], handle: Handle, metrics: Metrics) -> None:
        self._methods = tuple(methods)
        self._handle = handle
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; one whose client has gone gets no answer."""
        exchange = Exchange.of(scope, receive)
        request_id.set(exchange.id)
        with span(exchange) as end:
            try:
                response, kind = await self._response(exchange)
            except Disconnected:
                end(CLIENT_GONE)
                self._record(exchange, CLIENT_GONE, "gone", 0)
                return
            end(response.status)
        headers = [*response.headers, (b"x-request-id", exchange.id.encode())]
        await respond(send, Response(response.status, headers, response.parts))
        self._record(exchange, response.status, kind, sum(map(len, response.parts)))

    async def _response(self, exchange: Exchange) -> tuple[Response, str | None]:
        """The answer, and the kind of failure if it is not the wanted one."""
        try:
            if self._methods:
                require_method(exchange, *self._methods)
            return await self._handle(exchange), None
        except Disconnected:
            raise
        except Exception as error:  # noqa: BLE001  # each becomes an answer
            return _refused(error, exchange)

    def _record(self, exchange: Exchange, status: int, kind: str | None, sent: int) -> None:
        seconds = time.monotonic() - exchange.started
        self._metrics.answered(exchange.model, status, kind, seconds, sent)
        log_answer(
            request_id=exchange.id,
            method=exchange.scope["method"],
            path=printable(exchange.scope["path"], _LONGEST_PATH),
            model=exchange.model,
            status=status,
            failure=kind,
            seconds=round(seconds, 6),
            sent=sent,
            traceparent=exchange.traceparent,
        )


def _refused(error: Exception, exchange: Exchange) -> tuple[Response, str]:
    """The answer for an exception, and the kind of failure; what the frames of the exception hold is released."""
    failure = as_http_error(error, exchange.model or "-", exchange.id)
    release_frames(error)
    return refusal(failure), failure.kind


def create_app(
    engine: Engine,
    *,
    graphs: Mapping[str, GraphSettings] | Iterable[str] | None = None,
    pipelines: Mapping[str, PipelineSettings | str] | None = None,
    settings: Settings | None = None,
) -> Application:
    """An ASGI application that serves graphs and pipelines by the Open Inference Protocol, version 2.

    `graphs` are names of registered graphs, by default all of them, or their settings by name. `pipelines` are the
    files of components by name, or their settings. Serve the application with any ASGI server, or mount it in another
    one. It does not close `engine`; `Application.close` ends its pipelines.

    Raises ValueError for a graph that is not registered and for a name that is used twice, InvalidGuest for a pipeline
    that cannot be compiled, and GuestError for one that cannot be started.
    """
    settings = settings or Settings()
    models: dict[str, Model] = {}
    metrics = Metrics(engine, models)
    try:
        for name, chosen in _graphs(engine, graphs).items():
            models[name] = _graph(engine, name, chosen, metrics)
        for name, given in (pipelines or {}).items():
            if name in models:
                raise ValueError(f"{quote(name)} is the name of both a graph and a pipeline; choose another name")
            chosen_pipeline = given if isinstance(given, PipelineSettings) else PipelineSettings(given)
            gate = Gate(name, chosen_pipeline.concurrency, chosen_pipeline.max_waiting, metrics.waits_of(name))
            models[name] = PipelineModel(engine, name, chosen_pipeline, gate)
    except BaseException:
        for model in models.values():
            model.close()
        raise
    return Application(models, settings, metrics)


def _graphs(engine: Engine, graphs: Mapping[str, GraphSettings] | Iterable[str] | None) -> Mapping[str, GraphSettings]:
    if isinstance(graphs, Mapping):
        return graphs
    return {name: GraphSettings() for name in (engine.names if graphs is None else graphs)}


def _graph(engine: Engine, name: str, settings: GraphSettings, metrics: Metrics) -> GraphModel:
    gate = Gate(name, settings.concurrency, settings.max_waiting, metrics.waits_of(name))
    try:
        return GraphModel(engine, name, settings, gate)
    except NnError as error:
        raise ValueError(error.text) from None


def _routes(endpoints: Endpoints, metrics: Metrics) -> Iterable[Route]:
    get = partial(Endpoint, ("GET", "HEAD"), metrics=metrics)
    for model in (_MODEL, _VERSION):  # first, since most requests are of this kind
        yield Route(model + "/infer", Endpoint(("POST",), endpoints.infer, metrics))
    yield Route("/", get(endpoints.page))
    yield Route("/metrics", get(endpoints.figures))
    yield Route("/v2/health/live", get(endpoints.live))
    yield Route("/v2/health/ready", get(endpoints.ready))
    yield Route("/v2", get(endpoints.server))
    yield Route("/v2/", get(endpoints.server))
    for model in (_MODEL, _VERSION):
        yield Route(model + "/ready", get(endpoints.model_ready))
        yield Route(model, get(endpoints.model))
