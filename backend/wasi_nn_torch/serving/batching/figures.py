"""Figures of batches: of one graph, over all sessions, or of one session's requests to it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class BatchFigures:
    """The figures of one moment.

    `requests` is the number of computations that were asked for and made. `sizes` counts batches by their rows; for a
    session, those that its requests were part of. `queue_seconds` is the time that the requests waited, and
    `longest_wait` the longest of these times; `compute_seconds` is the time that the batches took, each counted once.
    `failed_together` is the number of batches that failed, so that their requests were computed each by itself.
    `refused` is the number of requests that a full queue refused, and `withdrawn` of those whose guest was stopped, or
    had no more time, while they waited.
    """

    requests: int
    sizes: Mapping[int, int]
    queue_seconds: float
    longest_wait: float
    compute_seconds: float
    failed_together: int
    refused: int
    withdrawn: int

    @property
    def batches(self) -> int:
        """The number of batches."""
        return sum(self.sizes.values())

    @property
    def mean_size(self) -> float:
        """The rows of a batch, on average; 0 if there was none."""
        return sum(size * number for size, number in self.sizes.items()) / self.batches if self.sizes else 0.0

    def to_dict(self) -> dict[str, object]:
        """These figures for JSON, with the names of the fields as keys; the keys of `sizes` are numbers as text."""
        return {
            "requests": self.requests,
            "sizes": {str(size): number for size, number in sorted(self.sizes.items())},
            "queue_seconds": self.queue_seconds,
            "longest_wait": self.longest_wait,
            "compute_seconds": self.compute_seconds,
            "failed_together": self.failed_together,
            "refused": self.refused,
            "withdrawn": self.withdrawn,
        }


class Tally:
    """Counts what `BatchFigures` has; the caller has the lock of the batcher."""

    __slots__ = (
        "compute_seconds",
        "failed_together",
        "longest_wait",
        "queue_seconds",
        "refused",
        "requests",
        "sizes",
        "withdrawn",
    )

    def __init__(self) -> None:
        self.requests = self.failed_together = self.refused = self.withdrawn = 0
        self.queue_seconds = self.longest_wait = self.compute_seconds = 0.0
        self.sizes: Counter[int] = Counter()

    def add_batch(self, rows: int, seconds: float) -> None:
        """Count a batch."""
        self.sizes[rows] += 1
        self.compute_seconds += seconds

    def add_request(self, waited: float) -> None:
        """Count a request that was computed."""
        self.requests += 1
        self.queue_seconds += waited
        if waited > self.longest_wait:
            self.longest_wait = waited

    def add_lone(self, rows: int, seconds: float) -> None:
        """Count a request that was a batch of its own, and did not wait."""
        self.requests += 1
        self.sizes[rows] += 1
        self.compute_seconds += seconds

    def figures(self) -> BatchFigures:
        """The figures of this moment."""
        return BatchFigures(
            requests=self.requests,
            sizes=dict(self.sizes),
            queue_seconds=self.queue_seconds,
            longest_wait=self.longest_wait,
            compute_seconds=self.compute_seconds,
            failed_together=self.failed_together,
            refused=self.refused,
            withdrawn=self.withdrawn,
        )
