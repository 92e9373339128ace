"""Warming up a model: it computes on zeros, as it would for a guest, before the first guest needs it.

PyTorch optimizes a model's code in its first calls, for the inputs of those calls; and other resources that a
computation needs, such as threads and memory, are ready afterwards. All contexts benefit, even those with their own
state.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

import torch

from wasi_nn_torch.contract.errors import ErrorCode, ModelError, ModelTooLarge, NnError
from wasi_nn_torch.contract.ledger import Ledger
from wasi_nn_torch.contract.tensor import NamedTensor
from wasi_nn_torch.contract.text import quote, quote_all
from wasi_nn_torch.contract.vocabulary import ElementType
from wasi_nn_torch.contract.warm_up import Example, WarmUp
from wasi_nn_torch.pytorch.dtypes import ELEMENT_TYPES
from wasi_nn_torch.pytorch.graphs.computing.graph import Graph
from wasi_nn_torch.pytorch.graphs.inputs.signature import Kind, Parameter
from wasi_nn_torch.pytorch.staging import SessionMemory
from wasi_nn_torch.pytorch.tensors import DeviceTensor

logger = logging.getLogger(__name__)

#: TorchScript observes the inputs of two calls, and runs its optimized code in the third.
RUNS = 3

_NUMBERS = {
    Kind.INTEGER: (ElementType.I64, torch.int64),
    Kind.FLOAT: (ElementType.FP64, torch.float64),
    Kind.BOOLEAN: (ElementType.U8, torch.uint8),
}


def warm(graph: Graph, warm_up: WarmUp, name: str) -> None:
    """Compute a few times in a temporary context; error texts call the model `name`.

    Raises ModelError if an input's sizes are not known, if there is no such input, and if the model fails;
    ModelTooLarge if there is not enough memory.
    """
    started = time.perf_counter()
    examples = examples_of(graph, dict(warm_up.given), name)
    try:
        memory = SessionMemory.of(Ledger())
        context = graph.context(memory)
        for _ in range(RUNS):
            inputs: list[NamedTensor] = [
                (each, _tensor(graph.signature.find(each), example, memory)) for each, example in examples.items()
            ]
            for _, output in context.compute(inputs):
                output.drop()
    except NnError as error:
        kind = ModelTooLarge if error.code is ErrorCode.TOO_LARGE else ModelError
        refusal = kind(f"{name} cannot be warmed up on zeros of {_spell(examples)}: {error.text}; {_ADVICE}")
    except (MemoryError, OverflowError):
        refusal = ModelTooLarge(
            f"{name} cannot be warmed up on zeros of {_spell(examples)}, which do not fit into memory; {_ADVICE}"
        )
    else:
        logger.info("warming up %s took %.2f s", name, time.perf_counter() - started)
        return
    raise refusal


_ADVICE = "give other sizes, or leave out the option to warm it up"


def examples_of(graph: Graph, given: dict[str | None, Example], name: str) -> Mapping[str, Example]:
    """The sizes or the number for each input that the model needs or that is `given`; None is the only input.

    Raises ModelError if those of an input are not known, or if there is no such input.
    """
    parameters = graph.signature.inputs
    needed = [parameter.name for parameter in parameters if not parameter.optional]
    if None in given:
        if len(needed) != 1:
            raise ModelError(f"{name} needs {len(needed)} inputs, {quote_all(needed)}; {_how(needed)}")
        given.setdefault(needed[0], given[None])
        del given[None]
    unknown = [each for each in given if graph.signature.find(str(each)) is None]
    if unknown:
        names = quote_all(parameter.name for parameter in parameters)
        raise ModelError(f"{name} cannot be warmed up with {quote_all(map(str, unknown))}; its inputs are {names}")
    examples = {str(each): example for each, example in given.items()}
    for parameter in parameters:
        if not parameter.optional and not _is_given(parameter, examples):
            examples[parameter.name] = _known(graph, parameter, name)
    return {
        each: _fitted(parameter, example, name)
        for parameter in parameters
        for each, example in examples.items()
        if fnmatchcase(each, parameter.name)
    }


def _is_given(parameter: Parameter, examples: Mapping[str, Example]) -> bool:
    """Whether there is an example of an input, or of one that its name with an asterisk stands for."""
    return any(fnmatchcase(each, parameter.name) for each in examples)


def _fitted(parameter: Parameter, example: Example, name: str) -> Example:
    """An example as sizes for a tensor, or as a number for a number: "16000" may be either."""
    if parameter.kind is Kind.TENSOR:
        if not isinstance(example, tuple) or any(size < 0 for size in example):
            given = list(example) if isinstance(example, tuple) else example
            raise ModelError(
                f"{name} cannot be warmed up, because {given} is not the sizes of {quote(parameter.name)}; "
                f"{_how([parameter.name])}"
            )
        return example
    return next(iter(example), 0) if isinstance(example, tuple) else example


def _known(graph: Graph, parameter: Parameter, name: str) -> Example:
    if parameter.name in graph.examples:
        return graph.examples[parameter.name]
    if parameter.kind is not Kind.TENSOR:
        return 0.0
    raise ModelError(f"{name} does not tell the sizes of {quote(parameter.name)}; {_how([parameter.name])}")


def _how(names: Sequence[str]) -> str:
    python = ", ".join(f'"{name}": (1, 3, 224, 224)' for name in names)
    options = "".join(f",warm-up.{name}=1x3x224x224" for name in names)
    return f"give the sizes to warm it up with: warm_up={{{python}}}, or --graph NAME=PATH{options}"


def _tensor(parameter: Parameter | None, example: Example, memory: SessionMemory) -> DeviceTensor:
    if parameter is None:
        raise RuntimeError("there is an example of an input that the model does not have")
    if parameter.kind is not Kind.TENSOR:
        return _number(parameter.kind, example, memory)
    sizes = example if isinstance(example, tuple) else ()
    element_type = element_type_for(parameter.dtype)
    zeros = bytes(math.prod(sizes) * element_type.item_size)
    return DeviceTensor.from_guest(list(sizes), element_type, memoryview(zeros), memory)


def _number(kind: Kind, number: object, memory: SessionMemory) -> DeviceTensor:
    element_type, dtype = _NUMBERS[kind]
    value = torch.tensor([number]).to(dtype)
    return DeviceTensor.from_guest([1], element_type, memoryview(value.numpy().tobytes()), memory)


def element_type_for(dtype: torch.dtype | None) -> ElementType:
    """The tensor type that a guest gives for a dtype of the model, which wasi-nn may not be able to name."""
    if dtype is None:
        return ElementType.FP32
    if dtype is torch.bool:
        return ElementType.U8
    return ELEMENT_TYPES.get(dtype, ElementType.FP32 if dtype.is_floating_point else ElementType.I32)


def _spell(examples: Mapping[str, Example]) -> str:
    parts = []
    for name, example in examples.items():
        sizes = f"[{', '.join(map(str, example))}]" if isinstance(example, tuple) else f"{example:g}"
        parts.append(f"{quote(name)} {sizes}")
    return ", ".join(parts) or "nothing"
