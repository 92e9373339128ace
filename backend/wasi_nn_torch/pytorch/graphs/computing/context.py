"""Computing a graph: a guest's named tensors in, named tensors out."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch

from wasi_nn_torch.contract.errors import ErrorCode, NnError
from wasi_nn_torch.contract.frames import release_frames
from wasi_nn_torch.contract.tensor import NamedTensor
from wasi_nn_torch.contract.text import quote
from wasi_nn_torch.contract.vocabulary import ElementType
from wasi_nn_torch.pytorch.adopting import Adopted
from wasi_nn_torch.pytorch.devices import place_of
from wasi_nn_torch.pytorch.dimensions import spell_dimensions
from wasi_nn_torch.pytorch.graphs.computing.failures import as_nn_error
from wasi_nn_torch.pytorch.graphs.computing.state import Model
from wasi_nn_torch.pytorch.graphs.inputs.outputs import flatten
from wasi_nn_torch.pytorch.graphs.inputs.parameters import Kind, Parameter
from wasi_nn_torch.pytorch.staging import SessionMemory
from wasi_nn_torch.pytorch.tensors import DeviceTensor
from wasi_nn_torch.pytorch.threads import note_computation

if TYPE_CHECKING:
    from wasi_nn_torch.pytorch.graphs.computing.graph import Graph

logger = logging.getLogger(__name__)

#: What `torch.inference_mode` enters, after several steps in Python.
InferenceMode = getattr(torch._C, "_InferenceMode", torch.inference_mode)
_MOST_SPELLED = 16
#: The most characters of input names that a context keeps.
_MOST_KEPT = 1000
_WANTED = {
    Kind.INTEGER: "an integer: U8, I32 or I64",
    Kind.BOOLEAN: "a boolean: U8, I32 or I64, where 0 is false",
}


class ExecutionContext:
    """The `graph-execution-context` of wasi-nn: one session's use of a graph, and its state. One thread at a time.

    The constructor raises NnError `too-large` if memory, or the session's limit, does not suffice for a copy of the
    state.
    """

    def __init__(self, graph: Graph, memory: SessionMemory) -> None:
        self._graph = graph
        self._memory = memory
        self._model = self._new_model()
        #: The input names of the last computation, and their parameters; most guests give the same ones each time.
        self._names: list[str] = []
        self._parameters: list[Parameter] | None = None

    def compute(self, inputs: Sequence[NamedTensor]) -> list[NamedTensor]:
        """Run the graph once and return its outputs, which stay on the graph's device.

        The inputs belong to the callee: they are dropped before this returns, whatever the outcome. Raises NnError
        `invalid-argument` for names, shapes and element types that do not fit the model's parameters,
        `unsupported-operation` for outputs that wasi-nn cannot express, `too-large` if memory or a limit does not
        suffice, and `runtime-error` if the model itself fails.
        """
        started = time.perf_counter()
        adopted = Adopted(self._memory, self._graph.device, self._graph.writes_inputs)
        try:
            outcome = self._attempt(inputs, adopted)
        finally:
            adopted.drop()
            drop_all(inputs)
            self._memory.ledger.record_compute(time.perf_counter() - started)
        if not isinstance(outcome, NnError):
            return outcome
        try:
            raise outcome
        finally:
            del outcome  # or else the exception and this frame would keep each other alive

    def _attempt(self, inputs: Sequence[NamedTensor], adopted: Adopted) -> list[NamedTensor] | NnError:
        """The outputs or the error, which is not raised here: the frames of its traceback would hold tensors."""
        try:
            return self._run(inputs, adopted)
        except Exception as error:  # noqa: BLE001  # a model may raise anything
            log_failure(error)
            failure = as_nn_error(error, self._graph.device, f"computing {spell_inputs(inputs)}")
            release_frames(error)
        return failure

    def _run(self, inputs: Sequence[NamedTensor], adopted: Adopted) -> list[NamedTensor]:
        parameters = self._match([name for name, _ in inputs])
        for name, tensor in inputs:
            tensor.require_fit(name)
        own = [
            (name, adopted.adopt(tensor, name, parameter.kind is Kind.TENSOR))
            for parameter, (name, tensor) in zip(parameters, inputs, strict=True)
        ]
        with InferenceMode(True):
            outputs = called(self._graph, self._model, parameters, self._values(parameters, own))
        # Inputs are dropped first: an output on the memory of one takes it over, unless it has another owner.
        adopted.release()
        return take_over(outputs, self._memory)

    def _new_model(self) -> Model:
        """The model of this context, whose state counts in the ledger."""
        ledger, graph = self._memory.ledger, self._graph
        place = place_of(graph.device)
        ledger.grant(place, graph.state_nbytes, "a context")
        model = _instance(graph)
        if graph.state_nbytes:
            ledger.enter_other(self, place, graph.state_nbytes)
        return model

    def _match(self, names: list[str]) -> list[Parameter]:
        if self._parameters is not None and names == self._names:
            return self._parameters
        parameters = self._graph.signature.match(names)
        if sum(map(len, names)) <= _MOST_KEPT:
            self._names, self._parameters = names, parameters
        return parameters

    def _values(self, parameters: Sequence[Parameter], inputs: Sequence[tuple[str, DeviceTensor]]) -> dict[str, object]:
        """The tensor on the graph's device, or the number, that each parameter gets."""
        return {
            parameter.name: self._argument(parameter, name, tensor)
            for parameter, (name, tensor) in zip(parameters, inputs, strict=True)
        }

    def _argument(self, parameter: Parameter, name: str, tensor: DeviceTensor) -> object:
        if parameter.kind is Kind.TENSOR:
            return tensor.on(self._graph.device, name, parameter.dtype)
        if parameter.kind is not Kind.FLOAT and not tensor.dtype.is_integer:
            raise _wrong_type(name, tensor.dtype, _WANTED[parameter.kind])
        value = tensor.scalar(name)
        if parameter.kind is Kind.BOOLEAN:
            return bool(value)
        return _float(name, value) if parameter.kind is Kind.FLOAT else value


