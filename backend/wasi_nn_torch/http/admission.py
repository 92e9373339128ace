"""Admission to a model: how many requests it works on at a time, and how many wait for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from wasi_nn_torch.contract.text import quote
from wasi_nn_torch.http.errors import busy


class Gate:
    """Lets `concurrency` requests in at a time, in the order of their arrival, while at most `max_waiting` others wait.

    `waited` is called with the seconds that each one waited.
    """

    def __init__(self, name: str, concurrency: int, max_waiting: int, waited: Callable[[float], object] = bool) -> None:
        self._name = name
        self._max_waiting = max_waiting
        self._waited = waited
        self._places = asyncio.Semaphore(concurrency)
        self.waiting = 0
        self.running = 0

    def require_room(self) -> None:
        """Raise `HttpError` with status 503 if as many requests wait as may."""
        if self._places.locked() and self.waiting >= self._max_waiting:
            raise busy(f"too many requests wait for {quote(self._name)}; try again later")

    def pass_now(self) -> bool:
        """Whether a request may be worked on, without a place, by a caller who does not return until that is done."""
        if self._places.locked() or self.waiting:
            return False
        self._waited(0.0)
        return True

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """A place for the time of the block; raises as `require_room` does."""
        self.require_room()
        started = time.perf_counter()
        self.waiting += 1
        try:
            await self._places.acquire()
        finally:
            self.waiting -= 1
        self._waited(time.perf_counter() - started)
        self.running += 1
        try:
            yield
        finally:
            self.running -= 1
            self._places.release()
