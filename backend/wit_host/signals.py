"""Signals that arrive while a guest runs on the main thread.

Python runs the handler of a signal wherever it next executes code: here that is the first line of a callback, before
any `try`, where an exception of the handler would be printed and lost. So handlers wait until the guest looks up.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # `signal.getsignal` makes an enum of each answer: ten times slower
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

Handler = Callable[[int, FrameType | None], object]

_NUMBERS = tuple(signal.valid_signals())


class PendingSignals:
    """The handlers that are due."""

    def __init__(self) -> None:
        self._due: deque[tuple[Handler, int]] = deque()

    def run(self) -> None:
        """Run what is due; raises what the handlers raise."""
        while self._due:
            handler, number = self._due.popleft()
            handler(number, None)

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Let handlers wait for `run` during the block; what is due at its end runs then."""
        originals = _handlers() if threading.current_thread() is threading.main_thread() else {}
        replacements = {number: self._replacement(handler) for number, handler in originals.items()}
        for number, replacement in replacements.items():
            signal.signal(number, replacement)
        try:
            yield
        finally:
            for number, handler in originals.items():
                if signal.getsignal(number) is replacements[number]:
                    signal.signal(number, handler)
            self.run()

    def _replacement(self, handler: Handler) -> Handler:
        return lambda number, _frame: self._due.append((handler, number))


def _handlers() -> dict[int, Handler]:
    """The signals that Python code handles."""
    handlers = ((number, _signal.getsignal(number)) for number in _NUMBERS)
    return {number: handler for number, handler in handlers if callable(handler)}
