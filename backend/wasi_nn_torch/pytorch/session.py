"""PyTorch's part of one session: its memory, the tensors of its guest, and the models that its guest supplies."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from wasi_nn_torch.contract.elements import Elements
from wasi_nn_torch.contract.errors import ErrorCode, NnError
from wasi_nn_torch.contract.ledger import Ledger
from wasi_nn_torch.contract.tensor import Tensor, TensorSource
from wasi_nn_torch.contract.vocabulary import ElementType, Encoding, ExecutionTarget
from wasi_nn_torch.pytorch import exchanging
from wasi_nn_torch.pytorch.devices import CPU, Devices, place_of
from wasi_nn_torch.pytorch.graphs import ExecutionContext, Graph, load_from_guest
from wasi_nn_torch.pytorch.isolation.client import GuestWorker, Isolation
from wasi_nn_torch.pytorch.isolation.graphs import IsolatedContext, IsolatedGraph, load_isolated
from wasi_nn_torch.pytorch.isolation.messages import INLINE
from wasi_nn_torch.pytorch.staging import SessionMemory
from wasi_nn_torch.pytorch.tensors import DeviceTensor

#: The most processes that a session gets for its models, one after another, since each may end in a crash.
_MOST_WORKERS = 16


class PyTorchSession:
    """See `wasi_nn_torch.contract.BackendSession`.

    `isolation` is for guest-supplied models; without it they are loaded in this process, if they pass the check or
    `checks` is False.
    """

    def __init__(
        self, ledger: Ledger, devices: Devices, pinned: bool, checks: bool, isolation: Isolation | None = None
    ) -> None:
        self.memory = SessionMemory.of(ledger, pinned)
        self._devices = devices
        self._checks = checks
        self._isolation = isolation
        self._worker: GuestWorker | None = None
        self._workers_started = 0

    @property
    def idle_bytes(self) -> int:
        """The staging memory that is kept for the next tensors, in bytes."""
        return self.memory.staging.nbytes

    def tensor(self, dimensions: Sequence[int], dtype: ElementType, data: memoryview) -> DeviceTensor:
        """Make a tensor in staging memory: see `DeviceTensor.from_guest`."""
        return DeviceTensor.from_guest(dimensions, dtype, data, self.memory)

    def wrap(self, source: TensorSource | Elements, dimensions: Sequence[int] | None, dtype: object) -> DeviceTensor:
        """Make a tensor of the operator's: see `wasi_nn_torch.contract.ExchangesTensors`."""
        return exchanging.wrap(source, dimensions, dtype, self.memory)

    def take(self, tensor: Tensor) -> torch.Tensor:
        """Take a tensor out of the session: see `wasi_nn_torch.contract.ExchangesTensors`."""
        return exchanging.take(tensor, self.memory)

    def elements(self, tensor: Tensor) -> Elements:
        """Take the elements of a tensor out of the session: see `wasi_nn_torch.contract.ExchangesTensors`."""
        return exchanging.elements(tensor, self.memory)

    def load(self, builders: Sequence[memoryview], target: ExecutionTarget) -> Graph | IsolatedGraph:
        """Load a guest-supplied model, which is one builder.

        Raises NnError: `security` if the model is not vetted, `invalid-encoding` if it is not a PyTorch model,
        `invalid-argument` for another number of builders, `unsupported-operation` for a target that this host does not
        have, `too-large` if memory or the session's limit does not suffice.
        """
        if self._isolation is not None:
            return self.load_isolated(Encoding.PYTORCH, builders, target)
        _require_one(builders)
        device = self._devices.for_target(target)
        place, ledger = place_of(device), self.memory.ledger
        ledger.grant(place, builders[0].nbytes, "the model")
        # Of a copy, so that the bytes that are checked are those that are loaded.
        graph = load_from_guest(bytes(builders[0]), device, self._checks)
        ledger.grant(place, graph.nbytes, "the model")
        ledger.enter_other(graph, place, graph.nbytes)
        return graph

    def load_isolated(
        self, encoding: Encoding, builders: Sequence[memoryview], target: ExecutionTarget
    ) -> IsolatedGraph:
        """Load a guest-supplied model in a worker: see `wasi_nn_torch.contract.IsolatesModels`."""
        _require_one(builders)
        device = self._devices.for_target(target)
        if self._isolation is None:
            raise RuntimeError("this session does not isolate models")
        self._isolation.require(device)
        if encoding is not Encoding.PYTORCH and device != CPU:
            raise NnError(
                ErrorCode.UNSUPPORTED_OPERATION,
                f"this host computes guest-supplied models of the encoding {encoding.value} on the CPU; ask for the "
                "target cpu",
            )
        self.memory.ledger.grant(place_of(device), builders[0].nbytes, "the model")
        return load_isolated(self._running(self._isolation), builders[0], encoding, device, self.memory)

    def context(self, graph: Graph | IsolatedGraph) -> ExecutionContext | IsolatedContext:
        """Make a context for a graph; raises NnError `too-large` if memory does not suffice."""
        return graph.context(self.memory)

    def close(self) -> None:
        """Free the staging memory that is kept, and end the worker with everything in it."""
        self.memory.staging.clear()
        if self._worker is not None:
            self._worker.end()

    def _running(self, isolation: Isolation) -> GuestWorker:
        """The worker of this session, or another one if it has ended."""
        if self._worker is None or self._worker.has_ended:
            if self._workers_started == _MOST_WORKERS:
                raise NnError(
                    ErrorCode.RUNTIME_ERROR,
                    f"the models that this guest supplied have ended {_MOST_WORKERS} processes; it may load no more",
                )
            self._workers_started += 1
            self._worker = isolation.start(self.memory.ledger)
            self.memory.staging.share(self._worker.allocate, INLINE + 1)
        return self._worker


def _require_one(builders: Sequence[memoryview]) -> None:
    if len(builders) != 1:
        raise NnError(ErrorCode.INVALID_ARGUMENT, f"a model is one builder, a file's bytes; {len(builders)} were given")
