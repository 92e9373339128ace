"""Figures for Prometheus; labels are the names of models and words of this module, never what a client sent."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Protocol

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from wasi_nn_torch.engine import Engine
from wasi_nn_torch.http.served import Served
from wasi_nn_torch.http.tallies import Counts, Times

#: The type of the text.
CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"

_PREFIX = "wasi_nn_torch_"
#: The upper bounds of the buckets of times, in seconds.
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
#: The label of requests that belong to no model.
_NO_MODEL = ""


class Observer(Protocol):
    """Who is told of each event, beside the metrics; the event loop calls it."""

    def answered(self, model: str | None, status: int, kind: str | None, seconds: float) -> None:
        """A request was answered; `kind` is that of a failure, and `model` None if it belongs to no model."""
        ...

    def waited(self, model: str, seconds: float) -> None:
        """A request has waited for a place."""
        ...


class Metrics:
    """The figures of one application: of its requests, and of its engine at the moment when they are asked for."""

    def __init__(self, engine: Engine, models: Mapping[str, Served], observer: Observer | None = None) -> None:
        self._observer = observer
        self._requests = _counts("http_requests", "Requests that were answered.", "model", "status")
        self._failures = _counts("http_failures", "Requests that were not answered as wanted.", "model", "kind")
        self._seconds = _times("http_request_seconds", "The time from a request to its answer.")
        self._waits = _times("queue_seconds", "The time that requests waited for a place.")
        self._received = _counts("http_received_bytes", "Bytes of the bodies of requests.", "model")
        self._sent = _counts("http_sent_bytes", "Bytes of the bodies of answers.", "model")
        self._registry = CollectorRegistry()
        figures = self._requests, self._failures, self._seconds, self._waits, self._received, self._sent
        self._registry.register(_RequestFigures(figures))
        self._registry.register(_EngineFigures(engine, models))

    def answered(self, model: str | None, status: int, kind: str | None, seconds: float, sent: int) -> None:
        """Count an answer; `kind` is that of a failure."""
        name = model or _NO_MODEL
        self._requests.add((name, str(status)))
        self._sent.add((name,), sent)
        if kind is not None:
            self._failures.add((name, kind))
        if model is not None:
            self._seconds.of((name,)).add(seconds)
        if self._observer is not None:
            self._observer.answered(model, status, kind, seconds)

    def refused(self, status: int | None, kind: str, sent: int) -> None:
        """Count what was refused before it was a request; without a `status`, it was not answered."""
        if status is not None:
            self._requests.add((_NO_MODEL, str(status)))
            self._sent.add((_NO_MODEL,), sent)
        self._failures.add((_NO_MODEL, kind))

    def received(self, model: str, nbytes: int) -> None:
        """Count the body of a request."""
        self._received.add((model,), nbytes)

    def waits_of(self, model: str) -> Callable[[float], None]:
        """What to tell how long requests to a model wait."""
        histogram, observer = self._waits.of((model,)), self._observer
        if observer is None:
            return histogram.add

        def waited(seconds: float) -> None:
            histogram.add(seconds)
            observer.waited(model, seconds)

        return waited

    def families(self) -> Iterable[Metric]:
        """All figures of this moment, as values."""
        return self._registry.collect()

    def text(self) -> bytes:
        """All figures of this moment."""
        return generate_latest(self._registry)


class _RequestFigures(Collector):
    """What was counted of requests."""

    def __init__(self, figures: Iterable[Counts | Times]) -> None:
        self._figures = figures

    def collect(self) -> Iterator[Metric]:
        """The figures of this moment."""
        for figure in self._figures:
            yield figure.family()


class _EngineFigures(Collector):
    """What the engine and the models know themselves."""

    def __init__(self, engine: Engine, models: Mapping[str, Served]) -> None:
        self._engine = engine
        self._models = models

    def describe(self) -> Iterable[Metric]:
        """Nothing, so that registering does not ask for the figures."""
        return []

    def collect(self) -> Iterator[Metric]:
        """The figures of this moment."""
        yield from self._of_models()
        stats = self._engine.stats
        yield _gauge("sessions_running", "Sessions of guests and graphs that are open.", [((), stats.running)])
        yield _gauge("sessions_overdue", "Guests that are late, and still compute.", [((), stats.overdue)])
        yield _counter("sessions_ended", "Sessions by how they ended.", ["ending"], _by(stats.ended))
        yield _counter(
            "nn_errors", "Errors of wasi-nn that guests and requests were given.", ["code"], _by(stats.errors)
        )
        yield _counter("computes", "Computations of graphs, in sessions that have ended.", [], [((), stats.computes)])
        yield _counter("compute_seconds", "The time of these computations.", [], [((), stats.compute_seconds)])
        cached = [(("compiled",), stats.guests_compiled), (("cache",), stats.guests_from_cache)]
        yield _counter("guests_loaded", "Pipelines that were compiled, or found in the cache.", ["source"], cached)
        weights = [((each.name, each.device), each.bytes) for each in stats.models]
        yield _gauge("graph_bytes", "The memory of the weights of graphs.", weights, ["model", "device"])
        loads = [((each.name, each.device), each.loads) for each in stats.models]
        yield _counter("graph_loads", "How often graphs were loaded.", ["model", "device"], loads)

        batching = [(each.name, each.device, each.batching) for each in stats.models if each.batching is not None]
        sizes = [((name, device, str(size)), n) for name, device, of in batching for size, n in of.sizes.items()]
        yield _counter("batches", "Batches by their rows.", ["model", "device", "size"], sizes)
        waits = [((name, device), of.queue_seconds) for name, device, of in batching]
        yield _counter("batch_queue_seconds", "The time that requests waited for others.", ["model", "device"], waits)

    def _of_models(self) -> Iterator[Metric]:
        models = list(self._models.values())
        running = [((model.name,), model.gate.running) for model in models]
        yield _gauge("requests_running", "Requests that models work on.", running, ["model"])
        waiting = [((model.name,), model.gate.waiting) for model in models]
        yield _gauge("requests_waiting", "Requests that wait for a place.", waiting, ["model"])
        ready = [((model.name, model.kind), int(model.is_ready)) for model in models]
        yield _gauge("model_ready", "Whether models answer requests.", ready, ["model", "kind"])
        replaced = [((model.name, reason), n) for model in models for reason, n in model.replaced.items()]
        yield _counter("instances_replaced", "Instances of pipelines that were ended.", ["model", "reason"], replaced)


def _counts(name: str, text: str, *labels: str) -> Counts:
    return Counts(_PREFIX + name, text, *labels)


def _times(name: str, text: str) -> Times:
    return Times(_PREFIX + name, text, SECONDS, "model")


_Rows = Iterable[tuple[tuple[str, ...], float]]


def _by(counts: Mapping[str, int]) -> _Rows:
    return [((name,), count) for name, count in counts.items()]


def _gauge(name: str, text: str, rows: _Rows, labels: Iterable[str] = ()) -> Metric:
    family = GaugeMetricFamily(_PREFIX + name, text, labels=list(labels))
    for values, number in rows:
        family.add_metric(values, number)
    return family


def _counter(name: str, text: str, labels: Iterable[str], rows: _Rows) -> Metric:
    family = CounterMetricFamily(_PREFIX + name, text, labels=list(labels))
    for values, number in rows:
        family.add_metric(values, number)
    return family
