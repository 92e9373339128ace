"""Running an exported program: its code as one function, called with weights, state and a guest's inputs.

The program's own module is not used for this: it is part of reference cycles, which would keep its tensors alive until
a garbage collection, and it would have to be copied to give each context its own state.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch.export.graph_signature import InputKind, OutputKind, OutputSpec

from wasi_nn_torch.contract.errors import ErrorCode, NnError
from wasi_nn_torch.contract.text import quote
from wasi_nn_torch.pytorch.dimensions import spell_dimensions
from wasi_nn_torch.pytorch.graphs.inputs.outputs import Flat
from wasi_nn_torch.pytorch.graphs.inputs.parameters import Kind, Parameter
from wasi_nn_torch.pytorch.graphs.inputs.structure import Path

_GUARD_FAILED = "Guard failed: "


@dataclass(frozen=True)
class Input:
    """One of the inputs that a program was exported with.

    `value` is passed to the program if the guest gives nothing: the constant that the program was exported with.
    """

    parameter: Parameter
    is_offered: bool = True
    value: object = None


@dataclass(frozen=True, eq=False)
class Program:
    """The code of a program, and the tensors that it is called with on one device.

    `tensors` are the weights, buffers and constants in the order of the code's arguments, with None for each input;
    `state` has the indices of those that may be written to, and `names` the indices of the buffers by name. `guards`
    raises AssertionError for inputs that the program was not exported for. `paths` are those of its results.
    """

    code: Callable[..., Sequence[object]]
    guards: Callable[..., object] | None
    tensors: Sequence[torch.Tensor | None]
    state: Sequence[int]
    names: dict[str, int]
    inputs: Sequence[Input]
    outputs: Sequence[OutputSpec]
    paths: Sequence[Path]

    def instance(self) -> Callable[..., object]:
        """The model of one context, which shares the weights and has its own state."""
        tensors = list(self.tensors)
        # Copied together, so that two views of one tensor share their memory in the copy too.
        for index, own in zip(self.state, copy.deepcopy([tensors[index] for index in self.state]), strict=True):
            tensors[index] = own
        return _Instance(self, tensors)


class _Instance:
    """A program with the state of one context."""

    def __init__(self, program: Program, tensors: list[torch.Tensor | None]) -> None:
        self._program = program
        self._tensors = tensors

    def __call__(self, **inputs: object) -> object:
        """Compute once. Raises NnError `invalid-argument` for inputs that the program was not exported for."""
        values = [_value(wanted, inputs) for wanted in self._program.inputs]
        inputs.clear()
        self._guard(values)
        rest = iter(values)
        arguments = [next(rest) if tensor is None else tensor for tensor in self._tensors]
        return self._results(self._program.code(*arguments))

    def _guard(self, values: list[object]) -> None:
        if self._program.guards is None:
            return
        try:
            self._program.guards(*values)
        except AssertionError as error:
            reason = str(error).removeprefix(_GUARD_FAILED)
        else:
            return
        raise NnError(
            ErrorCode.INVALID_ARGUMENT, f"the inputs do not match the model: it was exported for {quote(reason)}"
        )

    def _results(self, results: Sequence[object]) -> object:
        """The outputs of the model; the new values of buffers, which its code returns too, are stored."""
        leaves = []
        for wanted, result in zip(self._program.outputs, results, strict=True):
            if wanted.kind in (OutputKind.USER_OUTPUT, OutputKind.LOSS_OUTPUT):
                leaves.append(result)
            elif wanted.kind is OutputKind.BUFFER_MUTATION and isinstance(result, torch.Tensor):
                buffer = self._tensors[self._program.names[str(wanted.target)]]
                if buffer is not None:
                    buffer.copy_(result)
        return Flat(zip(self._program.paths, leaves, strict=True))


def is_changed(kind: InputKind) -> bool:
    """Whether a program may change arguments of this kind; parameters do not change, since nothing is trained."""
    return kind in (InputKind.BUFFER, InputKind.CONSTANT_TENSOR)


def _value(wanted: Input, inputs: dict[str, object]) -> object:
    value = inputs.get(wanted.parameter.name, wanted.value) if wanted.is_offered else wanted.value
    return _fitted(wanted.parameter, value) if isinstance(value, torch.Tensor) else value


def _fitted(parameter: Parameter, tensor: torch.Tensor) -> torch.Tensor:
    """A tensor in the shape that the model expects."""
    shape = parameter.shape
    if parameter.kind is not Kind.TENSOR or shape is None:
        return tensor
    if shape == () and tensor.shape == (1,):  # guests give scalars as tensors of one element
        tensor = tensor.reshape(())
    if not _fits(shape, tensor.shape):
        sizes = ", ".join(map(str, shape))
        raise NnError(
            ErrorCode.INVALID_ARGUMENT,
            f"tensor {quote(parameter.name)} is {spell_dimensions(tensor.shape)}; the model was exported for [{sizes}]",
        )
    return tensor


def _fits(wanted: Sequence[int | str], given: Sequence[int]) -> bool:
    """Whether all fixed sizes match."""
    return len(wanted) == len(given) and all(
        isinstance(size, str) or size == actual for size, actual in zip(wanted, given, strict=True)
    )
