"""What a pipeline returned as columns of Arrow, with nulls in the rows that failed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from ray.data.extensions import ArrowTensorArray, ArrowVariableShapedTensorArray, ArrowVariableShapedTensorType

from wasi_nn_torch.contract.text import quote
from wasi_nn_torch.pipelines.byte_strings import elements
from wasi_nn_torch.pipelines.datatypes import BYTES, Datatype, spell
from wasi_nn_torch.pipelines.results import Misfit
from wasi_nn_torch.pipelines.values import ANY, Description, Value
from wasi_nn_torch.ray.data.reading import Array

#: What a row has in a column: an array or a number, bytes or a list of them, a string.
Cell = Any
Bits = npt.NDArray[np.bool_]


def of_batch(value: Value, count: int, is_text: bool) -> Array | list[Cell]:
    """The cells of all rows; raises Misfit unless the first dimension is that of the rows."""
    if not value.shape or value.shape[0] != count:
        raise Misfit(
            f"output {quote(value.name)} is {spell(value.shape)}; its first size must be {count}, the number of rows"
        )
    if value.datatype is not BYTES:
        return _array(value)
    texts = [_text(value.name, each) if is_text else bytes(each) for each in elements(value.data)]
    if len(value.shape) == 1:
        return texts
    size = len(texts) // count if count else 0
    return [texts[row * size : row * size + size] for row in range(count)]


def of_row(value: Value, wanted: Description, is_text: bool) -> Cell:
    """The cell of one row: a single element if `[1]` is described."""
    if value.datatype is not BYTES:
        array = _array(value)
        return array[0] if wanted.shape == (1,) else array
    texts = [_text(value.name, each) if is_text else bytes(each) for each in elements(value.data)]
    return texts[0] if wanted.shape == (1,) else texts


def column(
    cells: Array | Sequence[Cell], wanted: Description, is_valid: Bits, per_row: bool, is_text: bool
) -> pa.Array:
    """A column from the cells of the valid rows, in their order, and nulls in the others."""
    if wanted.datatype is None:
        raise TypeError(f"output {wanted.name} has no datatype")
    if wanted.datatype is BYTES:
        kind = pa.string() if is_text else pa.binary()
        is_list = wanted.shape != (1,) if per_row else len(wanted.shape) > 1
        return pa.array(_spread(cells, is_valid), pa.list_(kind) if is_list else kind)
    if not per_row:
        return _of_numbers(cells, wanted.datatype, _fixed(wanted.shape[1:]), is_valid)
    if wanted.shape == (1,):
        return _of_numbers(cells, wanted.datatype, (), is_valid)
    if ANY not in wanted.shape:
        return _of_numbers(cells, wanted.datatype, wanted.shape, is_valid)
    if len(wanted.shape) == 1:
        return pa.array(_spread(cells, is_valid), pa.list_(pa.from_numpy_dtype(np.dtype(wanted.datatype.dtype))))
    return _of_shapes(cells, wanted, wanted.datatype, is_valid)


def _array(value: Value) -> Array:
    return np.frombuffer(value.data, np.dtype(value.datatype.dtype)).reshape(value.shape)


def _text(name: str, element: memoryview) -> str:
    try:
        return str(element, "utf-8")
    except UnicodeDecodeError:
        reason = f"output {quote(name)} is not text in UTF-8"
    raise Misfit(reason)


def _spread(cells: Array | Sequence[Cell], is_valid: Bits) -> list[Cell]:
    each = iter(cells)
    return [next(each) if valid else None for valid in is_valid]


def _fixed(shape: Sequence[int]) -> tuple[int, ...]:
    """The shape of a row if nothing was returned: no elements along what varies."""
    return tuple(0 if size == ANY else size for size in shape)


def _of_numbers(cells: Array | Sequence[Cell], datatype: Datatype, shape: tuple[int, ...], is_valid: Bits) -> pa.Array:
    dtype = np.dtype(datatype.dtype)
    array = np.asarray(cells, dtype) if len(cells) else np.empty((0, *shape), dtype)
    if is_valid.all():
        return _column_of(array)
    # Consumers that know no nulls see that there is no answer, as far as the dtype can say it.
    whole = np.full((len(is_valid), *array.shape[1:]), np.nan if dtype.kind == "f" else 0, dtype)
    whole[is_valid] = array
    if whole.ndim == 1:
        return pa.array(whole, mask=~is_valid)
    return _with_nulls(_column_of(whole), is_valid)


def _column_of(array: Array) -> pa.Array:
    return pa.array(array) if array.ndim == 1 else ArrowTensorArray.from_numpy(array)


def _of_shapes(cells: Array | Sequence[Cell], wanted: Description, datatype: Datatype, is_valid: Bits) -> pa.Array:
    """A column of arrays that differ in their shapes."""
    dtype = np.dtype(datatype.dtype)
    if not len(is_valid):
        kind = ArrowVariableShapedTensorType(pa.from_numpy_dtype(dtype), len(wanted.shape))
        return pa.ExtensionArray.from_storage(kind, pa.array([], kind.storage_type))
    none = np.empty(_fixed(wanted.shape), dtype)
    arrays = np.empty(len(is_valid), object)
    for row, cell in enumerate(_spread(cells, is_valid)):
        arrays[row] = none if cell is None else cell
    made = ArrowVariableShapedTensorArray.from_numpy(arrays)
    return made if is_valid.all() else _with_nulls(made, is_valid)


def _with_nulls(array: pa.ExtensionArray, is_valid: Bits) -> pa.Array:
    """The same elements, of which some are null."""
    storage = array.storage
    kind = storage.type
    children = (
        [storage.field(index) for index in range(kind.num_fields)] if pa.types.is_struct(kind) else [storage.values]
    )
    bits = pa.array(is_valid).buffers()[1]
    own = storage.buffers()[1 : kind.num_buffers]
    made = pa.Array.from_buffers(kind, len(array), [bits, *own], children=children)
    return pa.ExtensionArray.from_storage(array.type, made)
