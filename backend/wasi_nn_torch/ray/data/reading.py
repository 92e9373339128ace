"""Columns of a batch, which Ray gives as NumPy arrays, Arrow or pandas, as arrays and cells.

A column of numbers becomes an array, without a copy if its layout allows it. Any other becomes a list with one cell for
each row: an array, bytes, a list of bytes or strings, or None.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
from ray.data.block import BlockAccessor

from wasi_nn_torch.contract.text import one_line, quote, quote_all
from wasi_nn_torch.ray.data.decoding import ArrowColumn, decoded, is_list

Array = npt.NDArray[Any]
Batch: TypeAlias = Mapping[str, Array] | pa.Table | pd.DataFrame

_NUMBERS = "biuf"
#: Strings and bytes in NumPy: fixed in length, or StringDType.
_TEXTS = "UST"
#: Code points that only UTF-16 uses, in pairs.
_HALVES = re.compile("[\ud800-\udfff]")


class ColumnError(Exception):
    """A batch without a column, or with one whose type has no tensor; no row of it can be passed."""


@dataclass(frozen=True)
class Column:
    """A column: one element or cell for each row, and the rows that cannot be passed, with the reason."""

    name: str
    cells: Array | Sequence[Any]
    lacking: Mapping[int, str] = field(default_factory=dict)


class Rows:
    """A batch of rows, read by columns; raises ColumnError for anything else."""

    def __init__(self, batch: Batch) -> None:
        self._batch = _required(batch)
        self.names, self.count = _extent(self._batch)
        twice = sorted({name for name in self.names if self.names.count(name) > 1})
        if twice:
            raise ColumnError(f"there are several columns of the name {quote_all(twice)}; rename them")

    def column(self, name: str) -> Column:
        """A column as array or cells; raises ColumnError."""
        if name not in self.names:
            raise ColumnError(f"there is no column {quote(name)}; the columns are {quote_all(self.names)}")
        if isinstance(self._batch, pd.DataFrame):
            return _of_arrow(name, self._of_frame(self._batch, name))
        column = self._batch[name]
        return _of_array(name, column) if isinstance(column, np.ndarray) else _of_arrow(name, column)

    def kept(self, names: Sequence[str]) -> dict[str, pa.ChunkedArray]:
        """Columns as Arrow, as they are; raises ColumnError."""
        missing = [name for name in names if name not in self.names]
        if missing:
            raise ColumnError(f"there are no columns {quote_all(missing)}; the columns are {quote_all(self.names)}")
        if isinstance(self._batch, pa.Table):
            return {name: self._batch.column(name) for name in names}
        if isinstance(self._batch, pd.DataFrame):
            return {name: self._of_frame(self._batch, name) for name in names}
        if not names:
            return {}
        table = BlockAccessor.batch_to_arrow_block({name: self._batch[name] for name in names})
        return {name: table.column(name) for name in names}

    def _of_frame(self, frame: pd.DataFrame, name: str) -> pa.ChunkedArray:
        """A column of pandas as Ray makes one of Arrow from it."""
        chosen = frame.iloc[:, [self.names.index(name)]]
        try:
            return BlockAccessor.for_block(chosen).to_arrow().column(0)
        except Exception as error:  # noqa: BLE001  # pandas, Arrow and Ray raise many
            reason = (
                f"the column {quote(name)} of {chosen.dtypes.iloc[0]} cannot become one of Arrow: {one_line(error)}"
            )
        raise ColumnError(f"{reason}; convert it first, or leave it out with `keep`")


def _extent(batch: Batch) -> tuple[list[str], int]:
    """The names of the columns, and the number of rows."""
    if isinstance(batch, pa.Table):
        return batch.column_names, batch.num_rows
    if isinstance(batch, pd.DataFrame):
        return [str(name) for name in batch.columns], len(batch)
    return list(batch), len(next(iter(batch.values()), ()))


def _required(batch: Any) -> Batch:  # noqa: ANN401  # whatever Ray calls it with
    """The batch, if it is one; `Dataset.map` calls with a row, whose cells have no length in common."""
    if isinstance(batch, pa.Table | pd.DataFrame):
        return batch
    columns = list(batch.values()) if isinstance(batch, Mapping) else [batch]
    lengths = {len(each) if isinstance(each, np.ndarray) and each.ndim else None for each in columns}
    if None in lengths or len(lengths) > 1:
        raise ColumnError(
            "it was called with something else than a batch of columns; use `Dataset.map_batches`, where "
            '`per="row"` calls the guest for each row'
        )
    return batch


# --- NumPy ---


def _of_array(name: str, column: Array) -> Column:
    kind = column.dtype.kind
    if kind in _NUMBERS:
        return Column(name, column)
    if kind in _TEXTS and column.ndim <= 2:
        cells = column.tolist()
        return Column(name, cells) if column.ndim == 2 else _of_texts(name, cells)
    if kind == "O":
        return _of_objects(name, [None if cell is pd.NA else cell for cell in column])
    raise ColumnError(_unknown(name, str(column.dtype)))


def _of_objects(name: str, cells: list[Any]) -> Column:
    """A column of Python's objects: bytes and arrays as they are, anything else as Arrow understands it."""
    if all(cell is None or isinstance(cell, str | bytes | bytearray | memoryview) for cell in cells):
        return _of_texts(name, cells)
    if all(cell is None or (isinstance(cell, np.ndarray) and cell.dtype.kind in _NUMBERS) for cell in cells):
        return Column(name, cells, _nulls(name, (cell is None for cell in cells)))
    try:
        column = pa.array([cell.tolist() if isinstance(cell, np.ndarray) else cell for cell in cells])
    except (pa.ArrowException, OverflowError, UnicodeEncodeError) as error:
        reason = f"the column {quote(name)} has objects that no tensor has: {one_line(error)}"
    else:
        return _of_arrow(name, column)
    raise ColumnError(reason)


