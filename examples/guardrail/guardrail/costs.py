"""What a plug-in has cost so far."""

import math
from collections import Counter, deque
from dataclasses import dataclass, field

from wasi_nn_torch import SessionStats

#: How many of the last calls the percentiles are of.
_RECENT = 1000


@dataclass
class Costs:
    """The figures of one plug-in since it was added; used by the thread of the event loop only.

    `bytes` are those that were copied between the plug-in, the host and its devices, tensors only; `peak_bytes` are
    those of the tensors that one instance held at a time.
    """

    calls: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    bytes: int = 0
    peak_bytes: int = 0
    computes: int = 0
    recent: deque[float] = field(default_factory=lambda: deque(maxlen=_RECENT))

    def add_call(self, seconds: float) -> None:
        self.calls += 1
        self.seconds += seconds
        self.recent.append(seconds)

    def add_session(self, before: SessionStats, after: SessionStats) -> None:
        """Add what one call has moved and computed: the difference of the figures of its session."""
        self.bytes += _moved(after) - _moved(before)
        self.computes += after.memory.computes - before.memory.computes
        self.peak_bytes = max(self.peak_bytes, *(place.peak_bytes for place in after.memory.places.values()), 0)

    def percentile(self, share: float) -> float:
        """The seconds that this share of the recent calls took at most; 0 if there were none."""
        ordered = sorted(self.recent)
        return ordered[math.ceil(share * len(ordered)) - 1] if ordered else 0.0

    def to_dict(self) -> dict[str, object]:
        """These figures for JSON."""
        return {
            "calls": self.calls,
            "verdicts": dict(self.verdicts),
            "failures": dict(self.failures),
            "seconds": self.seconds,
            "p50_seconds": self.percentile(0.5),
            "p99_seconds": self.percentile(0.99),
            "bytes": self.bytes,
            "peak_bytes": self.peak_bytes,
            "computes": self.computes,
        }


def _moved(stats: SessionStats) -> int:
    return sum(transfer.bytes for transfer in stats.memory.transfers.values())