def called(
    graph: Graph, model: Model, parameters: Sequence[Parameter], values: Mapping[str, object]
) -> list[tuple[str, torch.Tensor]]:
    """Call a model of a graph, in inference mode, with the `values` of `parameters`, and return its outputs by name."""
    signature = graph.signature
    arguments: dict[str, object] = {**signature.absent, **values}
    if signature.is_nested:
        arguments = signature.arguments(parameters, arguments)
    note_computation()
    outputs = flatten(model(**arguments))
    if graph.is_laid_out:
        return [(name, output.contiguous()) for name, output in outputs]
    return outputs


def take_over(outputs: list[tuple[str, torch.Tensor]], memory: SessionMemory) -> list[NamedTensor]:
    """Empty `outputs` into tensors of a session, one by one: then the last of two aliases is not copied."""
    taken: list[NamedTensor] = []
    while outputs:
        name, output = outputs.pop()
        taken.append((name, DeviceTensor.from_output(name, output, memory)))
    taken.reverse()
    return taken


def _instance(graph: Graph) -> Model:
    try:
        return graph.instance()
    except Exception as error:  # noqa: BLE001  # a model may raise anything
        log_failure(error)
        failure = as_nn_error(error, graph.device, "making a context")
        release_frames(error)
    raise failure


def log_failure(error: Exception) -> None:
    """Log the traceback as text; a record with the error itself would keep the frames and their tensors alive."""
    if logger.isEnabledFor(logging.DEBUG):
        logger.debug("a computation failed\n%s", "".join(traceback.format_exception(error)))


def drop_all(tensors: Sequence[NamedTensor]) -> None:
    """Drop every tensor."""
    for _, tensor in tensors:
        tensor.drop()


def spell_inputs(inputs: Sequence[NamedTensor]) -> str:
    """Return inputs as "`x` FP32 [1, 3], …" for an error text."""
    spelled = [
        f"{quote(name)} {tensor.dtype.spelling} {spell_dimensions(tensor.dimensions)}"
        for name, tensor in inputs[:_MOST_SPELLED]
    ]
    return ", ".join([*spelled, "…"] if len(inputs) > _MOST_SPELLED else spelled) or "nothing"


def _float(name: str, value: float) -> float:
    """Return a number as the float that it is; raises NnError `invalid-argument` for an integer between two of them."""
    number = float(value)
    if number != value and isinstance(value, int):
        raise NnError(
            ErrorCode.INVALID_ARGUMENT, f"tensor {quote(name)} is {value}, which FP64 cannot hold; give it as FP64"
        )
    return number


def _wrong_type(name: str, given: ElementType, wanted: str) -> NnError:
    return NnError(ErrorCode.INVALID_ARGUMENT, f"tensor {quote(name)} is {given.spelling}; the model wants {wanted}")
