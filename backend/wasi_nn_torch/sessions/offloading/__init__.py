"""Running guests in worker threads while an event loop of asyncio awaits them.

    workers     a bounded number of threads, with a bounded queue
    jobs        functions that are run once on such a thread
    answers     the coroutine that awaits a job: cancelling, and deadlines
    lanes       the jobs of one session, one at a time
    pulse       how threads notice that an event loop is late, and let it go first
    sizes       the numbers of threads and of waiting jobs of an engine

Nothing here knows sessions or guests: a job is a function, and `Guest` is what can be done to a guest from outside.
"""

from __future__ import annotations

from wasi_nn_torch.sessions.offloading.jobs import Guest
from wasi_nn_torch.sessions.offloading.lanes import Lane
from wasi_nn_torch.sessions.offloading.sizes import ASYNC_QUEUE, guest_workers
from wasi_nn_torch.sessions.offloading.workers import EngineBusy, Workers

__all__ = ["ASYNC_QUEUE", "EngineBusy", "Guest", "Lane", "Workers", "guest_workers"]
