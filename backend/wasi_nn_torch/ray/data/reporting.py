"""What an actor reports: to the log of Ray Data, and to the metrics of Ray."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import ray
from ray.util.metrics import Counter, Histogram

from wasi_nn_torch.contract.text import one_line

#: A child of Ray Data's own logger, which writes to its file and, through Ray, to the driver.
logger = logging.getLogger("ray.data.wasi_nn_torch")

#: The failures that each actor logs; further ones are counted only.
_MOST_FAILURES = 10
#: The bytes that are logged of what a guest writes in one call.
_MOST_OUTPUT = 4096

_BOUNDARIES = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0]


def use_rays_log() -> None:
    """In an actor, whose process is Ray's, send the warnings of this package to the log of Ray Data."""
    if not ray.is_initialized() or ray.get_runtime_context().get_actor_id() is None:
        return
    for name in ("wasi_nn_torch", "wit_host"):
        ours = logging.getLogger(name)
        ours.parent = logger
        if ours.level == logging.NOTSET:
            ours.setLevel(logging.WARNING)


class Reports:
    """The reports on the guest of one actor."""

    def __init__(self, guest: str) -> None:
        self._guest = guest
        self._logged = 0
        tags = {"guest": guest}
        self._rows = Counter(
            "wasi_nn_torch_udf_rows", "Rows by what became of them: ok, or the kind of failure.", ("guest", "outcome")
        )
        self._rows.set_default_tags(tags)
        self._calls = Counter("wasi_nn_torch_udf_calls", "Calls of guests.", ("guest",))
        self._calls.set_default_tags(tags)
        self._seconds = Histogram(
            "wasi_nn_torch_udf_batch_seconds", "The time that a guest took for a batch.", _BOUNDARIES, ("guest",)
        )
        self._seconds.set_default_tags(tags)

    def opened(self, text: str) -> None:
        """The guest is ready."""
        logger.info("%s: %s", self._guest, text)

    def batch(self, calls: int, outcomes: Mapping[str, int], seconds: float) -> None:
        """Count a batch: the calls of the guest for it, its rows by what became of them, and the time."""
        for outcome, number in outcomes.items():
            self._rows.inc(number, {"outcome": outcome})
        if calls:
            self._calls.inc(calls)
        self._seconds.observe(seconds)

    def failed(self, rows: int, kind: str, reason: str) -> None:
        """Log why rows failed, for the first few failures."""
        self._logged += 1
        if self._logged <= _MOST_FAILURES:
            logger.warning("%s failed for %s (%s): %s", self._guest, _rows(rows), kind, reason)
        if self._logged == _MOST_FAILURES:
            logger.warning("%s: further failures of this actor are counted, not logged", self._guest)


class Output:
    """Receives what a guest writes to its standard output and error; the beginning of each call's goes to the log."""

    def __init__(self, guest: str) -> None:
        self._guest = guest
        self._left = _MOST_OUTPUT

    def begin(self) -> None:
        """Another call begins."""
        self._left = _MOST_OUTPUT

    def __call__(self, output: bytes) -> None:
        """Log lines, as far as this call may."""
        if self._left <= 0:
            return
        shown = output[: self._left]
        self._left -= len(output)
        for line in shown.decode("utf-8", "replace").splitlines():
            logger.info("%s wrote: %s", self._guest, one_line(line))
        if self._left <= 0:
            logger.info("%s: what it writes in this call from here on is left out", self._guest)


def _rows(number: int) -> str:
    return "1 row" if number == 1 else f"{number} rows"
