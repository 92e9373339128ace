"""A graph whose computations are joined: the rows of several sessions in, for each session its own rows out."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from onnxruntime import OrtValue

from wasi_nn_torch.contract.batching import Request
from wasi_nn_torch.contract.errors import NnError
from wasi_nn_torch.contract.tensor import NamedTensor
from wasi_nn_torch.joining import Pending, compute_together, kind_of, require_rows
from wasi_nn_torch.onnx.context import OnnxContext, called, spell_inputs, taken_over
from wasi_nn_torch.onnx.failures import as_nn_error
from wasi_nn_torch.onnx.graph import OnnxGraph
from wasi_nn_torch.onnx.signature import Value
from wasi_nn_torch.onnx.tensors import new_value
from wit_host import copy_to_address, view_memory

if TYPE_CHECKING:
    from wasi_nn_torch.onnx.session import OnnxSession

#: The values of a model's inputs, by name, in the model's own order.
Inputs = Mapping[str, OrtValue]


@dataclass(frozen=True, eq=False)
class BatchedOnnxGraph(OnnxGraph):
    """See `wasi_nn_torch.contract.JoinsRequests`; on the CPU only."""

    lanes: int = 1

    def context(self, session: OnnxSession) -> BatchedOnnxContext:
        """Make a context for a session."""
        return BatchedOnnxContext(self, session)

    def compute_together(self, requests: Sequence[Request]) -> bool:
        """See `wasi_nn_torch.contract.JoinsRequests`."""
        given: list[Computation] = [request for request in requests if isinstance(request, Pending)]
        if len(given) > 1:
            return compute_together(
                given, lambda parts, rows: compute_rows(self, [part.values for part in parts], rows)
            )
        given[0].compute(lambda part: part.computed())
        return True


class BatchedOnnxContext(OnnxContext):
    """See `wasi_nn_torch.contract.MakesRequests`; `compute` computes one request without any others."""

    def request(self, inputs: Sequence[NamedTensor]) -> Computation:
        """Check inputs; raises NnError after dropping them, as `compute` does."""
        return Pending(Part(self), inputs, self.session.ledger, self.graph.device.place)


@dataclass(frozen=True)
class Made:
    """The outputs of one request, in the order of the model: in memory of their own, or perhaps on that of `inputs`."""

    outputs: Sequence[OrtValue]
    inputs: Sequence[OrtValue] | None = None


class Part:
    """See `wasi_nn_torch.joining.Part`: the inputs of one computation as values of ONNX Runtime."""

    __slots__ = ("_context", "_inputs", "values")

    def __init__(self, context: OnnxContext) -> None:
        self._context = context
        self._inputs: Sequence[NamedTensor] = ()
        self.values: Inputs = {}

    def prepare(self, inputs: Sequence[NamedTensor]) -> tuple[Hashable, int, int]:
        """See `wasi_nn_torch.joining.Part`."""
        self._inputs = inputs  # for the text of a failure
        wanted, values = self._context.read(inputs)
        given = {each.name: value for each, value in zip(wanted, values, strict=True)}
        known = self._context.graph.signature.inputs
        self.values = {each.name: given[each.name] for each in known}
        kind, rows = kind_of(_described(known, self.values))
        return kind, rows, sum(value.tensor_size_in_bytes() for value in values)

    def computed(self) -> Made:
        """Compute them by themselves."""
        graph, values = self._context.graph, list(self.values.values())
        return Made(called(graph, graph.signature.inputs, values), values)

    def outputs(self, made: Made) -> list[NamedTensor]:
        """See `wasi_nn_torch.joining.Part`."""
        return taken_over(self._context.graph, self._context.session, made.outputs, made.inputs)

    def release(self) -> None:
        """See `wasi_nn_torch.joining.Part`."""
        self.values = {}

    def drop(self) -> None:
        """See `wasi_nn_torch.joining.Part`."""
        self.values = {}

    def failure(self, error: Exception) -> NnError:
        """See `wasi_nn_torch.joining.Part`."""
        return as_nn_error(error, self._context.graph.device.place, f"computing {spell_inputs(self._inputs)}")


#: See `wasi_nn_torch.contract.Request`.
Computation = Pending[Part, Made]


def is_number(value: Value) -> bool:
    """Whether an input is one number for all rows, as its declaration says."""
    return value.shape == ()


def _described(known: Sequence[Value], values: Inputs) -> Iterator[tuple[str, Hashable, Sequence[int] | None]]:
    """Each value with what is the same for all that can be joined with it; types are those of the model."""
    for each in known:
        value = values[each.name]
        if is_number(each):
            yield each.name, bytes(memory_of(value)), None
        else:
            yield each.name, None, value.shape()


def compute_rows(graph: OnnxGraph, inputs: Sequence[Inputs], rows: Sequence[int]) -> list[Made]:
    """Join the inputs of several computations, of so many `rows`, compute once, and split the outputs.

    Raises NotByRows if the outputs have other rows.
    """
    known = graph.signature.inputs
    values = [joined([values[each.name] for values in inputs]) for each in known]
    parts: list[list[OrtValue]] = [[] for _ in rows]
    for output, value in zip(graph.outputs, called(graph, known, values), strict=True):
        require_rows(output.name, value.shape(), sum(rows))
        for part, piece in zip(parts, _split(value, rows), strict=True):
            part.append(piece)
    return [Made(part) for part in parts]


def joined(values: Sequence[OrtValue]) -> OrtValue:
    """The rows of values one below the other, in new memory; of numbers, the first."""
    shapes = [value.shape() for value in values]
    if not shapes[0]:
        return values[0]
    whole = new_value((sum(shape[0] for shape in shapes), *shapes[0][1:]), values[0].element_type())
    at = whole.data_ptr()
    for value in values:
        content = memory_of(value)
        if content.nbytes:
            copy_to_address(at, content)
        at += content.nbytes
    return whole


def _split(whole: OrtValue, rows: Sequence[int]) -> Iterator[OrtValue]:
    """The rows of a value, in memory of their own for each of several numbers of rows."""
    content, at = memory_of(whole), 0
    for number in rows:
        part = new_value((number, *whole.shape()[1:]), whole.element_type())
        size = part.tensor_size_in_bytes()
        if size:
            copy_to_address(part.data_ptr(), content[at : at + size])
        at += size
        yield part


def memory_of(value: OrtValue) -> memoryview:
    """The memory of a value on the CPU, which is not kept alive."""
    size = value.tensor_size_in_bytes()
    return view_memory(value.data_ptr(), size) if size else memoryview(b"")
