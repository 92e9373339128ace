"""A span of OpenTelemetry for each request, if that is installed; it continues the trace of the client."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

from wasi_nn_torch.http.exchanges import Exchange

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider

#: Tells the span how the request was answered.
End = Callable[[int], None]

_IS_INSTALLED = find_spec("opentelemetry") is not None and find_spec("opentelemetry.trace") is not None
_LEAST_FAILURE = 500


@contextmanager
def span(exchange: Exchange, route: str = "/v2") -> Iterator[End]:
    """A span for the time of the block, which is told the status of the answer."""
    provider = _provider()
    if provider is None:
        yield _nothing
        return
    from opentelemetry import propagate, trace

    carried = {name: text for name in ("traceparent", "tracestate") if (text := exchange.text(name)) is not None}
    tracer = provider.get_tracer("wasi_nn_torch")
    attributes = {"http.request.method": exchange.scope["method"], "wasi_nn_torch.request_id": exchange.id}
    with tracer.start_as_current_span(
        f"{exchange.scope['method']} {route}",
        context=propagate.extract(carried),
        kind=trace.SpanKind.SERVER,
        attributes=attributes,
    ) as current:

        def end(status: int) -> None:
            current.set_attribute("http.response.status_code", status)
            if exchange.model is not None:
                current.set_attribute("wasi_nn_torch.model", exchange.model)
            if status >= _LEAST_FAILURE:
                current.set_status(trace.StatusCode.ERROR)

        yield end


def _provider() -> TracerProvider | None:
    """What makes spans, if the operator has configured that; otherwise they would take time for nothing."""
    if not _IS_INSTALLED:
        return None
    from opentelemetry import trace

    provider = trace.get_tracer_provider()
    return None if isinstance(provider, trace.ProxyTracerProvider) else provider


def _nothing(status: int) -> None:
    """Do nothing."""
