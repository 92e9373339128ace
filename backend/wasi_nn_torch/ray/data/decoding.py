"""Columns of Arrow without the encodings that save memory: dictionaries, runs, and views of strings and lists."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

ArrowColumn: TypeAlias = pa.ChunkedArray | pa.Array

_VIEWS = {pa.string_view(): pa.large_string(), pa.binary_view(): pa.large_binary()}


def decoded(column: ArrowColumn) -> ArrowColumn:
    """The same elements, in plain strings, bytes, numbers and lists; what is not encoded stays where it is."""
    kind = column.type
    if not _is_encoded(kind):
        return column
    if isinstance(column, pa.ChunkedArray):
        return pa.chunked_array([decoded(chunk) for chunk in column.chunks or [pa.array([], kind)]])
    if kind in _VIEWS:
        return column.cast(_VIEWS[kind])
    if pa.types.is_dictionary(kind):
        return decoded(column.dictionary_decode())
    if pa.types.is_run_end_encoded(kind):
        return _of_runs(column)
    return _of_lists(column)


def is_list(kind: pa.DataType) -> bool:
    """Whether this is a type of lists, whatever their layout; maps are not."""
    types = pa.types
    fixed = types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)
    return bool(fixed or _is_list_view(kind))


def _is_list_view(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list_view(kind) or pa.types.is_large_list_view(kind))


def _is_encoded(kind: pa.DataType) -> bool:
    if kind in _VIEWS or pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind) or _is_list_view(kind):
        return True
    return is_list(kind) and _is_encoded(kind.value_type)


def _of_runs(column: pa.RunEndEncodedArray) -> pa.Array:
    rows = np.arange(column.offset, column.offset + len(column))
    runs = np.searchsorted(column.run_ends.to_numpy(), rows, "right")
    return decoded(column.values).take(pa.array(runs))


def _of_lists(column: pa.Array) -> pa.Array:
    """Lists one after the other; a cast of Arrow leaves the last offset of views unwritten."""
    lengths = pc.fill_null(column.value_lengths(), 0).to_numpy()
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    is_missing = np.append(column.is_null().to_numpy(zero_copy_only=False), False)
    return pa.LargeListArray.from_arrays(pa.array(offsets, pa.int64(), mask=is_missing), decoded(column.flatten()))
