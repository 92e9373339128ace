"""What one session did and what it cost, as plain numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from wasi_nn_torch.ledger import LedgerSnapshot


@dataclass(frozen=True)
class SessionStats:
    """Figures of one moment of a session.

    `calls` counts host calls of wasi-nn by function, such as `wasi:nn/tensor@0.2.0-rc-2024-10-28#[method]tensor.data`.
    `transport` is the way in which bytes crossed between guest and host. Times are in seconds of wall-clock time;
    `run_seconds` includes what the guest spent in host calls. `compile_seconds` is what it took to get the guest
    compiled, and `from_cache` says whether it was found in the cache of compiled guests.
    """

    calls: Mapping[str, int]
    transport: str
    memory: LedgerSnapshot
    compile_seconds: float
    from_cache: bool
    run_seconds: float
