"""The record of the guest of one session: the calls of it, the time that each may take, and how it ended.

It sees every call of a guest that was started. It refers to no store, since the store refers to it.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from wasi_nn_torch.contract.deadline import Deadline
from wasi_nn_torch.contract.limiting import advice
from wasi_nn_torch.serving.refusals import Refusals
from wasi_nn_torch.serving.serving import Serving
from wasi_nn_torch.sessions.tally import Tally, ending_of
from wit_host import GuestError, GuestTimeout


class GuestRecord:
    """Counts as a running guest from now until `finish`, or until session and guest are gone.

    `deadline` is the end of the guest's time, which is `timeout` seconds for each call. `on_call` is called at the
    beginning of each, on its thread.
    """

    def __init__(
        self,
        serving: Serving,
        deadline: Deadline,
        timeout: float | None,
        tally: Tally,
        on_call: Callable[[], object],
    ) -> None:
        self.calls = 0
        self.seconds = 0.0
        #: How the guest ended, of `ending_of`; None while it can be called.
        self.ended: str | None = None
        self._serving = serving
        self._deadline = deadline
        self._timeout = timeout
        self._tally = tally
        self._on_call = on_call
        self._began = 0.0
        self._is_finished = False
        tally.start_session()

    def begin(self) -> None:
        """Let the time of a call begin."""
        self._on_call()
        self._deadline.start(self._timeout)
        self._began = time.perf_counter()

    def end(self, failure: BaseException | None) -> None:
        """Count a call; a `failure` ends the guest, and everything that it held is dropped."""
        self.seconds += time.perf_counter() - self._began
        self.calls += 1
        if failure is not None:
            self.ended = ending_of(failure)
            explain(failure, self._serving.refusals)
            self._serving.close()
        self._deadline.stop()

    def finish(self, ending: str) -> None:
        """Count the session as ended, with this `ending` unless its guest has ended before; a second call does nothing.

        The statistics of the engine get the figures.
        """
        if self._is_finished:
            return
        self._is_finished = True
        self.ended = self.ended or ending
        self._tally.end_session(self.ended, self._serving, self.calls, self.seconds)

    def __del__(self) -> None:
        if not self._is_finished:  # nobody has closed the session
            self.finish("success")


def explain(failure: BaseException, refusals: Refusals) -> None:
    """Add to the text of a GuestError how to raise the limit on time, and the last error that the guest was given."""
    if isinstance(failure, GuestError):
        text = f"{failure}; {advice('timeout')}" if isinstance(failure, GuestTimeout) else str(failure)
        failure.args = (refusals.explain(text),)
