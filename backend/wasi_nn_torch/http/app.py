"""The ASGI application: the routes of the Open Inference Protocol, to the models of an engine."""

from __future__ import annotations

import re
from collections import ChainMap
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from functools import partial
from typing import cast

from starlette.routing import Route, Router
from starlette.websockets import WebSocketClose

from wasi_nn_torch.contract.errors import NnError
from wasi_nn_torch.contract.frames import release_frames
from wasi_nn_torch.contract.text import quote
from wasi_nn_torch.engine import Engine
from wasi_nn_torch.http.admission import Gate
from wasi_nn_torch.http.asgi import Disconnected, Receive, Response, Scope, Send, respond, sent_bytes
from wasi_nn_torch.http.components import Component
from wasi_nn_torch.http.encoding import refusal
from wasi_nn_torch.http.endpoints import Endpoints, require_method
from wasi_nn_torch.http.exchanges import Exchange
from wasi_nn_torch.http.failures import as_http_error
from wasi_nn_torch.http.graphs import GraphModel
from wasi_nn_torch.http.logs import request_id
from wasi_nn_torch.http.metrics import Metrics, Observer
from wasi_nn_torch.http.models import Model
from wasi_nn_torch.http.mounting import Mounts
from wasi_nn_torch.http.paths import require_distinct
from wasi_nn_torch.http.pipelines import PipelineModel
from wasi_nn_torch.http.recording import CLIENT_GONE, record
from wasi_nn_torch.http.served import Served
from wasi_nn_torch.http.settings import ComponentSettings, GraphSettings, PipelineSettings, Settings
from wasi_nn_torch.http.tracing import span

Handle = Callable[[Exchange], Awaitable[Response]]

_MODEL = "/v2/models/{model}"
_VERSION = _MODEL + "/versions/{version}"
_INFER = re.compile("/v2/models/(?P<model>[^/]+)/infer")


class Application:
    """An ASGI application. Made by `create_app`; `close` ends its instances, and leaves the engine open."""

    def __init__(
        self,
        models: Mapping[str, Model],
        components: Mapping[str, Component],
        settings: Settings,
        metrics: Metrics,
    ) -> None:
        self.models = models
        self.components = components
        self.metrics = metrics
        self.endpoints = Endpoints(models, settings, metrics)
        self._mounts = Mounts(components.values(), settings, metrics)
        self._infer = Endpoint(("POST",), self.endpoints.infer, metrics)
        routes = _routes(self.endpoints, self._infer, metrics, has_page=not self._mounts.has_root)
        self._router = Router(list(routes), redirect_slashes=False, default=self._mounts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; one for a WebSocket is refused."""
        if scope["type"] == "websocket":
            await WebSocketClose()(scope, receive, send)
            return
        found = None if scope.get("root_path") else _INFER.fullmatch(scope.get("path", ""))
        if found is None:
            await self._router(scope, receive, send)
        else:  # as for most requests: the router takes its time
            await self._infer({**scope, "path_params": found.groupdict()}, receive, send)

    def stop(self) -> None:
        """Take no more requests; those that run are answered."""
        self.endpoints.is_ready = self._mounts.is_ready = False

    def close(self) -> None:
        """End the instances of all pipelines and components, each as soon as it has answered."""
        self.stop()
        served: list[Served] = [*self.models.values(), *self.components.values()]
        for each in served:
            each.close()


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
        self._record(exchange, response.status, kind, sent_bytes(scope, response))

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
        record(self._metrics, exchange, status, kind, sent)


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
    components: Mapping[str, ComponentSettings | str] | None = None,
    settings: Settings | None = None,
    observer: Observer | None = None,
) -> Application:
    """An ASGI application that serves graphs and pipelines by the Open Inference Protocol, version 2.

    `graphs` are names of registered graphs, by default all of them, or their settings by name. `pipelines` are the
    files of components by name, or their settings. `components` answer requests of HTTP themselves, at the paths that
    their settings name and that the protocol does not: they export `wasi:http/incoming-handler`, as what is built for
    `wasmtime serve` does. Serve the application with any ASGI server, or mount it in another one. It does not close
    `engine`; `Application.close` ends its pipelines and components. `observer` is told of each answer.

    Raises ValueError for a graph that is not registered, for a name or a path that is used twice, for a name with a
    slash, InvalidGuest for a pipeline or component that cannot be compiled, and GuestError for one that cannot be
    started.
    """
    settings = settings or Settings()
    models: dict[str, Model] = {}
    mounted: dict[str, Component] = {}
    served: Mapping[str, Served] = ChainMap(cast(dict[str, Served], models), cast(dict[str, Served], mounted))
    metrics = Metrics(engine, served, observer)
    try:
        for name, chosen in _graphs(engine, graphs).items():
            _require_askable(name)
            models[name] = _graph(engine, name, chosen, metrics)
        for name, given in (pipelines or {}).items():
            _require_askable(name)
            if name in models:
                raise ValueError(f"{quote(name)} is the name of both a graph and a pipeline; choose another name")
            chosen_pipeline = given if isinstance(given, PipelineSettings) else PipelineSettings(given)
            gate = Gate(name, chosen_pipeline.concurrency, chosen_pipeline.max_waiting, metrics.waits_of(name))
            models[name] = PipelineModel(engine, name, chosen_pipeline, gate)
        for name, chosen_component in _components(components or {}, models).items():
            mounted[name] = _component(engine, name, chosen_component, metrics)
        return Application(models, mounted, settings, metrics)
    except BaseException:
        for each in served.values():
            each.close()
        raise


def _require_askable(name: str) -> None:
    if not name or "/" in name:
        raise ValueError(f"{quote(name)} cannot be part of a path; serve it under a name that has no slash")


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


def _components(
    components: Mapping[str, ComponentSettings | str], models: Collection[str]
) -> Mapping[str, ComponentSettings]:
    chosen = {
        name: given if isinstance(given, ComponentSettings) else ComponentSettings(given)
        for name, given in components.items()
    }
    for name in chosen:
        if name in models:
            raise ValueError(f"{quote(name)} is the name of a model and of a component; choose another name")
    require_distinct({name: settings.path for name, settings in chosen.items()})
    return chosen


def _component(engine: Engine, name: str, settings: ComponentSettings, metrics: Metrics) -> Component:
    gate = Gate(name, settings.concurrency, settings.max_waiting, metrics.waits_of(name))
    return Component(engine, name, settings, gate)


def _routes(endpoints: Endpoints, infer: Endpoint, metrics: Metrics, has_page: bool) -> Iterable[Route]:
    get = partial(Endpoint, ("GET", "HEAD"), metrics=metrics)
    for model in (_MODEL, _VERSION):  # first, since most requests are of this kind
        yield Route(model + "/infer", infer)
    if has_page:
        yield Route("/", get(endpoints.page))
    yield Route("/metrics", get(endpoints.figures))
    yield Route("/v2/health/live", get(endpoints.live))
    yield Route("/v2/health/ready", get(endpoints.ready))
    yield Route("/v2", get(endpoints.server))
    yield Route("/v2/", get(endpoints.server))
    for model in (_MODEL, _VERSION):
        yield Route(model + "/ready", get(endpoints.model_ready))
        yield Route(model, get(endpoints.model))
