"""The application in a replica of Ray Serve: its start, its requests, its health and its end."""

from __future__ import annotations

import asyncio
import logging
import sys
from contextlib import ExitStack
from functools import partial
from typing import Any

import ray.util

from wasi_nn_torch.configuration.hosting import REFUSALS, opened, sources
from wasi_nn_torch.configuration.serving import Configuration
from wasi_nn_torch.http.asgi import Message, Receive, Scope, Send
from wasi_nn_torch.http.reloading import Reloading
from wasi_nn_torch.ray.serve.errors import DeploymentFailed
from wasi_nn_torch.ray.serve.figures import Figures
from wasi_nn_torch.ray.serve.health import Health
from wasi_nn_torch.ray.serve.logs import log_to_serve
from wasi_nn_torch.ray.serve.placement import located, placed, require_accelerator

logger = logging.getLogger(__name__)

#: Serve answers with this header itself, with the same id.
_REQUEST_ID = b"x-request-id"


class Hosted:
    """An ASGI application with a lifespan, which ends everything that the constructor has started.

    `directory` is where relative paths begin if the replica has no working directory of its own. Raises
    DeploymentFailed if a graph or a pipeline cannot be served.
    """

    def __init__(self, chosen: Configuration, directory: str) -> None:
        log_to_serve()
        self._figures = Figures()
        self._health = Health()
        self._stack = ExitStack()
        try:
            here = located(placed(chosen), directory)
            engine, self._app = self._stack.enter_context(opened(here, self))
            require_accelerator(here, engine)
        except REFUSALS as error:
            self._stack.close()
            raise _failure(error) from None
        self._background = [self._figures.keep_copying(self._app.metrics.families)]
        if here.reload is not None:
            self._background.append(Reloading(sources(engine, self._app, here), here.reload).run())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or start and end with the replica."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        else:
            await self._app(scope, receive, partial(_send, send))

    async def check_health(self) -> None:
        """Raise ModelFails if a graph that fails for clients cannot be computed at all."""
        await self._health.check(self._app.models.values())

    def answered(self, model: str | None, status: int, kind: str | None, seconds: float) -> None:
        """See `Observer`."""
        self._figures.answered(model, seconds)
        self._health.answered(model, status)

    def waited(self, model: str, seconds: float) -> None:
        """See `Observer`."""
        self._figures.waited(model, seconds)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        tasks = [asyncio.create_task(each) for each in self._background]
        for task in tasks:
            task.add_done_callback(_report)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        for task in tasks:
            task.cancel()
        self._stack.close()
        await send({"type": "lifespan.shutdown.complete"})


def _report(task: asyncio.Task[None]) -> None:
    """Log why something in the background has ended before the replica."""
    error = None if task.cancelled() else task.exception()
    if error is not None:
        logger.error("a task of the replica failed: %s", error, exc_info=error)


def _failure(error: Exception) -> DeploymentFailed:
    """The error for whoever deploys, after the log has got where it comes from."""
    logger.error("the replica cannot serve: %s", error, exc_info=error)
    # Serve passes on the traceback of a replica that could not start. That replica ends now, so nobody misses its own.
    sys.tracebacklimit = 0
    node: Any = ray.util.get_node_ip_address  # which has no type
    return DeploymentFailed(f"{error} (on the node {node()})")


async def _send(send: Send, message: Message) -> None:
    """Pass on what can be pickled, without the header that Serve adds."""
    if message["type"] == "http.response.start":
        headers = [(name, value) for name, value in message["headers"] if name != _REQUEST_ID]
        message = {**message, "headers": headers}
    elif isinstance(message.get("body"), memoryview):
        message = {**message, "body": bytes(message["body"])}
    await send(message)
