"""The conversion of a guest's elements to the type that a model takes; a value that does not fit is refused."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np

from wasi_nn_torch.contract.errors import ErrorCode, NnError
from wasi_nn_torch.contract.text import quote
from wasi_nn_torch.contract.vocabulary import ElementType
from wasi_nn_torch.onnx.dtypes import OF_WASI_NN, OnnxType

_WHOLE = "U8, I32 or I64"
_FRACTIONS = "FP16, BF16, FP32 or FP64"


def converted(data: bytearray, dtype: ElementType, wanted: OnnxType, name: str) -> np.ndarray[Any, Any]:
    """The elements of a guest's tensor `name`, flat, in the type `wanted`.

    An integer can become any integer or a boolean (0 is false, all else is true), and a float any float. Raises NnError
    `invalid-argument` for another pair, and for a value outside the range of `wanted`; a value between two floats is
    rounded.
    """
    given = np.frombuffer(data, OF_WASI_NN[dtype].numpy)
    if dtype.is_integer != wanted.shown.is_integer:
        whole = wanted.shown.is_integer
        instead = (_WHOLE if whole else _FRACTIONS) + (", where 0 is false" if wanted.name == "bool" else "")
        raise NnError(
            ErrorCode.INVALID_ARGUMENT,
            f"tensor {quote(name)} is {dtype.spelling}; the model wants {wanted.name}: give {instead}",
        )
    if wanted.name != "bool":
        _require_range(given, wanted, name)
    return given.astype(wanted.numpy)


def _require_range(given: np.ndarray[Any, Any], wanted: OnnxType, name: str) -> None:
    finite = given if wanted.shown.is_integer else given[np.isfinite(given)]
    if not finite.size:
        return
    limits: Any = np.iinfo if wanted.shown.is_integer else ml_dtypes.finfo
    numbers = limits(wanted.numpy)
    for value in (finite.min(), finite.max()):
        if not numbers.min <= value <= numbers.max:
            raise NnError(
                ErrorCode.INVALID_ARGUMENT,
                f"tensor {quote(name)} has the value {value}; the model takes {wanted.name}, "
                f"from {numbers.min} to {numbers.max}",
            )
