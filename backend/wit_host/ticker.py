"""The clock that makes running guests look up: an engine's epoch, advanced while at least one guest runs.

At each tick a guest comes back to Python for a moment. That is when a deadline is noticed and when Python runs the
handlers of signals, so that Ctrl-C ends a guest that loops.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import wasmtime

#: Seconds between two ticks.
INTERVAL = 0.05


class Ticker:
    """Advances the epoch of one engine; shared by the stores of that engine."""

    def __init__(self, engine: wasmtime.Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._running = 0
        self._stop = threading.Event()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Tick while the block runs."""
        with self._lock:
            self._running += 1
            if self._running == 1:
                self._stop = threading.Event()
                threading.Thread(
                    target=_tick, args=(self._engine, self._stop), name="wit-host-ticker", daemon=True
                ).start()
        try:
            yield
        finally:
            with self._lock:
                self._running -= 1
                if self._running == 0:
                    self._stop.set()


def _tick(engine: wasmtime.Engine, stop: threading.Event) -> None:
    while not stop.wait(INTERVAL):
        engine.increment_epoch()
