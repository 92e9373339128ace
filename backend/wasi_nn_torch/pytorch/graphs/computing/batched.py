"""A graph whose computations are joined: the rows of several sessions in, for each session its own rows out."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch

from wasi_nn_torch.contract.batching import Request
from wasi_nn_torch.contract.errors import NnError
from wasi_nn_torch.contract.processors import processors
from wasi_nn_torch.contract.tensor import NamedTensor
from wasi_nn_torch.joining import Pending, compute_together, kind_of, require_rows
from wasi_nn_torch.pytorch.adopting import Adopted
from wasi_nn_torch.pytorch.devices import place_of
from wasi_nn_torch.pytorch.graphs.computing.context import (
    ExecutionContext,
    InferenceMode,
    called,
    log_failure,
    spell_inputs,
    take_over,
)
from wasi_nn_torch.pytorch.graphs.computing.failures import as_nn_error
from wasi_nn_torch.pytorch.graphs.computing.graph import Graph
from wasi_nn_torch.pytorch.graphs.computing.state import Model
from wasi_nn_torch.pytorch.graphs.inputs.parameters import Kind, Parameter
from wasi_nn_torch.pytorch.staging import SessionMemory
from wasi_nn_torch.pytorch.tensors import DeviceTensor

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
        given: list[Computation] = [request for request in requests if isinstance(request, Pending)]
        model = self.borrow()
        try:
            if len(given) == 1:
                given[0].compute(lambda part: part.computed(self, model))
                return True
            parameters = given[0].part.parameters
            return compute_together(
                given,
                lambda parts, rows: compute_rows(self, model, parameters, [part.values for part in parts], rows),
            )
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
    return max(1, processors() // torch.get_num_threads()) if device.type == "cpu" else 1


class BatchedContext(ExecutionContext):
    """See `wasi_nn_torch.contract.MakesRequests`; `compute` computes one request without any others."""

    def __init__(self, graph: BatchedGraph, memory: SessionMemory) -> None:
        self._shared = graph
        super().__init__(graph, memory)

    def request(self, inputs: Sequence[NamedTensor]) -> Computation:
        """Check inputs and move them to the device; raises NnError after dropping them, as `compute` does."""
        device = self._graph.device
        part = Values(device, self._memory, self._prepare)
        return Pending(part, inputs, self._memory.ledger, place_of(device))

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


class Values:
    """See `wasi_nn_torch.joining.Part`: the inputs of one computation on its device."""

    __slots__ = ("_adopted", "_device", "_inputs", "_memory", "_prepare", "parameters", "values")

    def __init__(
        self,
        device: torch.device,
        memory: SessionMemory,
        prepare: Callable[[Sequence[NamedTensor], Adopted], tuple[list[Parameter], dict[str, object]]],
    ) -> None:
        self._device = device
        self._memory = memory
        self._prepare = prepare
        # Of several requests, the model gets a copy; of a single one it gets one only if it writes to it.
        self._adopted = Adopted(memory, device, writes=False)
        self._inputs: Sequence[NamedTensor] = ()
        #: The tensors and numbers that the model is called with, by the names of the `parameters`.
        self.parameters: list[Parameter] = []
        self.values: dict[str, object] = {}

    def prepare(self, inputs: Sequence[NamedTensor]) -> tuple[Hashable, int, int]:
        """See `wasi_nn_torch.joining.Part`."""
        self._inputs = inputs  # for the text of a failure
        self.parameters, self.values = self._prepare(inputs, self._adopted)
        kind, rows = kind_of(_described(self.values))
        nbytes = sum(value.nbytes for value in self.values.values() if isinstance(value, torch.Tensor))
        return kind, rows, nbytes

    def computed(self, graph: Graph, model: Model) -> Outputs:
        """Compute them by themselves."""
        values = _copied(self.values) if graph.writes_inputs else self.values
        with InferenceMode(True):
            return called(graph, model, self.parameters, values)

    def outputs(self, made: Outputs) -> list[NamedTensor]:
        """See `wasi_nn_torch.joining.Part`."""
        return take_over(made, self._memory)

    def release(self) -> None:
        """See `wasi_nn_torch.joining.Part`."""
        self.values = {}
        self._adopted.release()

    def drop(self) -> None:
        """See `wasi_nn_torch.joining.Part`."""
        self.values = {}
        self._adopted.drop()

    def failure(self, error: Exception) -> NnError:
        """See `wasi_nn_torch.joining.Part`."""
        log_failure(error)
        return as_nn_error(error, self._device, f"computing {spell_inputs(self._inputs)}")


#: See `wasi_nn_torch.contract.Request`.
Computation = Pending[Values, Outputs]


def _described(values: Mapping[str, object]) -> Iterator[tuple[str, Hashable, Sequence[int] | None]]:
    """Each value with what is the same for all that can be joined with it."""
    for name, value in values.items():
        if isinstance(value, torch.Tensor):
            yield name, value.dtype, value.shape
        else:
            yield name, (type(value), value), None


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


def split(outputs: Outputs, rows: Sequence[int]) -> list[Outputs]:
    """The part of the outputs for each number of rows, in memory of its own; raises NotByRows if they have others."""
    total = sum(rows)
    parts: list[Outputs] = [[] for _ in rows]
    for name, output in outputs:
        require_rows(name, output.shape, total)
        for part, piece in zip(parts, _split_copy(output, list(rows)), strict=True):
            part.append((name, piece))
    return parts


def _copied(values: Mapping[str, object]) -> dict[str, object]:
    return {name: value.clone() if isinstance(value, torch.Tensor) else value for name, value in values.items()}
