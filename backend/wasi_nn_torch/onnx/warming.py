"""Warming up a model: it computes on zeros, as it would for a guest, before the first guest needs it."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from onnxruntime import OrtValue

from wasi_nn_torch.contract.errors import ModelError, ModelTooLarge, NnError
from wasi_nn_torch.contract.text import quote, quote_all
from wasi_nn_torch.contract.warm_up import Example, WarmUp
from wasi_nn_torch.onnx.context import called
from wasi_nn_torch.onnx.failures import gist, is_out_of_memory
from wasi_nn_torch.onnx.graph import OnnxGraph
from wasi_nn_torch.onnx.signature import Value, spell_shape
from wasi_nn_torch.onnx.tensors import value_of

logger = logging.getLogger(__name__)

_RUNS = 2
_ADVICE = "give other sizes, or leave out the option to warm it up"


def warm(graph: OnnxGraph, warm_up: WarmUp, name: str) -> None:
    """Compute twice, and discard the results; error texts call the model `name`.

    Raises ModelError if an input's sizes are not known, if there is no such input, and if the model fails;
    ModelTooLarge if there is not enough memory.
    """
    started = time.perf_counter()
    examples = examples_of(graph, dict(warm_up.given), name)
    inputs = {value: _example(value, examples.get(value.name), name) for value in graph.signature.inputs}
    spelled = ", ".join(f"{quote(value.name)} {_spell(example)}" for value, example in inputs.items()) or "nothing"
    try:
        for value, example in inputs.items():
            if isinstance(example, tuple):
                value.require_shape(example, value.name)
        for _ in range(_RUNS):
            called(graph, graph.signature.inputs, [_value(value, example) for value, example in inputs.items()])
    except NnError as error:
        refusal = ModelError(f"{name} cannot be warmed up on zeros of {spelled}: {error.text}; {_ADVICE}")
    except Exception as error:  # noqa: BLE001  # ONNX Runtime has no common class for its exceptions
        kind = ModelTooLarge if is_out_of_memory(error) else ModelError
        refusal = kind(f"{name} cannot be warmed up on zeros of {spelled}: {gist(error)}; {_ADVICE}")
    else:
        logger.info("warming up %s took %.2f s", name, time.perf_counter() - started)
        return
    raise refusal


def examples_of(graph: OnnxGraph, given: dict[str | None, Example], name: str) -> Mapping[str, Example]:
    """The sizes or the numbers that are `given`, by input; None is the only input.

    Raises ModelError if there is no such input.
    """
    names = [value.name for value in graph.signature.inputs]
    if None in given:
        if len(names) != 1:
            raise ModelError(f"{name} needs {len(names)} inputs, {quote_all(names)}; give the sizes of each by name")
        given.setdefault(names[0], given[None])
        del given[None]
    unknown = [str(each) for each in given if each not in names]
    if unknown:
        raise ModelError(f"{name} cannot be warmed up with {quote_all(unknown)}; its inputs are {quote_all(names)}")
    return {str(each): example for each, example in given.items()}


def number_of(example: Example | None) -> float:
    """An example as a number: "16000" may also be a size."""
    return next(iter(example), 0) if isinstance(example, tuple) else (example or 0)


def _example(value: Value, given: Example | None, name: str) -> Example:
    """The sizes of an input, or the number for a scalar."""
    if value.shape == ():
        return number_of(given)
    if given is not None:
        return given if isinstance(given, tuple) else (int(given),)
    known = tuple(size for size in value.shape or () if isinstance(size, int))
    if value.shape is None or len(known) < len(value.shape):
        raise ModelError(f"{name} does not tell the sizes of {quote(value.name)}; give them to warm it up")
    return known


def _value(value: Value, example: Example) -> OrtValue:
    if isinstance(example, tuple):
        zeros: np.ndarray[Any, Any] = np.zeros(example, value.type.numpy)
        return value_of(zeros, value.type.number)
    return value_of(np.array(example).astype(value.type.numpy), value.type.number)


def _spell(example: Example) -> str:
    return spell_shape(example) if isinstance(example, tuple) else f"{example:g}"
