"""A thread that runs every few milliseconds, and notes for how long it could not."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Self

_STEP = 0.002


class Pulse:
    """Used in a `with` block; `longest` is the longest time in seconds that other Python code did not run."""

    def __init__(self) -> None:
        self.longest = 0.0
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exception: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ends.set()
        self._thread.join()

    def _run(self) -> None:
        last = time.monotonic()
        while not self._ends.is_set():
            time.sleep(_STEP)
            now = time.monotonic()
            self.longest = max(self.longest, now - last - _STEP)
            last = now
