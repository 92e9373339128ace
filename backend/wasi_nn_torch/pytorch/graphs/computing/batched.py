"""A graph whose computations are joined: the rows of several sessions in, for each session its own rows out."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field

import torch

from wasi_nn_torch.contract.batching import Request
from wasi_nn_torch.contract.errors import NnError
from wasi_nn_torch.contract.frames import release_frames
from wasi_nn_torch.contract.tensor import NamedTensor
from wasi_nn_torch.contract.text import quote
from wasi_nn_torch.pytorch.adopting import Adopted
from wasi_nn_torch.pytorch.devices import place_of
from wasi_nn_torch.pytorch.graphs.computing.context import (
    ExecutionContext,
    InferenceMode,
    called,
    drop_all,
    log_failure,
    spell_inputs,
    take_over,
)
from wasi_nn_torch.pytorch.graphs.computing.failures import as_nn_error
from wasi_nn_torch.pytorch.graphs.computing.graph import Graph
from wasi_nn_torch.pytorch.graphs.computing.state import Model
from wasi_nn_torch.pytorch.graphs.inputs.parameters import Kind, Parameter
from wasi_nn_torch.pytorch.staging import SessionMemory
from wasi_nn_torch.pytorch.tensors import DeviceTensor, spell_dimensions

logger = logging.getLogger(__name__)

#: Splits along dimension 0, with memory of its own for each part; PyTorch declares only its other form, with `out`.
_split_copy: Callable[[torch.Tensor, list[int]], Sequence[torch.Tensor]] = torch.split_with_sizes_copy  # type: ignore[assignment]
#: The outputs of a model, by name.
Outputs = list[tuple[str, torch.Tensor]]


@dataclass(frozen=True, eq=False)
class BatchedGraph(Graph):
    """See `wasi_nn_torch.contract.JoinsRequests`; its model keeps no state, as was tried or is vouched for.

    So contexts share instances of it: as many as compute at a time, because a model may write to its own attributes. If
    there is only one instance, because the code of the model cannot do that, it `is_shared` by all.
    """

    lanes: int = 1
    is_shared: bool = False
    _idle: list[Model] = field(default_factory=list)

    def context(self, memory: SessionMemory) -> BatchedContext:
        """Make a context for the session whose memory this is; raises NnError `too-large`."""
        return BatchedContext(self, memory)

    def compute_together(self, requests: Sequence[Request]) -> bool:
        """See `wasi_nn_torch.contract.JoinsRequests`."""
        given = [request for request in requests if isinstance(request, Computation)]
        model = self.borrow()
        try:
            if len(given) == 1:
                given[0].compute(self, model)
                return True
            return _compute_together(self, model, given)
        finally:
            self.give_back(model)

    def borrow(self) -> Model:
        """An instance of the model that nobody else uses until `give_back`."""
        try:
            return self._idle.pop()
        except IndexError:  # all are in use
            return self.instance()

    def give_back(self, model: Model) -> None:
        """Let others use an instance."""
        self._idle.append(model)


def lanes_on(device: torch.device) -> int:
    """The number of computations that a device has processors for at a time."""
    return max(1, (os.cpu_count() or 1) // torch.get_num_threads()) if device.type == "cpu" else 1


class BatchedContext(ExecutionContext):
    """See `wasi_nn_torch.contract.MakesRequests`; `compute` computes one request without any others."""

    def __init__(self, graph: BatchedGraph, memory: SessionMemory) -> None:
        self._shared = graph
        super().__init__(graph, memory)

    def request(self, inputs: Sequence[NamedTensor]) -> Computation:
        """Check inputs and move them to the device; raises NnError after dropping them, as `compute` does."""
        return Computation(inputs, self._graph.device, self._memory, self._prepare)

    def _prepare(self, inputs: Sequence[NamedTensor], adopted: Adopted) -> tuple[list[Parameter], dict[str, object]]:
        parameters = self._match([name for name, _ in inputs])
        for name, tensor in inputs:
            tensor.require_fit(name)
        own: list[tuple[str, DeviceTensor]] = [
            (name, adopted.adopt(tensor, name, parameter.kind is Kind.TENSOR))
            for parameter, (name, tensor) in zip(parameters, inputs, strict=True)
        ]
        return parameters, self._values(parameters, own)

    def _new_model(self) -> Model:
        shared = self._shared
        if shared.is_shared:
            return shared.instance()

        def lent(**arguments: object) -> object:
            model = shared.borrow()
            try:
                return model(**arguments)
            finally:
                shared.give_back(model)

        return lent


class Computation:
    """See `wasi_nn_torch.contract.Request`."""

    __slots__ = (
        "_adopted",
        "_device",
        "_failure",
        "_held",
        "_inputs",
        "_memory",
        "_outputs",
        "_started",
        "kind",
        "parameters",
        "rows",
        "values",
    )

    def __init__(
        self,
        inputs: Sequence[NamedTensor],
        device: torch.device,
        memory: SessionMemory,
        prepare: Callable[[Sequence[NamedTensor], Adopted], tuple[list[Parameter], dict[str, object]]],
    ) -> None:
        self._started = time.perf_counter()
        self._inputs = inputs
        self._device = device
        self._memory = memory
        # Of several requests, the model gets a copy; of a single one it gets one only if it writes to it.
        self._adopted: Adopted | None = Adopted(memory, device, writes=False)
        self._outputs: Outputs | None = None
        self._failure: NnError | None = None
        #: The bytes that the session has in the inputs of the batch, which are copies.
        self._held = 0
        #: The tensors and numbers that the model is called with, by the names of the `parameters`.
        self.parameters: list[Parameter] = []
        self.values: dict[str, object] = {}
        try:
            self.parameters, self.values = prepare(inputs, self._adopted)
        except Exception as error:  # noqa: BLE001  # as for a computation
            self._fail(error)
        if self._failure is not None:
            self.drop()
            raise self._failure
        #: See `wasi_nn_torch.contract.Request`.
        self.kind, self.rows = _kind_of(self.values)
        if self.kind is not None:
            self._hold_copy()

    @property
    def has_failed(self) -> bool:
        """See `wasi_nn_torch.contract.Request`."""
        return self._failure is not None

    def compute(self, graph: Graph, model: Model) -> None:
        """Compute it by itself."""
        try:
            values = _copied(self.values) if graph.writes_inputs else self.values
            with InferenceMode(True):
                self._outputs = called(graph, model, self.parameters, values)
        except Exception as error:  # noqa: BLE001  # a model may raise anything
            self._fail(error)

    def keep(self, outputs: Outputs) -> None:
        """Take its part of the outputs of several."""
        self._outputs = outputs

    def outputs(self) -> list[NamedTensor]:
        """See `wasi_nn_torch.contract.Request`."""
        outputs, self._outputs = self._outputs, None
        failure, self._failure = self._failure, None
        if failure is None and outputs is not None:
            self._release()
            try:
                return take_over(outputs, self._memory)
            except Exception as error:  # noqa: BLE001  # as for a computation
                self._fail(error)
                failure, self._failure = self._failure, None
        if failure is None:
            raise RuntimeError("this request was not computed, or its outputs were fetched before")
        try:
            raise failure
        finally:
            del failure  # or else the exception and this frame would keep each other alive

    def drop(self) -> None:
        """See `wasi_nn_torch.contract.Request`."""
        adopted, self._adopted = self._adopted, None
        if adopted is None:
            return
        self._outputs = None
        self.values = {}
        adopted.drop()
        drop_all(self._inputs)
        ledger = self._memory.ledger
        if self._held:
            ledger.release(place_of(self._device), self._held)
        ledger.record_compute(time.perf_counter() - self._started)

    def _release(self) -> None:
        """Drop the inputs that outputs may take over."""
        self.values = {}
        if self._adopted is not None:
            self._adopted.release()

    def _hold_copy(self) -> None:
        """Count the copy of the inputs as the session's; if it has no room for it, the request is computed alone."""
        place = place_of(self._device)
        nbytes = sum(value.nbytes for value in self.values.values() if isinstance(value, torch.Tensor))
        try:
            self._memory.ledger.grant(place, nbytes, "the copy of inputs that are joined")
        except NnError:
            self.kind = None
            return
        self._memory.ledger.hold(place, nbytes)
        self._held = nbytes

    def _fail(self, error: Exception) -> None:
        log_failure(error)
        self._failure = as_nn_error(error, self._device, f"computing {spell_inputs(self._inputs)}")
        release_frames(error)


