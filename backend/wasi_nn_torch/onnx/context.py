"""Computing a graph: a guest's named tensors in, named tensors out, both on the memory that they are in."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from onnxruntime import OrtValue

from wasi_nn_torch.contract.errors import NnError
from wasi_nn_torch.contract.tensor import NamedTensor
from wasi_nn_torch.contract.text import one_line, quote
from wasi_nn_torch.onnx.devices import CPU, Device
from wasi_nn_torch.onnx.dtypes import OF_WASI_NN
from wasi_nn_torch.onnx.failures import as_nn_error
from wasi_nn_torch.onnx.signature import Value, spell_shape
from wasi_nn_torch.onnx.tensors import OrtTensor, copy_of, detached, size_of, value_of

if TYPE_CHECKING:
    from wasi_nn_torch.onnx.graph import OnnxGraph
    from wasi_nn_torch.onnx.session import OnnxSession

logger = logging.getLogger(__name__)

_MOST_SPELLED = 16
#: The most characters of input names that a context keeps.
_MOST_KEPT = 1000


class OnnxContext:
    """The `graph-execution-context` of wasi-nn: one session's use of a graph. One thread at a time."""

    def __init__(self, graph: OnnxGraph, session: OnnxSession) -> None:
        self.graph = graph
        self.session = session
        #: The input names of the last computation, and what they are; most guests give the same ones each time.
        self._names: list[str] = []
        self._wanted: Sequence[Value] | None = None

    def compute(self, inputs: Sequence[NamedTensor]) -> list[NamedTensor]:
        """Run the graph once and return its outputs, which stay on the graph's device.

        The inputs belong to the callee: they are dropped before this returns, whatever the outcome. Raises NnError
        `invalid-argument` for names, shapes and element types that the model does not take, `too-large` if memory or a
        limit does not suffice, and `runtime-error` if the model itself fails.
        """
        started = time.perf_counter()
        try:
            outcome = self._attempt(inputs)
        finally:
            for _, tensor in inputs:
                tensor.drop()
            self.session.ledger.record_compute(time.perf_counter() - started)
        if not isinstance(outcome, NnError):
            return outcome
        try:
            raise outcome
        finally:
            del outcome  # or else the exception and this frame would keep each other alive

    def _attempt(self, inputs: Sequence[NamedTensor]) -> list[NamedTensor] | NnError:
        """The outputs or the error, which is not raised here: the frames of its traceback would hold tensors."""
        try:
            return self._run(inputs)
        except Exception as error:  # noqa: BLE001  # ONNX Runtime has no common class for its exceptions
            logger.debug("a computation failed: %s", one_line(error, None))
            return as_nn_error(error, self.graph.device.place, f"computing {spell_inputs(inputs)}")

    def _run(self, inputs: Sequence[NamedTensor]) -> list[NamedTensor]:
        wanted, values = self.read(inputs)
        return taken_over(self.graph, self.session, called(self.graph, wanted, values), values)

    def read(self, inputs: Sequence[NamedTensor]) -> tuple[Sequence[Value], list[OrtValue]]:
        """The inputs of the model that were given, and the value of each; raises NnError if they do not fit."""
        wanted = self._match([name for name, _ in inputs])
        read, device = self.session.reader.read, self.graph.device
        values = [read(tensor, name, each, device) for each, (name, tensor) in zip(wanted, inputs, strict=True)]
        return wanted, values

    def _match(self, names: list[str]) -> Sequence[Value]:
        if self._wanted is not None and names == self._names:
            return self._wanted
        wanted = self.graph.signature.match(names)
        if sum(map(len, names)) <= _MOST_KEPT:
            self._names, self._wanted = names, wanted
        return wanted


def called(graph: OnnxGraph, wanted: Sequence[Value], values: Sequence[OrtValue]) -> Sequence[OrtValue]:
    """Compute a graph on the values of its inputs, and return its outputs, which keep each other and inputs alive."""
    binding = graph.engine.io_binding()
    for each, value in zip(wanted, values, strict=True):
        binding.bind_ortvalue_input(each.name, value)
    for output in graph.outputs:
        device = output_device(graph, output)
        binding.bind_output(output.name, device.kind, device.index)
    graph.engine.run_with_iobinding(binding, graph.run_options)
    outputs: Sequence[OrtValue] = binding.get_outputs()
    return outputs


def output_device(graph: OnnxGraph, output: Value) -> Device:
    """Where an output is computed: on the device of the graph, or where it is converted."""
    return graph.device if output.type.is_same else CPU


def taken_over(
    graph: OnnxGraph, session: OnnxSession, outputs: Sequence[OrtValue], inputs: Sequence[OrtValue] | None
) -> list[NamedTensor]:
    """Outputs as tensors of a session; without `inputs`, each of them is on memory of its own.

    Raises NnError `too-large` if a limit of the session does not suffice.
    """
    taken = None if inputs is None else [(each.data_ptr(), each.tensor_size_in_bytes()) for each in inputs]
    pairs = zip(graph.outputs, outputs, strict=True)
    return [(each.name, _tensor(graph, session, each, value, taken)) for each, value in pairs]


def _tensor(
    graph: OnnxGraph,
    session: OnnxSession,
    output: Value,
    value: OrtValue,
    inputs: Sequence[tuple[int, int]] | None,
) -> OrtTensor:
    ledger, dtype, shape = session.ledger, output.type.shown, tuple(value.shape())
    device = output_device(graph, output)
    ledger.grant_one_more("output", output.name)
    ledger.grant(device.place, size_of(shape, dtype), "output", output.name)
    if not output.type.is_same:
        value = _widened(value, output)
    elif inputs is not None and _is_within(value, inputs):  # as for a model that returns an input as it is
        value = copy_of(value, device)
        session.reader.copies += 1
    elif inputs is not None:
        value = detached(value)
    return OrtTensor(value, shape or (1,), dtype, device, ledger, session)


def _is_within(value: OrtValue, inputs: Sequence[tuple[int, int]]) -> bool:
    """Whether a value is on the memory of an input, which belongs to somebody else."""
    at = value.data_ptr()
    return any(begin <= at < begin + size for begin, size in inputs)


def _widened(value: OrtValue, output: Value) -> OrtValue:
    """The elements in the wider type in which wasi-nn can name them, in memory of ONNX Runtime."""
    wider = OF_WASI_NN[output.type.shown]
    return value_of(value.numpy().astype(wider.numpy), wider.number)


def spell_inputs(inputs: Sequence[NamedTensor]) -> str:
    """Return inputs as "`x` FP32 [1, 3], …" for an error text."""
    spelled = [
        f"{quote(name)} {tensor.dtype.spelling} {spell_shape(tensor.dimensions)}"
        for name, tensor in inputs[:_MOST_SPELLED]
    ]
    return ", ".join([*spelled, "…"] if len(inputs) > _MOST_SPELLED else spelled) or "nothing"
