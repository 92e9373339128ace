"""The sums of the figures of an engine's sessions, counted in any number of threads."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict

from wasi_nn_torch.contract.forks import renew_in_child
from wasi_nn_torch.contract.ledger import Transfer, TransferFigures
from wasi_nn_torch.serving.entries import ModelFigures
from wasi_nn_torch.serving.serving import Serving
from wasi_nn_torch.sessions.stats import EngineStats
from wit_host import GuestCancelled, GuestError, GuestExit, GuestTimeout, GuestTrap, LinkError

_ENDINGS: tuple[tuple[type[BaseException], str], ...] = (
    (GuestTrap, "trap"),
    (GuestTimeout, "timeout"),
    (GuestCancelled, "cancelled"),
    (GuestExit, "exit"),
    (LinkError, "link-error"),
    (GuestError, "guest-error"),
    (Exception, "host-error"),
)


def ending_of(outcome: int | BaseException) -> str:
    """The name for how a session ended, from its guest's exit status or the exception that was raised."""
    if isinstance(outcome, int):
        return "failure" if outcome else "success"
    return next((name for kind, name in _ENDINGS if isinstance(outcome, kind)), "interrupted")


class Tally:
    """The sums over the sessions of one engine."""

    def __init__(self) -> None:
        # The garbage collector can end a session that was not closed during any operation of the same thread.
        self._lock = threading.RLock()
        renew_in_child(self, "_lock", threading.RLock)
        self._opened = self._running = self._computes = self._guest_calls = 0
        self._compute_seconds = self._compile_seconds = self._guest_seconds = 0.0
        self._ended: Counter[str] = Counter()
        self._errors: Counter[str] = Counter()
        self._guests: Counter[bool] = Counter()
        self._transfers: dict[Transfer, TransferFigures] = defaultdict(TransferFigures)

    def add_guest(self, from_cache: bool, seconds: float) -> None:
        """Count a guest that was compiled or loaded from the cache."""
        with self._lock:
            self._guests[from_cache] += 1
            self._compile_seconds += seconds

    def open_session(self) -> None:
        """Count a session that was made."""
        with self._lock:
            self._opened += 1

    def start_session(self) -> None:
        """Count a guest that starts to run."""
        with self._lock:
            self._running += 1

    def end_session(self, ending: str, serving: Serving, calls: int = 0, seconds: float = 0.0) -> None:
        """Count a guest that has stopped, by its ending, of `ending_of`, and the figures of its session.

        `calls` and `seconds` are the number and the time of its calls, if it was started.
        """
        memory = serving.snapshot() if serving.was_used else None
        with self._lock:
            self._running -= 1
            self._ended[ending] += 1
            if serving.refusals.last is not None:
                self._errors.update(serving.refusals.counts)
            self._guest_calls += calls
            self._guest_seconds += seconds
            if memory is None:
                return
            self._computes += memory.computes
            self._compute_seconds += memory.compute_seconds
            for way, made in memory.transfers.items():
                if not made.copies:
                    continue
                before = self._transfers[way]
                self._transfers[way] = TransferFigures(before.copies + made.copies, before.bytes + made.bytes)

    def stats(self, models: tuple[ModelFigures, ...], overdue: int = 0) -> EngineStats:
        """The figures of this moment, with those of the models, and the number of guests that are overdue."""
        with self._lock:
            return EngineStats(
                opened=self._opened,
                running=self._running,
                overdue=overdue,
                ended=dict(self._ended),
                errors=dict(self._errors),
                models=models,
                transfers={way: self._transfers[way] for way in Transfer},
                computes=self._computes,
                compute_seconds=self._compute_seconds,
                guests_compiled=self._guests[False],
                guests_from_cache=self._guests[True],
                compile_seconds=self._compile_seconds,
                guest_calls=self._guest_calls,
                guest_seconds=self._guest_seconds,
            )
