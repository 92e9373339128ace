"""The figures of the server as metrics of Ray, which adds the application, the deployment and the replica."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

from prometheus_client.metrics_core import Metric
from ray.serve.metrics import Counter, Gauge, Histogram

from wasi_nn_torch.http.metrics import SECONDS

#: How often counters and gauges are copied; Ray reports its metrics every 10 seconds.
_PERIOD = 5.0
#: What Prometheus adds to the name of a counter, also for Ray.
_TOTAL = "_total"


class Figures:
    """Ray's copies of all figures of an application.

    Times are observed one by one, since a histogram cannot be copied; counters and gauges are copied from time to time,
    which costs requests nothing.
    """

    def __init__(self) -> None:
        self._seconds = _histogram("wasi_nn_torch_http_request_seconds", "The time from a request to its answer.")
        self._waits = _histogram("wasi_nn_torch_queue_seconds", "The time that requests waited for a place.")
        self._counters: dict[str, Counter] = {}
        self._gauges: dict[str, Gauge] = {}
        self._counted: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}

    def answered(self, model: str | None, seconds: float) -> None:
        """Observe the time of an answer."""
        if model is not None:
            self._seconds.observe(seconds, {"model": model})

    def waited(self, model: str, seconds: float) -> None:
        """Observe the time in the queue."""
        self._waits.observe(seconds, {"model": model})

    async def keep_copying(self, families: Callable[[], Iterable[Metric]]) -> None:
        """Copy until the task is cancelled."""
        while True:
            self.copy(families())
            await asyncio.sleep(_PERIOD)

    def copy(self, families: Iterable[Metric]) -> None:
        """Copy the counters and gauges of this moment."""
        for family in families:
            for sample in family.samples:
                if family.type == "counter" and sample.name.endswith(_TOTAL):
                    self._count(family, sample.labels, sample.value)
                elif family.type == "gauge":
                    self._gauge(family, sample.labels).set(sample.value, sample.labels)

    def _count(self, family: Metric, labels: dict[str, str], value: float) -> None:
        key = family.name, tuple(labels.items())
        more = value - self._counted.get(key, 0.0)
        if more > 0:
            self._counted[key] = value
            self._counter(family, labels).inc(more, labels)

    def _counter(self, family: Metric, labels: Iterable[str]) -> Counter:
        if family.name not in self._counters:
            keys: Any = tuple(labels)  # Ray declares exactly one
            self._counters[family.name] = Counter(family.name, family.documentation, keys)
        return self._counters[family.name]

    def _gauge(self, family: Metric, labels: Iterable[str]) -> Gauge:
        if family.name not in self._gauges:
            keys: Any = tuple(labels)
            self._gauges[family.name] = Gauge(family.name, family.documentation, keys)
        return self._gauges[family.name]


def _histogram(name: str, text: str) -> Histogram:
    return Histogram(name, text, boundaries=list(SECONDS), tag_keys=("model",))
