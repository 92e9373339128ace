"""The check that a guest's tensor fits the dtype that a model expects: a value that does not fit is refused."""

from __future__ import annotations

import math

import torch

from wasi_nn_torch.contract.errors import ErrorCode, NnError
from wasi_nn_torch.contract.text import quote
from wasi_nn_torch.pytorch.dtypes import ELEMENT_TYPES, spell

#: The integer dtypes that a guest's integers can be converted to.
INTEGERS = frozenset(
    {torch.uint8, torch.int8, torch.int16, torch.uint16, torch.int32, torch.uint32, torch.int64, torch.uint64}
)

_INFINITE = frozenset({torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.float8_e5m2})
_FINITE = frozenset({torch.float8_e4m3fn, torch.float8_e4m3fnuz, torch.float8_e5m2fnuz, torch.float8_e8m0fnu})
#: The floating-point dtypes that a guest's floats can be converted to.
FLOATS = _INFINITE | _FINITE

_PARTS = {torch.complex32: torch.float16, torch.complex64: torch.float32, torch.complex128: torch.float64}

#: Every dtype that a guest's tensor can be converted to.
OFFERED = INTEGERS | FLOATS | _PARTS.keys() | {torch.bool}

_WHOLE = "U8, I32 or I64"
_FRACTIONS = "FP16, BF16, FP32 or FP64"


def require_values(tensor: torch.Tensor, wanted: torch.dtype, name: str) -> None:
    """Raise NnError `invalid-argument` unless `tensor.to(wanted)` keeps the meaning of a guest's tensor `name`.

    The tensor has a dtype that wasi-nn can name. An integer can become any integer or a boolean (0 is false, all else
    is true), and a float can become any float. A value outside the range of `wanted` is refused, and so is an infinity
    if `wanted` has none; a value between two floats is rounded. The elements are read only if the range of `wanted` is
    smaller.
    """
    is_whole = tensor.dtype in INTEGERS
    if wanted is torch.bool or wanted in INTEGERS:
        if not is_whole:
            raise _wrong_type(tensor, wanted, name)
        if wanted is not torch.bool:
            _require_whole(tensor, wanted, name)
        return
    if is_whole or wanted not in OFFERED:
        raise _wrong_type(tensor, wanted, name)
    _require_floats(tensor, _PARTS.get(wanted, wanted), name)


def _require_whole(tensor: torch.Tensor, wanted: torch.dtype, name: str) -> None:
    given, taken = torch.iinfo(tensor.dtype), torch.iinfo(wanted)
    if (taken.min <= given.min and given.max <= taken.max) or tensor.numel() == 0:
        return
    for value in _extremes(tensor):
        if not taken.min <= value <= taken.max:
            raise _beyond(name, value, wanted, taken.min, taken.max)


def _require_floats(tensor: torch.Tensor, wanted: torch.dtype, name: str) -> None:
    least, most = _range(wanted)
    if (wanted in _INFINITE and most >= torch.finfo(tensor.dtype).max) or tensor.numel() == 0:
        return
    extremes = _extremes(tensor)
    if not all(map(math.isfinite, extremes)):
        if wanted not in _INFINITE and bool(tensor.isinf().any()):
            raise _beyond(name, math.inf, wanted, least, most)
        finite = tensor[tensor.isfinite()]
        extremes = _extremes(finite) if finite.numel() else ()
    for value in extremes:
        if not least <= value <= most:
            raise _beyond(name, value, wanted, least, most)


def _range(wanted: torch.dtype) -> tuple[float, float]:
    numbers = torch.finfo(wanted)
    # This dtype has no sign and no zero, although PyTorch reports both.
    return (numbers.smallest_normal if wanted is torch.float8_e8m0fnu else numbers.min), numbers.max


def _extremes(tensor: torch.Tensor) -> tuple[float, ...]:
    """The least and the greatest element; NaN if any element is NaN."""
    least, most = tensor.aminmax()
    return least.item(), most.item()


def _beyond(name: str, value: float, wanted: torch.dtype, least: float, most: float) -> NnError:
    return NnError(
        ErrorCode.INVALID_ARGUMENT,
        f"tensor {quote(name)} has the value {value}; the model takes {spell(wanted)}, from {least} to {most}",
    )


def _wrong_type(tensor: torch.Tensor, wanted: torch.dtype, name: str) -> NnError:
    whole = wanted is torch.bool or wanted in INTEGERS
    instead = (_WHOLE if whole else _FRACTIONS) + (", where 0 is false" if wanted is torch.bool else "")
    given = ELEMENT_TYPES[tensor.dtype].spelling
    return NnError(
        ErrorCode.INVALID_ARGUMENT,
        f"tensor {quote(name)} is {given}; the model wants {spell(wanted)}: give {instead}",
    )
