"""The element types of ONNX, those of wasi-nn that they are given and shown as, and those of NumPy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import ml_dtypes
import numpy as np
from onnx import TensorProto

from wasi_nn_torch.contract.vocabulary import ElementType


@dataclass(frozen=True)
class OnnxType:
    """An element type of ONNX: its name, its number in a `TensorProto`, and NumPy's type.

    `shown` is the type of wasi-nn that an output has, and `is_same` is whether its elements have the same bits; if not,
    `shown` is a wider type that represents all values.
    """

    name: str
    number: int
    numpy: np.dtype[Any]
    shown: ElementType
    is_same: bool = True


_SAME = (
    OnnxType("float16", TensorProto.FLOAT16, np.dtype(np.float16), ElementType.FP16),
    OnnxType("float", TensorProto.FLOAT, np.dtype(np.float32), ElementType.FP32),
    OnnxType("double", TensorProto.DOUBLE, np.dtype(np.float64), ElementType.FP64),
    OnnxType("bfloat16", TensorProto.BFLOAT16, np.dtype(ml_dtypes.bfloat16), ElementType.BF16),
    OnnxType("uint8", TensorProto.UINT8, np.dtype(np.uint8), ElementType.U8),
    OnnxType("int32", TensorProto.INT32, np.dtype(np.int32), ElementType.I32),
    OnnxType("int64", TensorProto.INT64, np.dtype(np.int64), ElementType.I64),
)
_WIDENED = (
    OnnxType("bool", TensorProto.BOOL, np.dtype(np.bool_), ElementType.U8, False),
    OnnxType("int8", TensorProto.INT8, np.dtype(np.int8), ElementType.I32, False),
    OnnxType("int16", TensorProto.INT16, np.dtype(np.int16), ElementType.I32, False),
    OnnxType("uint16", TensorProto.UINT16, np.dtype(np.uint16), ElementType.I32, False),
    OnnxType("uint32", TensorProto.UINT32, np.dtype(np.uint32), ElementType.I64, False),
)

#: The ONNX type with the same bits as each type of wasi-nn.
OF_WASI_NN: Final[Mapping[ElementType, OnnxType]] = {each.shown: each for each in _SAME}

#: The types that guests can give and get, by the way in which ONNX Runtime spells the type of an input or output.
TYPES: Final[Mapping[str, OnnxType]] = {f"tensor({each.name})": each for each in _SAME + _WIDENED}

#: The same by their numbers in a `TensorProto`.
BY_NUMBER: Final[Mapping[int, OnnxType]] = {each.number: each for each in _SAME + _WIDENED}

NAMES: Final = ", ".join(each.name for each in _SAME + _WIDENED)
