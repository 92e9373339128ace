"""The clock that makes running guests look up: an engine's epoch, advanced while at least one guest runs.

At each tick a guest comes back to Python for a moment. That is when a deadline is noticed and when Python runs the
handlers of signals, so that Ctrl-C ends a guest that loops.
"""

from __future__ import annotations

import threading
import time
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
        self._is_ticking = False

    @contextmanager
    def running(self) -> Iterator[None]:
        """Tick while the block runs."""
        with self._lock:
            self._running += 1
            if not self._is_ticking:
                self._is_ticking = True
                threading.Thread(target=self._tick, name="wit-host-ticker", daemon=True).start()
        try:
            yield
        finally:
            with self._lock:
                self._running -= 1

    def _tick(self) -> None:
        """Tick until no guest ran at the end of an interval, so that many short calls do not start many threads."""
        while self._is_needed():
            time.sleep(INTERVAL)
            self._engine.increment_epoch()

    def _is_needed(self) -> bool:
        with self._lock:
            self._is_ticking = self._running > 0
            return self._is_ticking
