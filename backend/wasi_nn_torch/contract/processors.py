"""The number of processors, which is what computes side by side unless an option says otherwise."""

from __future__ import annotations

import os


def processors() -> int:
    """The number of processors that this process may use, which a container or `taskset` may have limited."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
