"""A context whose computations go through a batcher, unless its session has no company."""

from __future__ import annotations

from collections.abc import Sequence

from wasi_nn_torch.contract.batching import MakesRequests
from wasi_nn_torch.contract.deadline import Deadline
from wasi_nn_torch.contract.errors import NnError
from wasi_nn_torch.contract.tensor import NamedTensor
from wasi_nn_torch.serving.batching.batcher import Batcher, OnThread
from wasi_nn_torch.serving.batching.queue import Entry, Member


class BatchedContext:
    """See `wasi_nn_torch.contract.Context`; `deadline` is the end of the guest's time."""

    def __init__(self, context: MakesRequests, batcher: Batcher, member: Member, deadline: Deadline) -> None:
        self._context = context
        self._batcher = batcher
        self._member = member
        self._deadline = deadline

    def compute(self, inputs: Sequence[NamedTensor]) -> list[NamedTensor]:
        """Compute once, together with others or not; raises NnError as `Context.compute` does.

        That is also `timeout` if the guest's time ends while it waits, and `runtime-error` if the queue is full.
        """
        batcher, member = self._batcher, self._member
        rows = _rows(inputs)
        try:
            if batcher.enter(self, member):
                return self._context.compute(inputs)
        finally:
            batcher.leave(self, member, rows)
        return self._compute_in_company(inputs)

    async def compute_async(self, inputs: Sequence[NamedTensor], on_thread: OnThread) -> list[NamedTensor]:
        """Do the same in an event loop, which checks the inputs and takes the outputs; `on_thread` computes.

        If the task is cancelled, this ends when the request is not computed any more.
        """
        from wasi_nn_torch.serving.batching.bell import Bell

        self._require_room(inputs)
        bell = Bell()
        request = self._context.request(inputs)
        entry = Entry(self._member, request, bell)
        try:
            await self._batcher.compute_async(entry, bell, self._deadline, on_thread)
            return request.outputs()
        finally:
            request.drop()
            self._batcher.wake_next(entry)

    def _require_room(self, inputs: Sequence[NamedTensor]) -> None:
        try:
            self._batcher.require_room(self._member)
        except NnError:
            _drop_all(inputs)
            raise

    def _compute_in_company(self, inputs: Sequence[NamedTensor]) -> list[NamedTensor]:
        self._require_room(inputs)
        request = self._context.request(inputs)
        entry = Entry(self._member, request)
        try:
            self._batcher.compute(entry, self._deadline)
            return request.outputs()
        finally:
            request.drop()
            self._batcher.wake_next(entry)


def _rows(inputs: Sequence[NamedTensor]) -> int:
    return inputs[0][1].dimensions[0] if inputs and inputs[0][1].dimensions else 1


def _drop_all(inputs: Sequence[NamedTensor]) -> None:
    for _, tensor in inputs:
        tensor.drop()
