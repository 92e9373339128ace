"""Computing the requests of several sessions to one graph together; knows neither PyTorch nor guests.

    queue       the requests that wait, and whose turn it is
    company     which sessions are expected back, so that it is worth waiting for them
    schedule    which request leads the next batch, when it is due, and what is in it
    batcher     who computes: one of the callers, for all of them
    figures     what is counted, for each graph and each session
    bell        waking a coroutine that waits, in place of a thread
    context     a context of a session whose computations go through a batcher

No thread is started: of the callers that wait, one computes for all. So a lone session hands nothing over.
"""

from __future__ import annotations

from wasi_nn_torch.serving.batching.batcher import Batcher
from wasi_nn_torch.serving.batching.context import BatchedContext
from wasi_nn_torch.serving.batching.figures import BatchFigures
from wasi_nn_torch.serving.batching.queue import Member

__all__ = ["BatchFigures", "BatchedContext", "Batcher", "Member"]
