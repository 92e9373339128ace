"""The health of a replica: whether graphs that fail for clients can still be computed."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Iterable
from http import HTTPStatus

from wasi_nn_torch.contract.text import quote
from wasi_nn_torch.http.failures import as_http_error
from wasi_nn_torch.http.graphs import GraphModel
from wasi_nn_torch.http.models import Call, Model
from wasi_nn_torch.ray.serve.errors import ModelFails

logger = logging.getLogger(__name__)

#: After so many failures in a row, a graph is tried.
SUSPICIOUS = 3
#: The seconds that a graph may take for its trial.
TRIAL_SECONDS = 15.0
_ID = "health check"


class Health:
    """Tries graphs once a model has failed several times in a row.

    Clients can make a model fail, so their failures are no proof: a graph is unhealthy if it cannot be computed on
    zeros either, after which nothing but a new process helps. A graph that does not declare the sizes of its inputs is
    not tried.
    """

    def __init__(self) -> None:
        self._failures: Counter[str] = Counter()

    def answered(self, model: str | None, status: int) -> None:
        """Take notice of an answer."""
        if model is None or status == HTTPStatus.SERVICE_UNAVAILABLE:
            return
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            self._failures[model] += 1
        elif status == HTTPStatus.OK:
            self._failures.pop(model, None)

    async def check(self, models: Iterable[Model]) -> None:
        """Raise ModelFails if there is reason to try graphs, and one of them cannot be computed."""
        suspects = [name for name, failures in self._failures.items() if failures >= SUSPICIOUS]
        if not suspects:
            return
        graphs = [model for model in models if isinstance(model, GraphModel)]  # pipelines compute them, too
        for graph in graphs:
            reason = await _reason(graph)
            if reason is not None:
                raise ModelFails(f"{quote(graph.name)} cannot be computed any more: {reason}")
        for name in suspects:
            logger.warning("%s has failed %d times in a row, and works", name, self._failures.pop(name))


async def _reason(graph: GraphModel) -> str | None:
    """The reason why a graph cannot be computed; None if it can, or cannot be tried."""
    if graph.trial is None:
        return None
    try:
        async with asyncio.timeout(TRIAL_SECONDS):
            await graph.infer(Call(graph.trial, _ID))
    except TimeoutError:
        return f"it took more than {TRIAL_SECONDS:g} s"
    except Exception as error:  # noqa: BLE001  # each is judged
        failure = as_http_error(error, graph.name, _ID)
        is_failure = failure.status >= HTTPStatus.INTERNAL_SERVER_ERROR
        return failure.text if is_failure and failure.status != HTTPStatus.SERVICE_UNAVAILABLE else None
    return None
