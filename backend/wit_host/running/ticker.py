"""The clock that makes running guests look up: an engine's epoch, advanced while at least one guest runs.

At each tick a guest comes back to Python for a moment. That is when a deadline is noticed and when Python runs the
handlers of signals, so that Ctrl-C ends a guest that loops.
"""

from __future__ import annotations

import _thread
import ctypes
import os
import threading
import time
import weakref
from collections import Counter
from types import TracebackType

import wasmtime

from ..capi import unbroken

#: Seconds between two ticks.
INTERVAL = 0.05


class Ticker:
    """Advances the epoch of one engine in `with` blocks; shared by the stores of that engine, and used by any thread.

    It goes on in the child of a process that forks.
    """

    def __init__(self, engine: wasmtime.Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        #: How many blocks each thread is in.
        self._running: Counter[int] = Counter()
        self._is_ticking = False
        _tickers.add(self)

    def __enter__(self) -> None:
        with self._lock:
            self._running[threading.get_ident()] += 1
            self._start()

    def __exit__(
        self, kind: type[BaseException] | None, exception: BaseException | None, traceback: TracebackType | None
    ) -> None:
        thread = threading.get_ident()
        with self._lock:
            self._running[thread] -= 1
            if not self._running[thread]:
                del self._running[thread]

    def _start(self) -> None:
        if not self._is_ticking:
            # Not by `threading`, which waits for the thread to begin, under locks that an exception would leave locked.
            _thread.start_new_thread(self._tick, (threading.get_ident(),))
            self._is_ticking = True  # after it, as to start a thread may fail; two of them do no harm

    @unbroken
    def _tick(self, starter: int) -> None:
        """Tick until no guest ran at the end of an interval, so that many short calls do not start many threads.

        In Python 3.11, a thread that has not begun to run still has the identity of the thread that started it, and is
        the first to be found when an exception is set on that identity. So it is passed on, and the clock goes on.
        """
        while True:
            try:
                while self._is_needed():
                    time.sleep(INTERVAL)
                    self._engine.increment_epoch()
                return
            except BaseException as exception:  # noqa: BLE001  # whatever it is, it was for another thread
                kind = ctypes.py_object(type(exception))
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(starter), kind)

    def _is_needed(self) -> bool:
        with self._lock:
            self._is_ticking = bool(self._running)
            return self._is_ticking

    def go_on_in_child(self) -> None:
        """Of the threads of the parent, the child has only the one that forked."""
        thread = threading.get_ident()
        self._lock = threading.Lock()  # another thread may have held the old one
        self._running = Counter({thread: self._running[thread]} if self._running[thread] else {})
        self._is_ticking = False
        if self._running:
            self._start()


def _after_fork() -> None:
    for ticker in list(_tickers):
        ticker.go_on_in_child()


_tickers: weakref.WeakSet[Ticker] = weakref.WeakSet()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
