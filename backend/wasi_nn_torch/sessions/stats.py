"""Figures of sessions and engines, as plain values that can be copied, pickled and printed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from wasi_nn_torch.contract.ledger import LedgerSnapshot, Transfer, TransferFigures, transfers_to_dict
from wasi_nn_torch.serving.batching import BatchFigures
from wasi_nn_torch.serving.entries import ModelFigures
from wasi_nn_torch.serving.refusals import Refusal


@dataclass(frozen=True)
class SessionStats:
    """Figures of one moment of a session.

    `calls` counts host calls of wasi-nn by function, such as `wasi:nn/tensor@0.2.0-rc-2024-10-28#[method]tensor.data`.
    `transport` is the way in which bytes crossed between guest and host. Times are in seconds of wall-clock time;
    `run_seconds` is the time of `run` or of `start`. `guest_calls` is the number of calls of a guest that was started,
    and `guest_seconds` the time of these calls. Each includes the time of host calls. `compile_seconds` is the time
    that compiling the guest took, or loading it, if it came `from_cache`. `errors` counts the errors that the guest was
    given, by code, such as `invalid-argument`; `last_refusal` is the last of them. `overdue` is 1 if the guest's time
    is over and its caller in asyncio has been answered, but the guest still computes a model, or is in another function
    of the host; otherwise it is 0. `fuel` is what the guest has consumed, if the engine counts it. `batching` has the
    figures of the batches that its requests were part of, by the names of graphs that are batched.
    """

    calls: Mapping[str, int]
    transport: str
    memory: LedgerSnapshot
    compile_seconds: float
    from_cache: bool
    run_seconds: float
    errors: Mapping[str, int] = field(default_factory=dict)
    last_refusal: Refusal | None = None
    guest_calls: int = 0
    guest_seconds: float = 0.0
    overdue: int = 0
    fuel: int = 0
    batching: Mapping[str, BatchFigures] = field(default_factory=dict)

    def to_dict(self) -> dict[str, object]:
        """These figures for JSON, with the names of the fields as keys; for `memory` see `LedgerSnapshot.to_dict`."""
        return {
            "calls": dict(self.calls),
            "transport": self.transport,
            "memory": self.memory.to_dict(),
            "compile_seconds": self.compile_seconds,
            "from_cache": self.from_cache,
            "run_seconds": self.run_seconds,
            "errors": dict(self.errors),
            "last_refusal": None if self.last_refusal is None else asdict(self.last_refusal),
            "guest_calls": self.guest_calls,
            "guest_seconds": self.guest_seconds,
            "overdue": self.overdue,
            "fuel": self.fuel,
            "batching": {name: figures.to_dict() for name, figures in self.batching.items()},
        }


@dataclass(frozen=True)
class EngineStats:
    """Figures of one moment of an engine.

    `opened` is the number of sessions that were made, `running` the number of guests that are running, which are also
    those that were started and whose sessions are not closed. `ended` counts sessions by how their guest ended:
    `success` with exit status 0 or, if it was started, when its session was closed; `failure` with another status;
    `exit` in the middle of a call; `trap`, `timeout`, `cancelled`, `link-error`, `guest-error` for another error of the
    guest, `host-error` for an exception of the host, and `interrupted` for one such as KeyboardInterrupt. `errors`
    counts the errors that guests were given, by code. `errors`, `transfers`, `computes`, `compute_seconds`,
    `guest_calls` and `guest_seconds` are sums over the sessions that have ended. `overdue` is the number of running
    guests whose time is over and whose callers in asyncio have been answered, but that still compute a model, or are in
    another function of the host, so that what they hold is not free yet.
    `guests_compiled` and `guests_from_cache` are the numbers of guests that were compiled and loaded from the cache,
    which took `compile_seconds` together.
    """

    opened: int
    running: int
    overdue: int
    ended: Mapping[str, int]
    errors: Mapping[str, int]
    models: tuple[ModelFigures, ...]
    transfers: Mapping[Transfer, TransferFigures]
    computes: int
    compute_seconds: float
    guests_compiled: int
    guests_from_cache: int
    compile_seconds: float
    guest_calls: int = 0
    guest_seconds: float = 0.0

    def to_dict(self) -> dict[str, object]:
        """These figures for JSON, with the names of the fields as keys; transfers as in `LedgerSnapshot.to_dict`."""
        return {
            "opened": self.opened,
            "running": self.running,
            "overdue": self.overdue,
            "ended": dict(self.ended),
            "errors": dict(self.errors),
            "models": [model.to_dict() for model in self.models],
            "transfers": transfers_to_dict(self.transfers),
            "computes": self.computes,
            "compute_seconds": self.compute_seconds,
            "guests_compiled": self.guests_compiled,
            "guests_from_cache": self.guests_from_cache,
            "compile_seconds": self.compile_seconds,
            "guest_calls": self.guest_calls,
            "guest_seconds": self.guest_seconds,
        }


@dataclass(frozen=True)
class PoolStats:
    """Figures of one moment of a pool.

    `size` is the most instances that there may be; `idle` and `lent` are those that there are, and `waiting` is the
    number of leases that wait for one. `started` and `uses` are the numbers of instances that were started and of
    leases so far. `replaced` counts the instances that were ended for a reason: those of `EngineStats.ended`, such as
    `trap`; `uses` after the most uses; `tenant` to make room for another tenant; `running` if one was still called when
    it was returned. `waits` is the number of leases that had to wait, and `wait_seconds` the time that they waited
    together.
    """

    size: int
    idle: int
    lent: int
    waiting: int
    started: int
    replaced: Mapping[str, int]
    uses: int
    waits: int
    wait_seconds: float

    def to_dict(self) -> dict[str, object]:
        """These figures for JSON, with the names of the fields as keys."""
        return asdict(self)
