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
from wasi_nn_torch.pipelines.datatypes import BYTES, spell
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
    """A column from the cells of the valid rows, in their order, and nulls in the others.

    Its type follows from the description alone, so that all blocks of a dataset have the same one.
    """
    if wanted.datatype is None:
        raise TypeError(f"output {wanted.name} has no datatype")
    shape = _cell_shape(wanted, per_row)
    if wanted.datatype is BYTES:
        kind = pa.string() if is_text else pa.binary()
        return pa.array(_spread(cells, is_valid), pa.list_(kind) if shape else kind)
    dtype = np.dtype(wanted.datatype.dtype)
    if ANY not in shape:
        return _of_numbers(cells, dtype, shape, is_valid)
    return _of_lists(cells, dtype, is_valid) if len(shape) == 1 else _of_shapes(cells, dtype, shape, is_valid)


def _cell_shape(wanted: Description, per_row: bool) -> tuple[int, ...]:
    """The described shape of a cell; `()` for a single element."""
    if per_row:
        return () if wanted.shape == (1,) else wanted.shape
    return wanted.shape[1:]


def _array(value: Value) -> Array:
    dtype = np.dtype(value.datatype.dtype)
    if dtype.kind == "b":  # any byte but 0 is true, and Arrow looks at one bit of it
        return np.frombuffer(value.data, np.uint8).reshape(value.shape).astype(dtype)
    return np.frombuffer(value.data, dtype).reshape(value.shape)


def _text(name: str, element: memoryview) -> str:
    try:
        return str(element, "utf-8")
    except UnicodeDecodeError:
        reason = f"output {quote(name)} is not text in UTF-8"
    raise Misfit(reason)


def _spread(cells: Array | Sequence[Cell], is_valid: Bits) -> list[Cell]:
    each = iter(cells)
    return [next(each) if valid else None for valid in is_valid]


def _of_numbers(
    cells: Array | Sequence[Cell], dtype: np.dtype[Any], shape: tuple[int, ...], is_valid: Bits
) -> pa.Array:
    array = np.asarray(cells, dtype) if len(cells) else np.empty((0, *shape), dtype)
    if is_valid.all():
        return _column_of(array)
    # Consumers that know no nulls see that there is no answer, as far as the dtype can say it.
    whole = np.full((len(is_valid), *shape), np.nan if dtype.kind == "f" else 0, dtype)
    whole[is_valid] = array
    if whole.ndim == 1:
        return pa.array(whole, mask=~is_valid)
    return _with_nulls(_column_of(whole), is_valid)


def _column_of(array: Array) -> pa.Array:
    return pa.array(array) if array.ndim == 1 else ArrowTensorArray.from_numpy(array)


def _of_lists(cells: Array | Sequence[Cell], dtype: np.dtype[Any], is_valid: Bits) -> pa.Array:
    """A column of lists, in the memory of the cells if they are one array."""
    together = cells.ravel() if isinstance(cells, np.ndarray) else np.concatenate([np.empty(0, dtype), *cells])
    lengths = np.zeros(len(is_valid), np.int32)
    lengths[is_valid] = [len(cell) for cell in cells]
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    is_missing = np.append(~is_valid, False)
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32(), mask=is_missing), pa.array(together))


def _of_shapes(cells: Array | Sequence[Cell], dtype: np.dtype[Any], shape: tuple[int, ...], is_valid: Bits) -> pa.Array:
    """A column of arrays that may differ in their shapes."""
    if not len(is_valid):
        kind = ArrowVariableShapedTensorType(pa.from_numpy_dtype(dtype), len(shape))
        return pa.ExtensionArray.from_storage(kind, pa.array([], kind.storage_type))
    none = np.empty([0 if size == ANY else size for size in shape], dtype)
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
