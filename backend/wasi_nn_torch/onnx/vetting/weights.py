"""The sizes of weights and constants, compared with their data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

import onnx
from onnx import TensorProto

from wasi_nn_torch.contract.text import quote
from wasi_nn_torch.onnx.vetting.refusal import refusal

#: The bytes of one element, and the field for elements that are not raw bytes.
_TYPES: Final[Mapping[int, tuple[int, str]]] = {
    TensorProto.FLOAT: (4, "float_data"),
    TensorProto.DOUBLE: (8, "double_data"),
    TensorProto.FLOAT16: (2, "int32_data"),
    TensorProto.BFLOAT16: (2, "int32_data"),
    TensorProto.BOOL: (1, "int32_data"),
    TensorProto.INT8: (1, "int32_data"),
    TensorProto.INT16: (2, "int32_data"),
    TensorProto.INT32: (4, "int32_data"),
    TensorProto.INT64: (8, "int64_data"),
    TensorProto.UINT8: (1, "int32_data"),
    TensorProto.UINT16: (2, "int32_data"),
    TensorProto.UINT32: (4, "uint64_data"),
    TensorProto.UINT64: (8, "uint64_data"),
}
_FIELDS: Final = ("float_data", "double_data", "int32_data", "int64_data", "uint64_data", "string_data")
_MOST_DIMENSIONS: Final = 64


def require_whole(tensor: onnx.TensorProto) -> None:
    """Raise NnError `security` unless a tensor has its data, all of it, in one field, and a type of numbers."""
    what = f"the constant {quote(tensor.name)}"
    if tensor.data_location != TensorProto.DEFAULT or tensor.external_data:
        raise refusal(f"{what} is in another file")
    if tensor.data_type not in _TYPES:
        raise refusal(f"{what} is of the type {_name(tensor.data_type)}, which is not one of plain numbers")
    if tensor.HasField("segment"):
        raise refusal(f"{what} is one segment of a tensor")
    if len(tensor.dims) > _MOST_DIMENSIONS or any(size < 0 for size in tensor.dims):
        raise refusal(f"{what} has dimensions that are negative or more than {_MOST_DIMENSIONS}")
    size, field = _TYPES[tensor.data_type]
    elements = math.prod(tensor.dims)
    used = [each for each in _FIELDS if len(getattr(tensor, each))]
    if tensor.HasField("raw_data"):
        given, fields = len(tensor.raw_data), ["raw_data", *used]
        expected = elements * size
    else:
        given, fields = len(getattr(tensor, field)), used
        expected = elements
    if given != expected or fields not in ([], ["raw_data"], [field]):
        raise refusal(f"{what} has data that does not fill its dimensions")


def _name(number: int) -> str:
    known: dict[int, str] = {value: name for name, value in TensorProto.DataType.items()}
    return known.get(number, str(number))
