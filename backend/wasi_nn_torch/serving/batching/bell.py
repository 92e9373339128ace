"""Waking a coroutine, from any thread."""

from __future__ import annotations

import asyncio
from contextlib import suppress


class Bell:
    """See `queue.Gate`; one coroutine of the running event loop waits for it."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._has_rung = asyncio.Event()
        self._is_rung = False

    def locked(self) -> bool:
        """Whether it has to be rung for the coroutine to go on."""
        return not self._is_rung

    def release(self) -> None:
        """Ring."""
        self._is_rung = True
        if asyncio._get_running_loop() is self._loop:
            self._has_rung.set()
        else:
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._has_rung.set)

    async def wait(self, seconds: float) -> None:
        """Return when it was rung, or after some seconds."""
        timer = self._loop.call_later(seconds, self._has_rung.set)
        try:
            await self._has_rung.wait()
        finally:
            timer.cancel()
            self._has_rung.clear()
            self._is_rung = False
