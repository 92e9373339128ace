"""Counts and times by labels, for the thread of one event loop: they need no locks, and so take little of a request."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Sequence

from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.utils import floatToGoString

#: A bound as Prometheus writes it.
_spelled: Callable[[float], str] = floatToGoString
#: The values of the labels of a figure, in the order of their names.
Values = tuple[str, ...]


class Counts:
    """A counter for Prometheus, by labels."""

    def __init__(self, name: str, text: str, *labels: str) -> None:
        self._name = name
        self._text = text
        self._labels = labels
        self._numbers: defaultdict[Values, float] = defaultdict(float)

    def add(self, values: Values, number: float = 1.0) -> None:
        """Add a number to the count of these labels."""
        self._numbers[values] += number

    def family(self) -> Metric:
        """The counts of this moment."""
        family = CounterMetricFamily(self._name, self._text, labels=self._labels)
        for values, number in self._numbers.items():
            family.add_metric(values, number)
        return family


class Times:
    """A histogram for Prometheus of times in seconds, by labels; `bounds` are the upper bounds of the buckets."""

    def __init__(self, name: str, text: str, bounds: Sequence[float], *labels: str) -> None:
        self._name = name
        self._text = text
        self._labels = labels
        self._bounds = bounds
        self._histograms: dict[Values, _Histogram] = {}

    def of(self, values: Values) -> _Histogram:
        """The histogram of these labels, which is there from now on, even without a time."""
        found = self._histograms.get(values)
        if found is None:
            found = self._histograms[values] = _Histogram(self._bounds)
        return found

    def family(self) -> Metric:
        """The histograms of this moment."""
        family = HistogramMetricFamily(self._name, self._text, labels=self._labels)
        for values, histogram in self._histograms.items():
            family.add_metric(values, histogram.buckets(), histogram.total)
        return family


class _Histogram:
    """How many times are at most as long as each bound, and all times together."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._numbers = [0] * (len(bounds) + 1)
        self.total = 0.0

    def add(self, seconds: float) -> None:
        self._numbers[bisect_left(self._bounds, seconds)] += 1
        self.total += seconds

    def buckets(self) -> list[tuple[str, float]]:
        """The cumulative numbers by bound, as Prometheus has them."""
        found: list[tuple[str, float]] = []
        number = 0
        for bound, more in zip([*self._bounds, float("inf")], self._numbers, strict=True):
            number += more
            found.append((_spelled(bound), number))
        return found