def _of_texts(name: str, cells: Sequence[Any]) -> Column:
    """A column of strings, bytes and None."""
    lacking = _nulls(name, (cell is None for cell in cells))
    encoded = [cell.encode("utf-8", "surrogatepass") if isinstance(cell, str) else cell for cell in cells]
    odd = {row: _not_text(name) for row, cell in enumerate(cells) if isinstance(cell, str) and not _is_text(cell)}
    return Column(name, encoded, {**lacking, **odd})


def _is_text(cell: str) -> bool:
    """Whether UTF-8 has all characters of a string; it has no halves of pairs."""
    return cell.isascii() or not _HALVES.search(cell)


# --- Arrow ---


def _of_arrow(name: str, column: ArrowColumn) -> Column:
    column = decoded(column)
    kind = column.type
    lacking = _nulls(name, column.is_null().to_numpy(zero_copy_only=False)) if column.null_count else {}
    if _is_bytes(kind):  # not put together, because offsets of 32 bits end at 2 GiB
        return Column(name, [cell.as_buffer() if cell.is_valid else None for cell in column], lacking)
    array = _whole(column)
    if isinstance(kind, pa.BaseExtensionType):
        return _of_tensors(name, array, lacking)
    if _is_number(kind):
        whole = array.fill_null(False if pa.types.is_boolean(kind) else 0) if lacking else array
        return Column(name, whole.to_numpy(zero_copy_only=False), lacking)
    if is_list(kind) and _is_bytes(kind.value_type):
        return _of_lists_of_bytes(name, array, lacking)
    if is_list(kind) and _is_number(_innermost(kind)):
        return _of_lists(name, array, lacking)
    if pa.types.is_null(kind):
        return Column(name, [None] * len(array), lacking)
    raise ColumnError(_unknown(name, str(kind)))


