"""The bytes of bodies, between a guest, which waits on its thread, and an event loop.

An `Inflow` leads from the event loop to the guest, an `Outflow` from the guest to the event loop. Each holds a limited
number of bytes, so that whoever is fast waits for whoever is slow.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress

from wasi_http_bindings.types import ErrorCode
from wit_host import Signal

from .fields import Entry

#: The bytes that wait for the other side.
_CAPACITY = 1 << 16


class HttpFailure(OSError):
    """Why a body ends too early, which the guest can ask for with `http-error-code`."""

    def __init__(self, code: ErrorCode) -> None:
        super().__init__(0, f"{type(code).__name__.removeprefix('ErrorCode')}")
        self.code = code


class Abandoned(Exception):
    """The guest reads no more of a body, or ends without completing one."""


class _Flow:
    """The bytes that wait, and who waits for them."""

    def __init__(self) -> None:
        self.signal = Signal()
        # One piece: many small ones would take much more memory than their bytes.
        self._content = bytearray()
        self._lock = threading.Lock()
        self._waiter: asyncio.Future[None] | None = None
        self._is_abandoned = False

    async def _changed(self, waiter: asyncio.Future[None]) -> None:
        try:
            await waiter
        finally:
            self._waiter = None

    def _expect(self) -> asyncio.Future[None]:
        """Begin to wait for the guest, on the event loop; the caller holds the lock."""
        self._waiter = asyncio.get_running_loop().create_future()
        return self._waiter

    def _tell_loop(self) -> None:
        """Have the event loop look again; called on the thread of the guest."""
        with self._lock:
            waiter, self._waiter = self._waiter, None
        if waiter is not None:
            with suppress(RuntimeError):  # the event loop is closed, so that nobody waits
                waiter.get_loop().call_soon_threadsafe(_wake, waiter)


class Inflow(_Flow):
    """A body that arrives in an event loop; for the guest it is a `Source`.

    `on_close` is called, on the thread of the guest, when that reads no more.
    """

    def __init__(self, on_close: Callable[[], object] = bool) -> None:
        super().__init__()
        self._on_close = on_close
        self._is_finished = False
        self._failure: HttpFailure | None = None
        self._trailers: tuple[Entry, ...] | None = None

    # --- for the event loop ---

    async def put(self, content: bytes) -> None:
        """Give bytes to the guest, when there is room; raises Abandoned if it reads no more."""
        while True:
            with self._lock:
                if self._is_abandoned:
                    raise Abandoned
                if len(self._content) < _CAPACITY:
                    self._content += content
                    break
                waiter = self._expect()
            await self._changed(waiter)
        self.signal.notify()

    def finish(self, trailers: tuple[Entry, ...] | None = None) -> None:
        """Give nothing more: the guest reads the end after the last byte."""
        self._trailers = trailers
        self._is_finished = True
        self.signal.notify()

    def fail(self, code: ErrorCode) -> None:
        """Have the guest get an error after the last byte; nothing after the end."""
        if not self._is_finished:
            self._failure = HttpFailure(code)
            self.finish()

    # --- for the guest ---

    @property
    def outcome(self) -> HttpFailure | tuple[Entry, ...] | None:
        """The trailers, if there are some, or the failure; meaningful if `is_over`."""
        return self._failure or self._trailers

    @property
    def is_over(self) -> bool:
        """Whether everything has arrived, or will never be read."""
        return self._is_finished or self._is_abandoned

    def left(self) -> float | None:
        """Return 0 if there are bytes, or the end."""
        return 0 if self._content or self.is_over else None

    def take(self, most: int) -> bytes:
        """Return bytes, at most so many; raises EOFError or HttpFailure after the last one.

        The last one may be that before `close`, of a guest that drops a body before its stream.
        """
        with self._lock:
            is_finished = self.is_over
            taken = bytes(self._content[:most])
            del self._content[:most]
        if not taken and is_finished:
            raise self._failure or EOFError
        self._tell_loop()
        return taken

    def close(self) -> None:
        """Read no more."""
        with self._lock:
            self._is_abandoned = True
            self._content.clear()
        self._tell_loop()
        self._on_close()
        self.signal.notify()


class Outflow(_Flow):
    """A body that a guest writes, for whom it is a `Sink`; the event loop sends it."""

    def __init__(self) -> None:
        super().__init__()
        self._is_finished = False
        self._is_unwanted = self._is_discarded = False
        #: The trailers, once it is finished.
        self.trailers: tuple[Entry, ...] = ()

    # --- for the event loop ---

    async def get(self) -> bytes:
        """Return the next bytes, nothing after the last one; raises Abandoned if the guest did not finish."""
        while True:
            with self._lock:
                if self._content:
                    content = bytes(self._content)
                    self._content.clear()
                    break
                if self._is_finished:
                    return b""
                if self._is_abandoned:
                    raise Abandoned
                waiter = self._expect()
            await self._changed(waiter)
        self.signal.notify()
        return content

    def refuse(self) -> None:
        """Take nothing more: what the guest writes fails, since the stream is closed."""
        with self._lock:
            self._is_unwanted = True
            self._content.clear()
        self.signal.notify()

    def discard(self) -> None:
        """Throw away what the guest writes, and what it has written."""
        with self._lock:
            self._is_discarded = True
            self._content.clear()
        self.signal.notify()

    # --- for the guest ---

    @property
    def _is_closed(self) -> bool:
        """Whether nobody wants more bytes, or the guest dropped the body before the stream."""
        return self._is_unwanted or self._is_abandoned

    def left(self) -> float | None:
        """Return 0 if there is room, or nobody wants the bytes."""
        return 0 if len(self._content) < _CAPACITY or self._is_closed else None

    def room(self) -> int:
        """Return how many bytes there is room for; raises EOFError if nobody wants them."""
        if self._is_closed:
            raise EOFError
        return max(0, _CAPACITY - len(self._content))

    def put(self, content: bytes | memoryview) -> None:
        """Take bytes; raises EOFError if nobody wants them."""
        with self._lock:
            if self._is_closed:
                raise EOFError
            if not self._is_discarded:
                self._content += content
        self._tell_loop()

    def is_flushed(self) -> bool:
        """Return whether everything was taken; raises EOFError if nobody wants it."""
        if self._is_closed:
            raise EOFError
        return not self._content

    def close(self) -> None:
        """Do nothing: `finish` and `abandon` end the body."""

    def finish(self, trailers: tuple[Entry, ...]) -> None:
        """The body is complete."""
        self.trailers = trailers
        self._is_finished = True
        self._tell_loop()

    def abandon(self) -> None:
        """The body will never be complete; nothing if it is."""
        self._is_abandoned = True
        self._tell_loop()
        self.signal.notify()


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
