"""A call of a pipeline: named tensors in, the elements of named tensors out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from wasi_nn_bindings.pipeline_v0_1_0 import Guest
from wasi_nn_bindings.pipeline_v0_1_0.exports import handler
from wasi_nn_bindings.v2024_10_28.inference import NamedTensor
from wasi_nn_bindings.v2024_10_28.tensor import Tensor
from wasi_nn_torch.contract.elements import Elements
from wasi_nn_torch.contract.text import one_line, quote
from wasi_nn_torch.pipelines.datatypes import BYTES, DATATYPES
from wasi_nn_torch.pipelines.results import Misfit
from wasi_nn_torch.pipelines.values import Description, Parameter, Value
from wasi_nn_torch.sessions.guests import Guest as Compiled
from wasi_nn_torch.sessions.guests import InvalidGuest
from wasi_nn_torch.sessions.session import Session
from wit_host.core import CoreModule

_WORLD = "wasi-nn-torch:pipeline/pipeline"
_LONGEST_MESSAGE = 4000
_WHOLE = range(-(2**63), 2**63)


class InputError(Exception):
    """An input or a parameter that cannot be passed to a pipeline; the text is for whoever gave it."""


class PipelineFailure(Exception):
    """The pipeline answered with a failure: its `status`, which may be any number, and its text, in one line."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


@dataclass(frozen=True)
class Signature:
    """The inputs and outputs that a pipeline describes."""

    inputs: tuple[Description, ...]
    outputs: tuple[Description, ...]


def require_component(guest: Compiled) -> None:
    """Raise InvalidGuest for a core module, which has no interfaces."""
    if isinstance(guest.compiled, CoreModule):
        raise InvalidGuest(f"{guest.name} is a core module; a pipeline is a component of the world `{_WORLD}`")


def describe(guest: Guest) -> Signature | None:
    """Ask a pipeline for its inputs and outputs; None if it does not say."""
    description = guest.handler.describe()
    if description is None:
        return None
    return Signature(tuple(map(_described, description.inputs)), tuple(map(_described, description.outputs)))


def infer(
    session: Session, guest: Guest, request: handler.Request, inputs: Sequence[Value]
) -> list[tuple[str, Elements]]:
    """Call the pipeline of a session once.

    Raises InputError, PipelineFailure, Misfit if it returns tensors that cannot be used, and the errors of guests.
    """
    given = _tensors(session, inputs)
    try:
        outputs = guest.handler.infer(request, given)
    except handler.HandlerFailureError as error:
        failure: handler.Failure = error.value
    else:
        return _taken(session, outputs)
    raise PipelineFailure(failure.status, one_line(failure.message, _LONGEST_MESSAGE))


def passed_parameters(parameters: Mapping[str, Parameter]) -> list[tuple[str, handler.Parameter]]:
    """The parameters of a request as the pipeline gets them; raises InputError for a number that does not fit."""
    return [(name, _parameter(name, value)) for name, value in parameters.items()]


def _tensors(session: Session, inputs: Sequence[Value]) -> list[NamedTensor]:
    made: list[NamedTensor] = []
    try:
        for value in inputs:
            made.append((value.name, _tensor(session, value)))
    except BaseException:
        for _, tensor in made:
            tensor.drop()
        raise
    return made


def _tensor(session: Session, value: Value) -> Tensor:
    try:
        return session.tensor(_given(value))
    except ValueError as error:
        reason = one_line(error)
    raise InputError(f"input {quote(value.name)}: {reason}")


def _taken(session: Session, outputs: Sequence[NamedTensor]) -> list[tuple[str, Elements]]:
    names = [name for name, _ in outputs]
    try:
        if len(set(names)) < len(names):
            raise Misfit("several outputs have the same name")
        return [(name, session.take_elements(tensor)) for name, tensor in outputs]
    except ValueError as error:  # an output that does not fit its dimensions
        reason = one_line(error)
    finally:
        for _, tensor in outputs:
            tensor.drop()
    raise Misfit(reason)


def _given(value: Value) -> Elements:
    if value.datatype is BYTES:
        return Elements(value.data, (value.data.nbytes,), "uint8")
    return Elements(value.data, value.shape, value.datatype.dtype)


def _parameter(name: str, value: Parameter) -> handler.Parameter:
    if isinstance(value, bool):
        return handler.ParameterBool(value)
    if isinstance(value, str):
        return handler.ParameterText(value)
    if isinstance(value, float):
        return handler.ParameterFloat(value)
    if not isinstance(value, int):  # from a caller without a type checker; a search for it in `_WHOLE` would not end
        raise InputError(
            f"the parameter {quote(name)} has the type {type(value).__name__}; give a Boolean, a number or a string"
        )
    if value not in _WHOLE:
        raise InputError(f"the parameter {quote(name)} does not fit 64 bits")
    return handler.ParameterInt(value)


def _described(item: handler.TensorDescription) -> Description:
    return Description(item.name, DATATYPES[item.datatype.name], tuple(item.shape))
