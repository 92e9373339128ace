"""The decision whether the computations of a model can be joined: see `wasi_nn_torch.joining.trial`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
from onnxruntime import OrtValue

from wasi_nn_torch.contract.batch import Batch
from wasi_nn_torch.contract.errors import ModelError
from wasi_nn_torch.contract.processors import processors
from wasi_nn_torch.contract.text import quote
from wasi_nn_torch.contract.warm_up import WarmUp
from wasi_nn_torch.joining import require_joinable, require_open, sizes_for_trial, tolerance_for
from wasi_nn_torch.onnx.batched import BatchedOnnxGraph, Inputs, compute_rows, is_number, joined, memory_of
from wasi_nn_torch.onnx.dtypes import BY_NUMBER
from wasi_nn_torch.onnx.failures import gist, is_out_of_memory
from wasi_nn_torch.onnx.graph import OnnxGraph
from wasi_nn_torch.onnx.signature import Value
from wasi_nn_torch.onnx.tensors import value_of
from wasi_nn_torch.onnx.warming import examples_of, number_of

_Array = np.ndarray[Any, Any]


def batched(graph: OnnxGraph, batch: Batch, warm_up: WarmUp | None, threads: int, name: str) -> BatchedOnnxGraph:
    """A graph whose computations can be joined; error texts call the model `name`.

    The sizes for the trial are those of `warm_up`, or the model's own. One computation uses so many `threads`; 0 stands
    for all processors. Raises ModelError, which says why, if the computations cannot be joined or if that cannot be
    tried; ModelTooLarge if memory does not suffice.
    """
    if not graph.device.is_cpu:
        raise ModelError(
            f"{name} cannot be batched on {graph.device.place}, because ONNX models are batched on the CPU only; leave "
            "out the option `batch`"
        )
    with_rows = [each for each in graph.signature.inputs if not is_number(each)]
    if not with_rows:
        raise ModelError(f"{name} cannot be batched, because none of its inputs has rows; leave out the option `batch`")
    require_open({each.name: each.shape for each in with_rows}, name, _advice(with_rows))
    own = {each.name: getattr(graph, each.name) for each in fields(graph)}
    made = BatchedOnnxGraph(**own, lanes=lanes_for(threads))
    if batch.trial:
        shapes = sizes_for_trial(lambda: _shapes(graph, warm_up, name))
        require_joinable(_Rows(made, shapes), batch, name)
    return made


def lanes_for(threads: int) -> int:
    """The number of computations that there are processors for at a time, if each uses so many `threads`."""
    return max(1, processors() // threads) if threads else 1


def _advice(inputs: Sequence[Value]) -> str:
    dims = ", ".join(f'"{each.name}": {{0: batch}}' for each in inputs)
    return (
        'leave dimension 0 open and export it with two rows: batch = torch.export.Dim("batch"); '
        f"torch.onnx.export(model, inputs, path, dynamic_shapes={{{dims}}})"
    )


def _shapes(graph: OnnxGraph, warm_up: WarmUp | None, name: str) -> Mapping[str, tuple[int, ...] | float]:
    """The shape of one row for each input, or the number."""
    examples = examples_of(graph, {} if warm_up is None else dict(warm_up.given), name)
    return {
        value.name: number_of(examples.get(value.name)) if is_number(value) else _row(value, examples, name)
        for value in graph.signature.inputs
    }


def _row(value: Value, examples: Mapping[str, object], name: str) -> tuple[int, ...]:
    given = examples.get(value.name)
    shape: Sequence[object] | None = given if isinstance(given, tuple) else value.shape
    known = None if shape is None else [size for size in shape[1:] if isinstance(size, int)]
    if shape is None or known is None or len(known) < len(shape) - 1:
        raise ModelError(
            f"{name} does not tell the sizes of {quote(value.name)}; give them to warm it up: "
            f'warm_up={{"{value.name}": (1, 3, 224, 224)}}, or --graph NAME=PATH,warm-up.{value.name}=1x3x224x224'
        )
    if not shape:
        raise ModelError(f"{quote(value.name)} was given without dimensions, so that it has no rows")
    return (1, *known)


class _Rows:
    """See `wasi_nn_torch.joining.Engine`: values of ONNX Runtime on the CPU."""

    def __init__(self, graph: BatchedOnnxGraph, shapes: Mapping[str, tuple[int, ...] | float]) -> None:
        self._graph = graph
        self._shapes = shapes
        self._random = np.random.default_rng(0)

    def draw(self) -> Inputs:
        """Inputs of one row."""
        return {value.name: self._drawn(value) for value in self._graph.signature.inputs}

    def _drawn(self, value: Value) -> OrtValue:
        shape, dtype = self._shapes[value.name], value.type.numpy
        if not isinstance(shape, tuple):
            elements: _Array = np.array(shape)
        elif not value.type.shown.is_integer:
            elements = self._random.standard_normal(shape)
        else:  # numbers that are valid in any vocabulary, and as a mask
            elements = self._random.integers(256 if value.type.name == "uint8" else 2, size=shape)
        return value_of(elements.astype(dtype), value.type.number)

    def compute(self, inputs: Sequence[Inputs], rows: Sequence[int]) -> list[list[tuple[str, OrtValue]]]:
        """The outputs for each of several inputs."""
        names = [output.name for output in self._graph.outputs]
        made = compute_rows(self._graph, inputs, rows)
        return [list(zip(names, each.outputs, strict=True)) for each in made]

    def joined(self, values: Sequence[OrtValue]) -> OrtValue:
        """The rows of values one below the other; of numbers, the first."""
        return joined(values)

    def scaled(self, value: OrtValue, factor: float) -> OrtValue:
        """Other floats, which may be huge or invalid, and other whole numbers; a number stays."""
        elements = _elements(value)
        if not elements.shape:
            return value
        if self.is_float(value):
            with np.errstate(all="ignore"):
                elements = (elements.astype(np.float64) * factor).astype(elements.dtype)
        elif elements.dtype == np.bool_:
            elements = ~elements
        else:
            elements = (255 if elements.dtype == np.uint8 else 1) - elements
        return value_of(elements, value.element_type())

    def is_float(self, value: OrtValue) -> bool:
        """Whether it has rows of floats."""
        return bool(value.shape()) and not BY_NUMBER[value.element_type()].shown.is_integer

    def is_close(self, one: OrtValue, other: OrtValue) -> bool:
        """Whether two outputs are the same, to rounding."""
        if one.shape() != other.shape() or one.element_type() != other.element_type():
            return False
        left, right = _elements(one), _elements(other)
        if not self.is_float(one):
            return bool(np.array_equal(left, right))
        tolerance = tolerance_for(8 * left.itemsize, is_cpu=True)
        left, right = left.astype(np.float64), right.astype(np.float64)
        finite = left[np.isfinite(left)]
        largest = float(np.abs(finite).max()) if finite.size else 0.0
        return bool(np.allclose(left, right, rtol=tolerance, atol=tolerance * largest, equal_nan=True))

    def is_out_of_memory(self, error: BaseException) -> bool:
        """Whether memory ran out."""
        return is_out_of_memory(error)

    def gist(self, error: BaseException) -> str:
        """The message of an exception."""
        return gist(error)


def _elements(value: OrtValue) -> _Array:
    """The elements of a value, in its memory."""
    dtype = BY_NUMBER[value.element_type()].numpy
    return np.frombuffer(memory_of(value), dtype).reshape(value.shape())
