"""The endpoints of the Open Inference Protocol: from an exchange to a response."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version

from wasi_nn_torch.contract.sizes import spell_size
from wasi_nn_torch.contract.text import quote
from wasi_nn_torch.http.asgi import Response
from wasi_nn_torch.http.bodies import Bodies, json_length
from wasi_nn_torch.http.checking import chosen
from wasi_nn_torch.http.deadlines import Work, require_in_time
from wasi_nn_torch.http.decoding import decode
from wasi_nn_torch.http.encoding import JSON, Encoded, encode, metadata_message, to_json
from wasi_nn_torch.http.errors import HttpError, busy, too_large
from wasi_nn_torch.http.exchanges import Exchange
from wasi_nn_torch.http.extensions import why_not_there
from wasi_nn_torch.http.metrics import CONTENT_TYPE, Metrics
from wasi_nn_torch.http.models import VERSION, Call, Model
from wasi_nn_torch.http.page import page
from wasi_nn_torch.http.settings import Settings
from wasi_nn_torch.pipelines.values import Value

_SERVER = "wasi-nn-torch"
_EXTENSIONS = ["binary_tensor_data"]
#: The parameter of Triton's clients for the time of a request.
_TIMEOUT = "timeout"


class Endpoints:
    """The endpoints for `models`; `is_ready` says whether the server takes requests."""

    def __init__(self, models: Mapping[str, Model], settings: Settings, metrics: Metrics) -> None:
        self.is_ready = True
        self._metrics = metrics
        self._models = models
        self._settings = settings
        self._bodies = Bodies(settings.max_body, settings.max_bodies, settings.body_timeout)
        self._work = Work()

    async def live(self, exchange: Exchange) -> Response:
        """Whether the process answers."""
        return Response(200, [], [])

    async def ready(self, exchange: Exchange) -> Response:
        """Whether the server and all models take requests."""
        is_ready = self.is_ready and all(model.is_ready for model in self._models.values())
        return Response(200 if is_ready else 503, [], [])

    async def server(self, exchange: Exchange) -> Response:
        """The metadata of the server."""
        return _json({"name": _SERVER, "version": version(_SERVER), "extensions": _EXTENSIONS})

    async def model_ready(self, exchange: Exchange) -> Response:
        """Whether a model takes requests."""
        return Response(200 if self.is_ready and self._model(exchange).is_ready else 503, [], [])

    async def model(self, exchange: Exchange) -> Response:
        """The metadata of a model."""
        model = self._model(exchange)
        return _json(metadata_message(model.name, [VERSION], model.platform, model.metadata))

    async def infer(self, exchange: Exchange) -> Response:
        """The outputs of a model for the inputs in the body."""
        model = self._model(exchange)
        exchange.model = model.name
        if not self.is_ready:
            raise busy("the server is stopping; try another one")
        tenant = exchange.tenant(self._settings)
        due = exchange.due(self._settings)
        model.gate.require_room()
        with self._bodies.room(exchange.scope) as length:
            before = json_length(exchange.scope)
            body = await self._bodies.read(exchange.scope, exchange.receive, length, before, due)
            self._metrics.received(model.name, body.nbytes)
            if (body.nbytes if before is None else before) > self._settings.max_json:
                limit = spell_size(self._settings.max_json)
                raise too_large(f"the JSON of the request is too large (limit {limit}); send binary data")
            request = decode(body, before)
            due = exchange.due_with(due, request.parameters.get(_TIMEOUT))
            call = Call(request, request.id or exchange.id, tenant, due)
            values = model.infer_now(call)
            if values is None:
                encoded = await self._work.result(_answer(model, call), due, exchange.receive)
            else:
                encoded = _encoded(model, call, values)
                require_in_time(due)
        return _response(encoded)

    async def figures(self, exchange: Exchange) -> Response:
        """The metrics, for Prometheus."""
        return Response(200, [(b"content-type", CONTENT_TYPE)], [self._metrics.text()])

    async def page(self, exchange: Exchange) -> Response:
        """The page that shows the figures as they change."""
        headers, text = page()
        return Response(200, headers, [text])

    def _model(self, exchange: Exchange) -> Model:
        """The model in the path; raises `HttpError` with status 404."""
        name = exchange.path_parameters["model"]
        model = self._models.get(name)
        if model is None:
            text = why_not_there(exchange.scope["path"]) or f"there is no model {quote(name)}"
            raise HttpError(404, text, "unknown")
        wanted = exchange.path_parameters.get("version", VERSION)
        if wanted != VERSION:
            raise HttpError(404, f"there is no version {quote(wanted)} of {quote(name)}; it has version {VERSION}")
        return model


async def _answer(model: Model, call: Call) -> Encoded:
    async with model.gate.place():
        values = await model.infer(call)
    return _encoded(model, call, values)


def _encoded(model: Model, call: Call, values: Sequence[Value]) -> Encoded:
    return encode(model.name, VERSION, call.request, chosen(values, call.request.outputs))


def _response(encoded: Encoded) -> Response:
    if not encoded.binary:
        return Response(200, JSON, [encoded.header])
    headers = [
        (b"content-type", b"application/octet-stream"),
        (b"inference-header-content-length", str(len(encoded.header)).encode()),
    ]
    return Response(200, headers, [encoded.header, *encoded.binary])


def _json(message: object, status: int = 200) -> Response:
    return Response(status, JSON, [to_json(message)])


def require_method(exchange: Exchange, *allowed: str) -> None:
    """Raise `HttpError` with status 405 for another method."""
    if exchange.scope["method"] not in allowed:
        names = ", ".join(allowed)
        raise HttpError(405, f"use the method {names} here", headers=[(b"allow", names.encode())])