def _kind_of(values: Mapping[str, object]) -> tuple[Hashable, int]:
    """What requests that can be joined have in common, and the rows; None if there are no rows."""
    rows = -1
    kind: list[object] = []
    for name, value in values.items():
        if isinstance(value, torch.Tensor):
            shape = value.shape
            if not shape or (shape[0] != rows and rows >= 0):
                return None, 1
            rows = shape[0]
            kind += (name, value.dtype, shape[1:])
        else:
            kind += (name, type(value), value)
    return (tuple(kind), rows) if rows > 0 else (None, 1)


def _compute_together(graph: Graph, model: Model, requests: Sequence[Computation]) -> bool:
    values, rows = [request.values for request in requests], [request.rows for request in requests]
    try:
        parts = compute_rows(graph, model, requests[0].parameters, values, rows)
    except Exception as error:  # noqa: BLE001  # a model may raise anything
        logger.debug("the computation of %d rows together failed", sum(rows))
        log_failure(error)
        release_frames(error)
        return False
    except BaseException as interruption:  # which may be kept by whoever gets it, with tensors of others
        release_frames(interruption)
        raise
    for request, part in zip(requests, parts, strict=True):
        request.keep(part)
    return True


def compute_rows(
    graph: Graph,
    model: Model,
    parameters: Sequence[Parameter],
    values: Sequence[Mapping[str, object]],
    rows: Sequence[int],
) -> list[Outputs]:
    """Join the values of several computations, of so many `rows`, call the model once, and split its outputs."""
    with InferenceMode(True):
        return split(called(graph, model, parameters, joined(values)), rows)


def joined(requests: Sequence[Mapping[str, object]]) -> dict[str, object]:
    """The tensors of all requests one below the other, and the numbers, which are the same for all."""
    values = dict(requests[0])
    for name, value in values.items():
        if isinstance(value, torch.Tensor):
            values[name] = torch.cat([request[name] for request in requests])  # type: ignore[misc]  # of one kind
    return values


class NotByRows(Exception):
    """An output that does not have the rows of the inputs in dimension 0."""


def split(outputs: Outputs, rows: Sequence[int]) -> list[Outputs]:
    """The part of the outputs for each number of rows, in memory of its own; raises NotByRows if they have others."""
    total = sum(rows)
    parts: list[Outputs] = [[] for _ in rows]
    for name, output in outputs:
        if not output.shape or output.shape[0] != total:
            text = f"its output {quote(name)} is {spell_dimensions(output.shape)} for {total} rows of the inputs"
            raise NotByRows(f"{text}, which must be in dimension 0 of outputs, too")
        for part, piece in zip(parts, _split_copy(output, list(rows)), strict=True):
            part.append((name, piece))
    return parts


def _copied(values: Mapping[str, object]) -> dict[str, object]:
    return {name: value.clone() if isinstance(value, torch.Tensor) else value for name, value in values.items()}
