"""The clock of an engine: its epoch, advanced while at least one guest runs.

At each tick a guest returns to Python for a moment. Then its deadline is checked, and Python runs the handlers of
signals, so that Ctrl-C ends a guest that loops.
"""

from __future__ import annotations

import _thread
import ctypes
import os
import threading
import time
import weakref
from types import TracebackType

import wasmtime

from ..capi import advance_epoch, unbroken

#: Seconds between two ticks.
INTERVAL = 0.05
#: The most ticks between two checks of a guest.
PATIENCE = 20


class Ticker:
    """Advances the epoch of one engine in `with` blocks; all stores of that engine share it, in any threads.

    It continues in the child of a process that forks.
    """

    def __init__(self, engine: wasmtime.Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        #: The number of blocks that each thread is in.
        self._running: dict[int, int] = {}
        self._is_ticking = False
        _tickers.add(self)

    def __enter__(self) -> None:
        with self._lock:
            thread = threading.get_ident()
            self._running[thread] = self._running.get(thread, 0) + 1
            if not self._is_ticking:
                self._start()

    def __exit__(
        self, kind: type[BaseException] | None, exception: BaseException | None, traceback: TracebackType | None
    ) -> None:
        thread = threading.get_ident()
        with self._lock:
            blocks = self._running.pop(thread) - 1
            if blocks:
                self._running[thread] = blocks

    def advance(self) -> None:
        """Have each guest that runs check its time now, also patient ones, from any thread or handler of signals."""
        advance_epoch(self._engine, PATIENCE)

    def _start(self) -> None:
        # Not by `threading`, which waits for the start of the thread, with locks that an exception would leave locked.
        _thread.start_new_thread(self._tick, (threading.get_ident(),))
        self._is_ticking = True  # afterwards, as starting a thread may fail; two of them do no harm

    @unbroken
    def _tick(self, starter: int) -> None:
        """Tick until no guest runs at the end of an interval, so that many short calls do not start many threads.

        In Python 3.11, a new thread has the identity of the thread that started it until it runs, and gets exceptions
        that are set on that identity. So it passes them on, and the clock continues.
        """
        while True:
            try:
                while self._is_needed():
                    time.sleep(INTERVAL)
                    self._engine.increment_epoch()
                return
            except BaseException as exception:  # noqa: BLE001  # any exception was meant for another thread
                kind = ctypes.py_object(type(exception))
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(starter), kind)

    def _is_needed(self) -> bool:
        with self._lock:
            self._is_ticking = bool(self._running)
            return self._is_ticking

    def go_on_in_child(self) -> None:
        """Continue in the child of a fork, which has only the thread that forked."""
        thread = threading.get_ident()
        self._lock = threading.Lock()  # another thread may have held the old one
        blocks = self._running.get(thread)
        self._running = {} if blocks is None else {thread: blocks}
        self._is_ticking = False
        if self._running:
            self._start()


def _after_fork() -> None:
    for ticker in list(_tickers):
        ticker.go_on_in_child()


_tickers: weakref.WeakSet[Ticker] = weakref.WeakSet()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
