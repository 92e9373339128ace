"""Columns of a batch, which Ray gives as NumPy arrays, Arrow or pandas, as arrays and cells.

A column of numbers becomes an array, without a copy if its layout allows it. Any other becomes a list with one cell for
each row: an array, bytes, a number, or None.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
from ray.data.block import BlockAccessor

from wasi_nn_torch.contract.text import quote, quote_all

Array = npt.NDArray[Any]
Batch: TypeAlias = Mapping[str, Array] | pa.Table | pd.DataFrame

_NUMBERS = "biuf"
_BYTES = (pa.string(), pa.large_string(), pa.binary(), pa.large_binary())


class ColumnError(Exception):
    """A column that does not exist, or of a type that has no tensor; no row of it can be passed."""


@dataclass(frozen=True)
class Column:
    """A column: one element or cell for each row, and which rows have none."""

    name: str
    cells: Array | Sequence[Any]
    is_null: npt.NDArray[np.bool_] | None = None


class Rows:
    """A batch of rows, read by columns."""

    def __init__(self, batch: Batch) -> None:
        if isinstance(batch, pd.DataFrame):
            batch = BlockAccessor.for_block(batch).to_arrow()
        self._batch: Mapping[str, Array] | pa.Table = batch
        self.names: list[str] = batch.column_names if isinstance(batch, pa.Table) else list(batch)
        self.count = batch.num_rows if isinstance(batch, pa.Table) else len(next(iter(batch.values()), ()))

    def column(self, name: str) -> Column:
        """A column as array or cells; raises ColumnError."""
        if name not in self.names:
            raise ColumnError(f"there is no column {quote(name)}; the columns are {quote_all(self.names)}")
        column = self._batch[name]
        return _of_array(name, column) if isinstance(column, np.ndarray) else _of_arrow(name, column)

    def kept(self, names: Sequence[str]) -> dict[str, pa.ChunkedArray]:
        """Columns as Arrow, as they are; raises ColumnError."""
        missing = [name for name in names if name not in self.names]
        if missing:
            raise ColumnError(f"there are no columns {quote_all(missing)}; the columns are {quote_all(self.names)}")
        if isinstance(self._batch, pa.Table):
            return {name: self._batch.column(name) for name in names}
        if not names:
            return {}
        table = BlockAccessor.batch_to_arrow_block({name: self._batch[name] for name in names})
        return {name: table.column(name) for name in names}


def _of_array(name: str, column: Array) -> Column:
    if column.dtype.kind in _NUMBERS:
        return Column(name, column)
    if column.dtype.kind == "U":
        return Column(name, [str(cell).encode() for cell in column])
    if column.dtype.kind == "S":
        return Column(name, [bytes(cell) for cell in column])
    if column.dtype.kind == "O":
        return _of_cells(name, [_cell(name, cell) for cell in column])
    raise ColumnError(_unknown(name, str(column.dtype)))


def _of_cells(name: str, cells: list[Any]) -> Column:
    is_null = np.fromiter((cell is None for cell in cells), bool, len(cells))
    return Column(name, cells, is_null if is_null.any() else None)


def _cell(name: str, cell: object) -> object:
    if isinstance(cell, str):
        return cell.encode()
    if cell is None or isinstance(cell, bytes | bytearray | memoryview) or cell is pd.NA:
        return None if cell is pd.NA else cell
    array = np.asarray(cell)
    if array.dtype.kind in _NUMBERS:
        return array
    raise ColumnError(_unknown(name, type(cell).__name__))


def _of_arrow(name: str, column: pa.ChunkedArray | pa.Array) -> Column:
    array = _whole(column)
    is_null = array.is_null().to_numpy(zero_copy_only=False) if array.null_count else None
    kind = array.type
    if isinstance(array, pa.ExtensionArray):
        return _of_tensors(name, array, is_null)
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind):
        whole = array if is_null is None else array.fill_null(False if pa.types.is_boolean(kind) else 0)
        return Column(name, whole.to_numpy(zero_copy_only=False), is_null)
    if _is_bytes(kind):
        return Column(name, [cell.as_buffer() if cell.is_valid else None for cell in array], is_null)
    if _is_list(kind) and not _is_nested(kind.value_type):
        return _of_lists(name, array, is_null)
    if pa.types.is_null(kind):
        return Column(name, [None] * len(array), is_null)
    raise ColumnError(_unknown(name, str(kind)))


def _whole(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """A column as one array, in its own memory if it is in one piece."""
    if isinstance(column, pa.Array):
        return column
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks or [pa.array([], column.type)])


def _of_tensors(name: str, array: pa.ExtensionArray, is_null: npt.NDArray[np.bool_] | None) -> Column:
    if not hasattr(array.type, "shape"):
        raise ColumnError(_unknown(name, str(array.type)))
    to_numpy = getattr(array, "to_numpy_ndarray", array.to_numpy)
    cells: Array = to_numpy()
    return Column(name, cells if cells.dtype.kind in _NUMBERS else list(cells), is_null)


def _of_lists(name: str, array: pa.Array, is_null: npt.NDArray[np.bool_] | None) -> Column:
    if _is_bytes(array.type.value_type):
        return Column(name, [cell.as_py() for cell in array], is_null)
    lengths = array.value_lengths().to_numpy(zero_copy_only=False)
    if is_null is None and len(lengths) and (lengths == lengths[0]).all():
        numbers = array.flatten().to_numpy(zero_copy_only=False)
        return Column(name, numbers.reshape(len(array), lengths[0]))
    values = [cell.values.to_numpy(zero_copy_only=False) if cell.is_valid else None for cell in array]
    return Column(name, values, is_null)


def _is_bytes(kind: pa.DataType) -> bool:
    return kind in _BYTES or bool(pa.types.is_fixed_size_binary(kind))


def _is_list(kind: pa.DataType) -> bool:
    types = pa.types
    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def _is_nested(kind: pa.DataType) -> bool:
    return not (pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind) or _is_bytes(kind))


def _unknown(name: str, kind: str) -> str:
    return (
        f"the column {quote(name)} has the type {kind}, which no tensor has; use numbers, arrays of numbers, "
        "strings or bytes"
    )
