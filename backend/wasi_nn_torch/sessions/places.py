"""A bounded number of places, given to those who wait for one in the order in which they asked."""

from __future__ import annotations

import threading
import time
from collections import deque
from concurrent.futures import Future


class Places:
    """`size` places, for any number of threads.

    A request is a future, so that it can be awaited as well; its result comes when there is a place for it.
    """

    def __init__(self, size: int) -> None:
        self._lock = threading.Lock()
        self._free = size
        self._requests: deque[Future[None]] = deque()
        self._refusal = ""
        #: The number of requests that had to wait, and the time that they waited.
        self.waits, self.wait_seconds = 0, 0.0

    @property
    def waiting(self) -> int:
        """The number of requests that wait now."""
        return len(self._requests)

    def take(self, timeout: float | None = None) -> bool:
        """Take a place, after waiting `timeout` seconds at the most; return whether there was one.

        Raises RuntimeError if the places are closed.
        """
        request = self.request()
        if request is None:
            return True
        started = time.monotonic()
        try:
            request.result(timeout)
            return True
        except TimeoutError:
            if self.withdraw(request):
                return False
            request.result()  # which came in the meantime
            return True
        except BaseException:
            if not self.withdraw(request) and request.exception() is None:  # it was given one meanwhile
                self.give_back()
            raise
        finally:
            self.count_wait(time.monotonic() - started)

    def request(self) -> Future[None] | None:
        """Ask for a place; None says that it is given at once. Raises RuntimeError if they are closed.

        Whoever does not want it any more calls `withdraw`.
        """
        with self._lock:
            if self._refusal:
                raise RuntimeError(self._refusal)
            if self._free:  # nobody waits, since a place that becomes free is given to those who wait
                self._free -= 1
                return None
            request: Future[None] = Future()
            self._requests.append(request)
            return request

    def withdraw(self, request: Future[None]) -> bool:
        """Stop waiting; return False if the request has its result already, which is a place or an exception."""
        with self._lock:
            try:
                self._requests.remove(request)
            except ValueError:
                return False
            return True

    def count_wait(self, seconds: float) -> None:
        """Count a request that had to wait."""
        with self._lock:
            self.waits += 1
            self.wait_seconds += seconds

    def give_back(self) -> None:
        """Give a place to the first who waits, if anyone does."""
        with self._lock:
            while self._requests:
                request = self._requests.popleft()
                if request.set_running_or_notify_cancel():  # False if it was cancelled instead of withdrawn
                    request.set_result(None)
                    return
            self._free += 1

    def close(self, refusal: str) -> None:
        """Give no more places: those who wait, or ask later, get a RuntimeError with the text `refusal`."""
        with self._lock:
            self._refusal = refusal
            requests, self._requests = self._requests, deque()
        for request in requests:
            if request.set_running_or_notify_cancel():
                request.set_exception(RuntimeError(refusal))
