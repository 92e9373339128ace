"""Answering in time: a request that is late, or whose client has gone, is answered, and what it started is stopped."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

from wasi_nn_torch.http.asgi import Disconnected, Receive
from wasi_nn_torch.http.errors import late

T = TypeVar("T")

#: The seconds after which a client that has gone is noticed, once its request takes that long.
_PATIENCE = 0.02


class Work:
    """The tasks that answer requests; some go on for a while after their clients have been answered."""

    def __init__(self) -> None:
        self._left_behind: set[asyncio.Task[Any]] = set()

    async def result(self, work: Coroutine[Any, Any, T], due: float | None, receive: Receive) -> T:
        """Run `work`, and return its result.

        Raises `HttpError` with status 504 at the time `due`, in `time.monotonic`, and Disconnected when the client
        goes; `work` is then cancelled, and not waited for.
        """
        task = asyncio.ensure_future(work)
        gone: asyncio.Task[None] | None = None
        try:
            await asyncio.wait({task}, timeout=_least(_PATIENCE, due))
            if not task.done():
                gone = asyncio.ensure_future(_disconnection(receive))
                await asyncio.wait({task, gone}, timeout=_least(None, due), return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
            if gone is not None and gone.done():
                raise Disconnected
            raise late()
        finally:
            if gone is not None:
                gone.cancel()
            if not task.done():
                self._leave(task)

    def _leave(self, task: asyncio.Task[Any]) -> None:
        task.cancel()
        self._left_behind.add(task)
        task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._left_behind.discard(task)
        if not task.cancelled():
            task.exception()  # its client has been answered


def require_in_time(due: float | None) -> None:
    """Raise `HttpError` with status 504 after the time `due`, in `time.monotonic`."""
    if due is not None and time.monotonic() >= due:
        raise late()


async def _disconnection(receive: Receive) -> None:
    """Return when the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _least(seconds: float | None, due: float | None) -> float | None:
    left = None if due is None else max(0.0, due - time.monotonic())
    return min((each for each in (seconds, left) if each is not None), default=None)
