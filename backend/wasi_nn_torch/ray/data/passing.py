"""Columns as the named tensors that a pipeline gets: for all rows of a batch together, or for one row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from wasi_nn_torch.contract.text import quote
from wasi_nn_torch.pipelines.byte_strings import serialized
from wasi_nn_torch.pipelines.calling import InputError
from wasi_nn_torch.pipelines.datatypes import BYTES, Datatype, spell
from wasi_nn_torch.pipelines.values import Description, Value, fits
from wasi_nn_torch.ray.data.reading import Array, Column, ColumnError
from wit_host import view_of


def of_batch(column: Column, wanted: Description, rows: Sequence[int] | None) -> Value:
    """The tensor of an input for some rows, or for all; raises InputError and ColumnError.

    Its first dimension is that of the rows.
    """
    cells = column.cells
    if rows is not None:
        cells = cells[np.asarray(rows, int)] if isinstance(cells, np.ndarray) else [cells[row] for row in rows]
    if wanted.datatype is BYTES:
        elements = [element for cell in cells for element in _elements(column, cell)]
        shape = (len(cells), *_byte_shape(cells))
        return _fitting(column, wanted, shape, memoryview(serialized(elements)))
    return _of_numbers(column, wanted, cells if isinstance(cells, np.ndarray) else _stacked(column, cells))


def of_row(column: Column, wanted: Description, row: int) -> Value:
    """The tensor of an input for one row, with the shape of the cell, `[1]` for a single element.

    Raises InputError and ColumnError.
    """
    cell = column.cells[row]
    if wanted.datatype is BYTES:
        elements = _elements(column, cell)
        return _fitting(column, wanted, (len(elements),), memoryview(serialized(elements)))
    return _of_numbers(column, wanted, np.atleast_1d(_numbers(column, cell)))


def _of_numbers(column: Column, wanted: Description, array: Array) -> Value:
    if wanted.datatype is None:
        raise ColumnError(f"the input {quote(wanted.name)} has no datatype")
    data = np.ascontiguousarray(_cast(column, array, wanted.datatype))
    return _fitting(column, wanted, array.shape, _shared(data))


def _shared(array: Array) -> memoryview:
    """The memory of an array, which is not written to.

    A buffer that says that it cannot be written to, as those of Ray do, would be copied.
    """
    return view_of(array, array.ctypes.data, array.nbytes) if array.nbytes else memoryview(b"")


def _fitting(column: Column, wanted: Description, shape: tuple[int, ...], data: memoryview) -> Value:
    if not fits(shape, wanted.shape):
        raise InputError(
            f"the column {quote(column.name)} gives {quote(wanted.name)} the shape {spell(shape)}; expected "
            f"{spell(wanted.shape)}"
        )
    if wanted.datatype is None:
        raise ColumnError(f"the input {quote(wanted.name)} has no datatype")
    return Value(wanted.name, wanted.datatype, shape, data)


def _cast(column: Column, array: Array, wanted: Datatype) -> Array:
    """The numbers in another dtype of their kind, if they are in its range; integers may become floats."""
    dtype = np.dtype(wanted.dtype)
    if array.dtype == dtype:
        return array
    if array.dtype.kind not in _SOURCES[dtype.kind]:
        raise ColumnError(
            f"the column {quote(column.name)} has elements of {array.dtype}; {wanted.name} was expected; "
            f"{_advice(array)}"
        )
    if dtype.kind in "iu" and array.size:
        limits = np.iinfo(dtype)
        low, high = int(array.min()), int(array.max())
        if low < limits.min or high > limits.max:
            raise InputError(
                f"the column {quote(column.name)} has values from {low} to {high}, which {wanted.name} does not have"
            )
    with np.errstate(over="ignore"):
        made = array.astype(dtype)
    if dtype.kind == "f" and (np.isinf(made) > np.isinf(array)).any():
        raise InputError(f"the column {quote(column.name)} has values that are too large for {wanted.name}")
    return made


def _advice(array: Array) -> str:
    if array.dtype.kind == "f" and np.isnan(array).any():
        return (
            'NaN is what Ray makes of nulls in batches of NumPy, so use `batch_format="pyarrow"`, or convert them first'
        )
    return "convert them first"


#: The kinds of dtypes whose elements may become one of a kind.
_SOURCES = {"b": "b", "i": "iu", "u": "iu", "f": "fiu"}


def _elements(column: Column, cell: Any) -> Sequence[bytes]:  # noqa: ANN401  # whatever a column has
    """The elements of BYTES in a cell: one, or several if it is a list of them."""
    if isinstance(cell, list) and all(isinstance(each, bytes | str) for each in cell):
        return [each.encode() if isinstance(each, str) else each for each in cell]
    if isinstance(cell, np.ndarray | np.generic | list | int | float):
        raise ColumnError(f"the column {quote(column.name)} has numbers; strings or bytes were expected")
    return [memoryview(cell)]  # type: ignore[list-item]  # any buffer has a length and can be appended


def _byte_shape(cells: Array | Sequence[Any]) -> tuple[int, ...]:
    lengths = {len(cell) for cell in cells if isinstance(cell, list)}
    if len(lengths) > 1:
        raise InputError("the rows have different numbers of strings; call the guest for each row")
    return tuple(lengths)


def _numbers(column: Column, cell: Any) -> Array:  # noqa: ANN401  # whatever a column has
    if isinstance(cell, np.ndarray | np.generic | int | float):
        return np.asarray(cell)
    raise ColumnError(f"the column {quote(column.name)} has strings or bytes; numbers were expected")


def _stacked(column: Column, cells: Sequence[Any]) -> Array:
    arrays = [_numbers(column, cell) for cell in cells]
    shapes = {array.shape for array in arrays}
    if len(shapes) > 1:
        raise InputError(
            f"the rows of the column {quote(column.name)} have different shapes, so they are not a tensor; call the "
            'guest for each row (`per="row"`)'
        )
    return np.stack(arrays) if arrays else np.empty(0)
