"""A span of OpenTelemetry for each request, if that is installed; it continues the trace of the client."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING

from wasi_nn_torch.http.exchanges import Exchange

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider

#: Tells the span how the request was answered.
End = Callable[[int], None]

_IS_INSTALLED = find_spec("opentelemetry") is not None and find_spec("opentelemetry.trace") is not None
_LEAST_FAILURE = 500


def span(exchange: Exchange, route: str = "/v2") -> AbstractContextManager[End]:
    """A span for the time of the block, which is told the status of the answer."""
    provider = _provider()
    return _NO_SPAN if provider is None else _span(exchange, provider, route)


@contextmanager
def _span(exchange: Exchange, provider: TracerProvider, route: str) -> Iterator[End]:
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
    trace = _trace()
    if trace is None:
        return None
    provider = trace.get_tracer_provider()
    return None if isinstance(provider, trace.ProxyTracerProvider) else provider


@cache
def _trace() -> ModuleType | None:
    if not _IS_INSTALLED:
        return None
    from opentelemetry import trace

    return trace


def _nothing(status: int) -> None:
    """Do nothing."""


_NO_SPAN = nullcontext(_nothing)
