"""The time to start an instance of a pipeline, as the server does for a new tenant."""

from __future__ import annotations

import statistics
import time

from benchmarks.serving.cases import RESIZE, Mean
from wasi_nn_bindings.pipeline_v0_1_0 import Guest
from wasi_nn_torch import Engine, Limits

_TIMES = 300


def seconds_to_start() -> float:
    """The median of the times to make a session for the pipeline in C, and to start it in there."""
    limits = Limits(memory=256 << 20, timeout=30.0)
    taken = []
    with Engine("cpu", guest_models="none") as engine:
        engine.register("net", Mean())
        guest = engine.compile(RESIZE)
        for _ in range(_TIMES):
            began = time.perf_counter()
            session = engine.session(stdin=b"", stdout=bytes, stderr=bytes, limits=limits)
            with session:
                session.start(guest, Guest)
                taken.append(time.perf_counter() - began)
    return statistics.median(taken)
