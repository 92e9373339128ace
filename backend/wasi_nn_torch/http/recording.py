"""What is kept of each answer: its figures, and its line in the log."""

from __future__ import annotations

import time
from enum import Enum
from typing import TYPE_CHECKING

from wasi_nn_torch.contract.text import printable
from wasi_nn_torch.http.exchanges import Exchange
from wasi_nn_torch.http.logs import log_answer, logs_answers

if TYPE_CHECKING:
    from wasi_nn_torch.http.metrics import Metrics

#: The status in metrics and logs for a client that has gone before it was answered.
CLIENT_GONE = 499
_LONGEST_PATH = 200


class Refusal(Enum):
    """Why a connection is refused, or ended, before its requests reach a model; the kind of failure for metrics."""

    MALFORMED = "malformed"
    LONG_HEADERS = "long-headers"
    SLOW_HEADERS = "slow-headers"
    STALLED = "stalled"
    CONNECTIONS = "connections"


def record(metrics: Metrics, exchange: Exchange, status: int, kind: str | None, sent: int) -> None:
    """Count and log an answer with a body of `sent` bytes; `kind` is that of a failure."""
    seconds = time.monotonic() - exchange.started
    metrics.answered(exchange.model, status, kind, seconds, sent)
    if not logs_answers():
        return
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


def record_refusal(metrics: Metrics, refusal: Refusal, status: int | None, sent: int, client: str) -> None:
    """Count and log a refusal, whose answer has a body of `sent` bytes; without a `status`, there is no answer."""
    metrics.refused(status, refusal.value, sent)
    if logs_answers():
        log_answer(client=client, status=status, failure=refusal.value, sent=sent)
