"""The time that the guest of one session has, for those parts of the host that wait on its behalf."""

from __future__ import annotations

import time

from wasi_nn_torch.contract.errors import ErrorCode, NnError

#: The longest wait between two looks at the time, in seconds.
_SLICE = 0.05


class Deadline:
    """The end of a guest's time, of each call of it. Made without an end; any thread may call its methods."""

    def __init__(self) -> None:
        self._end = float("inf")
        self._is_cancelled = False
        #: How often the guest's time has begun, and whether it begins anew with each call of the guest.
        self.starts, self.restarts = 0, False

    def start(self, timeout: float | None) -> None:
        """Let the guest's time end `timeout` seconds from now; None means never."""
        self.starts += 1
        if timeout is not None:
            self._end = time.monotonic() + timeout

    def stop(self) -> None:
        """Let the guest's time have no end, as it does not run."""
        self._end = float("inf")

    def cancel(self) -> None:
        """Let the guest's time end now."""
        self._is_cancelled = True

    @property
    def left(self) -> float | None:
        """The time that is left, in seconds; None if there is no end."""
        return None if self._end == float("inf") else max(0.0, self._end - time.monotonic())

    def patience(self) -> float:
        """How long to wait before asking again, in seconds; raises NnError `timeout` if the guest's time is over."""
        left = self._end - time.monotonic()
        if self._is_cancelled or left <= 0:
            raise NnError(ErrorCode.TIMEOUT, "the time of this guest is over")
        return min(left, _SLICE)
