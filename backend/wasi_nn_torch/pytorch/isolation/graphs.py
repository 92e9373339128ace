"""Graphs and contexts in a worker, as the host sees them."""

from __future__ import annotations

import errno
import os
import time
import weakref
from collections.abc import Sequence

import torch

from wasi_nn_torch.contract.errors import ErrorCode, NnError
from wasi_nn_torch.contract.tensor import NamedTensor
from wasi_nn_torch.contract.vocabulary import Encoding
from wasi_nn_torch.pytorch.devices import place_of
from wasi_nn_torch.pytorch.isolation.blocks import sealed
from wasi_nn_torch.pytorch.isolation.client import GuestWorker
from wasi_nn_torch.pytorch.isolation.messages import Reader, Request, Writer, read_loaded, read_outputs
from wasi_nn_torch.pytorch.isolation.tensors import SentInputs, outputs_of
from wasi_nn_torch.pytorch.staging import SessionMemory

#: The errors of a system that has too little memory, or lets this process have too little.
_NO_ROOM = (errno.ENOMEM, errno.ENOSPC, errno.EFBIG)


class IsolatedGraph:
    """A guest-supplied model in a worker. It is freed there with the last reference to it and its contexts.

    `nbytes` and `state_nbytes` are those of `Graph`, as the worker reports them.
    """

    def __init__(self, worker: GuestWorker, device: torch.device, number: int, nbytes: int, state_nbytes: int) -> None:
        self.worker = worker
        self.device = device
        self.number = number
        self.nbytes = nbytes
        self.state_nbytes = state_nbytes
        weakref.finalize(self, worker.drop, Request.DROP_GRAPH, number).atexit = False

    def context(self, memory: SessionMemory) -> IsolatedContext:
        """Make a context for the session whose memory this is; raises NnError."""
        place = place_of(self.device)
        memory.ledger.grant(place, self.state_nbytes, "a context")
        number = self.worker.ask(Writer(Request.CONTEXT).number(self.number), _one_number, "making a context")
        context = IsolatedContext(self, number, memory)
        if self.state_nbytes:
            memory.ledger.enter_other(context, place, self.state_nbytes)
        return context


class IsolatedContext:
    """One use of a graph in a worker, with its state: see `wasi_nn_torch.contract.Context`."""

    def __init__(self, graph: IsolatedGraph, number: int, memory: SessionMemory) -> None:
        self._graph = graph
        self._worker = graph.worker
        self._number = number
        self._memory = memory
        weakref.finalize(self, graph.worker.drop, Request.DROP_CONTEXT, number).atexit = False

    def compute(self, inputs: Sequence[NamedTensor]) -> list[NamedTensor]:
        """Run the graph once and return its outputs, which stay in the worker unless they are small.

        The inputs belong to the callee: they are dropped before this returns, whatever the outcome. Raises NnError as
        `ExecutionContext.compute` does, `runtime-error` also if the process ends, and `timeout` if the guest's time is
        over.
        """
        started = time.perf_counter()
        sent = SentInputs(self._worker, self._memory)
        try:
            request = Writer(Request.COMPUTE).number(self._number)
            sent.write(inputs, request)
            outputs = self._worker.ask(request, read_outputs, "computing")
            sent.accept()
        finally:
            sent.close()
            for _, tensor in inputs:
                tensor.drop()
            self._memory.ledger.record_compute(time.perf_counter() - started)
        return outputs_of(outputs, self._worker, place_of(self._graph.device), self._memory)


def load_isolated(
    worker: GuestWorker, model: memoryview, encoding: Encoding, device: torch.device, memory: SessionMemory
) -> IsolatedGraph:
    """Load a guest-supplied model of an encoding in a worker, which checks it first; raises NnError.

    The ledger of the session grants and counts the memory of the model.
    """
    place, ledger = place_of(device), memory.ledger
    descriptor = _copied(model)
    try:
        request = Writer(Request.LOAD).text(encoding.value).text(str(device)).number(model.nbytes)
        number, nbytes, state_nbytes = worker.ask(request, read_loaded, "loading a model", descriptor)
    finally:
        os.close(descriptor)
    graph = IsolatedGraph(worker, device, number, nbytes, state_nbytes)
    try:
        ledger.grant(place, nbytes, "the model")
    except NnError as error:
        refusal = error
    else:
        ledger.enter_other(graph, place, nbytes)
        return graph
    del graph
    raise refusal


def _copied(model: memoryview) -> int:
    """The descriptor of a sealed copy of a model; raises NnError if this host has no room for one."""
    try:
        return sealed(model)
    except OSError as error:
        code = ErrorCode.TOO_LARGE if error.errno in _NO_ROOM else ErrorCode.RUNTIME_ERROR
        reason = f"this host cannot copy a model of {model.nbytes} bytes to the process that loads it: {error.strerror}"
    raise NnError(code, reason)


def _one_number(reader: Reader) -> int:
    number = reader.number()
    reader.end()
    return number