def _whole(column: ArrowColumn) -> pa.Array:
    """A column as one array, in its own memory if it is in one piece."""
    if isinstance(column, pa.Array):
        return column
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks or [pa.array([], column.type)])


def _of_tensors(name: str, array: pa.ExtensionArray, lacking: Mapping[int, str]) -> Column:
    if not hasattr(array.type, "shape"):
        raise ColumnError(_unknown(name, str(array.type)))
    there = array.drop_null() if lacking else array
    to_numpy = getattr(there, "to_numpy_ndarray", there.to_numpy)
    cells: Array = to_numpy()
    if not lacking:
        return Column(name, cells if cells.dtype.kind in _NUMBERS else list(cells))
    return Column(name, _spread(cells, len(array), lacking), lacking)


def _spread(there: Array, count: int, lacking: Mapping[int, str]) -> list[Any]:
    """The cells of `count` rows, from those that are there."""
    each = iter(there)
    return [None if row in lacking else next(each) for row in range(count)]


def _of_lists_of_bytes(name: str, array: pa.Array, lacking: Mapping[int, str]) -> Column:
    cells = array.to_pylist()
    within = {row: _incomplete(name) for row, cell in enumerate(cells) if cell is not None and None in cell}
    return Column(name, cells, {**lacking, **within})


def _of_lists(name: str, array: pa.Array, lacking: Mapping[int, str]) -> Column:
    """Lists of numbers, or of lists of them: together if all have the same lengths, or else each as an array."""
    there = array.drop_null() if lacking else array
    together = None if _has_null(there) else _stacked(there)
    if together is not None:
        return Column(name, _spread(together, len(array), lacking) if lacking else together, lacking)
    found = dict(lacking)
    cells: list[Array | None] = [None] * len(array)
    for row in range(len(array)):
        cell = array.slice(row, 1)
        stacked = None if row in found or _has_null(cell) else _stacked(cell)
        if stacked is not None:
            cells[row] = stacked[0]
        elif row not in found:
            found[row] = _incomplete(name) if _has_null(cell) else _ragged(name)
    return Column(name, cells, found)


def _stacked(array: pa.Array) -> Array | None:
    """The numbers in lists without nulls, in their own memory; None if lists of one level differ in their lengths."""
    shape = [len(array)]
    while is_list(array.type):
        lengths = array.value_lengths().to_numpy(zero_copy_only=False)
        if len(lengths) and (lengths != lengths[0]).any():
            return None
        shape.append(int(lengths[0]) if len(lengths) else 0)
        array = array.flatten()
    made: Array = array.to_numpy(zero_copy_only=False).reshape(shape)
    return made


def _has_null(array: pa.Array) -> bool:
    while is_list(array.type):
        if array.null_count:
            return True
        array = array.flatten()
    return bool(array.null_count)


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _is_bytes(kind: pa.DataType) -> bool:
    plain = (pa.string(), pa.large_string(), pa.binary(), pa.large_binary())
    return kind in plain or bool(pa.types.is_fixed_size_binary(kind))


def _innermost(kind: pa.DataType) -> pa.DataType:
    while is_list(kind):
        kind = kind.value_type
    return kind


# --- reasons ---


def _nulls(name: str, is_null: Iterable[bool]) -> dict[int, str]:
    reason = f"the column {quote(name)} is null"
    return {row: reason for row, null in enumerate(is_null) if null}


def _incomplete(name: str) -> str:
    return f"the column {quote(name)} has a list with a null"


def _not_text(name: str) -> str:
    return f"the column {quote(name)} has a string that UTF-8 does not have"


def _ragged(name: str) -> str:
    return f"the column {quote(name)} has lists of different lengths in a row, so they are not a tensor"


def _unknown(name: str, kind: str) -> str:
    return (
        f"the column {quote(name)} has the type {kind}, which no tensor has; use numbers, arrays of numbers, "
        "strings or bytes"
    )
