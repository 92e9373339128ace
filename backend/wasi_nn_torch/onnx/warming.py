"""Warming up a model: it computes on zeros, as it would for a guest, before the first guest needs it."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping

import numpy as np
from onnxruntime import OrtValue

from wasi_nn_torch.contract.errors import ModelError, ModelTooLarge, NnError
from wasi_nn_torch.contract.text import quote, quote_all
from wasi_nn_torch.contract.warm_up import Example, WarmUp
from wasi_nn_torch.onnx.devices import CPU
from wasi_nn_torch.onnx.failures import gist, is_out_of_memory
from wasi_nn_torch.onnx.graph import OnnxGraph
from wasi_nn_torch.onnx.signature import Value, spell_shape
from wasi_nn_torch.onnx.tensors import new_value
from wit_host import view_memory

logger = logging.getLogger(__name__)

_RUNS = 2
_ADVICE = "give other sizes, or leave out the option to warm it up"


def warm(graph: OnnxGraph, warm_up: WarmUp, name: str) -> None:
    """Compute twice, and discard the results; error texts call the model `name`.

    Raises ModelError if an input's sizes are not known, if there is no such input, and if the model fails;
    ModelTooLarge if there is not enough memory.
    """
    started = time.perf_counter()
    sizes = _sizes(graph, dict(warm_up.given), name)
    spelled = ", ".join(f"{quote(each)} {spell_shape(shape)}" for each, shape in sizes.items()) or "nothing"
    try:
        for value in graph.signature.inputs:
            value.require_shape(sizes[value.name], value.name)
        for _ in range(_RUNS):
            _compute(graph, sizes)
    except NnError as error:
        refusal = ModelError(f"{name} cannot be warmed up on zeros of {spelled}: {error.text}; {_ADVICE}")
    except Exception as error:  # noqa: BLE001  # ONNX Runtime has no common class for its exceptions
        kind = ModelTooLarge if is_out_of_memory(error) else ModelError
        refusal = kind(f"{name} cannot be warmed up on zeros of {spelled}: {gist(error)}; {_ADVICE}")
    else:
        logger.info("warming up %s took %.2f s", name, time.perf_counter() - started)
        return
    raise refusal


def _compute(graph: OnnxGraph, sizes: Mapping[str, tuple[int, ...]]) -> None:
    binding = graph.engine.io_binding()
    for value in graph.signature.inputs:
        binding.bind_ortvalue_input(value.name, _zeros(value, sizes[value.name]))
    for output in graph.outputs:
        binding.bind_output(output.name, graph.device.kind, graph.device.index)
    graph.engine.run_with_iobinding(binding, graph.run_options)


def _zeros(value: Value, shape: tuple[int, ...]) -> OrtValue:
    zeros = new_value(shape, value.type.number, CPU)
    size = zeros.tensor_size_in_bytes()
    if size:
        np.frombuffer(view_memory(zeros.data_ptr(), size), np.uint8)[:] = 0
    return zeros


def _sizes(graph: OnnxGraph, given: dict[str | None, Example], name: str) -> Mapping[str, tuple[int, ...]]:
    """The sizes of each input."""
    values = {value.name: value for value in graph.signature.inputs}
    if None in given:
        if len(values) != 1:
            raise ModelError(f"{name} needs {len(values)} inputs, {quote_all(values)}; give the sizes of each by name")
        given.setdefault(next(iter(values)), given[None])
        del given[None]
    unknown = [str(each) for each in given if each not in values]
    if unknown:
        raise ModelError(f"{name} cannot be warmed up with {quote_all(unknown)}; its inputs are {quote_all(values)}")
    return {each: _shape(value, given.get(each), name) for each, value in values.items()}


def _shape(value: Value, example: Example | None, name: str) -> tuple[int, ...]:
    if isinstance(example, tuple):
        return example
    known = tuple(size for size in value.shape or () if isinstance(size, int))
    if value.shape is None or len(known) < len(value.shape):
        raise ModelError(f"{name} does not tell the sizes of {quote(value.name)}; give them to warm it up")
    return known
