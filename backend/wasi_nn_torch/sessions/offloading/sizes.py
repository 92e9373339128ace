"""The number of guests that an engine runs at a time for asyncio, and the length of their queue."""

from __future__ import annotations

from typing import Final

from wasi_nn_torch.contract.processors import processors
from wasi_nn_torch.contract.sizes import require_amount
from wasi_nn_torch.sessions.offloading.workers import Workers

#: The most jobs that wait, unless the engine is told another number.
ASYNC_QUEUE: Final = 1000


def guest_workers(threads: int | None, queue: int | None) -> Workers:
    """The workers that run the guests of one engine; `threads` is by default the number of processors, at least 2.

    With more, guests take processors from each other, and from the thread that runs Python: an event loop waits longer.
    Raises ValueError unless there is a thread, and for a negative `queue`; TypeError for what is not a whole number.
    """
    require_amount("`async_threads`", threads)
    require_amount("`async_queue`", queue)
    if threads == 0:
        raise ValueError("`async_threads` is 0; give at least 1, or None for the default")
    return Workers("wasi-nn-guest", threads or max(2, processors()), queue)
