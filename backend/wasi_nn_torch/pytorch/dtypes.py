"""The tensor types of wasi-nn as PyTorch knows them, and the way to them from dtypes that wasi-nn cannot name."""

from __future__ import annotations

import torch

from wasi_nn_torch.contract.errors import ErrorCode, NnError, quote
from wasi_nn_torch.contract.vocabulary import ElementType

DTYPES = {
    ElementType.FP16: torch.float16,
    ElementType.FP32: torch.float32,
    ElementType.FP64: torch.float64,
    ElementType.BF16: torch.bfloat16,
    ElementType.U8: torch.uint8,
    ElementType.I32: torch.int32,
    ElementType.I64: torch.int64,
}
"""PyTorch's dtype for each `tensor-type` of wasi-nn."""

ELEMENT_TYPES = {dtype: element_type for element_type, dtype in DTYPES.items()}
"""The `tensor-type` for each dtype that wasi-nn can name."""

# Each value of the dtype on the left is a value of the type on the right.
_WIDENED = {
    torch.bool: ElementType.U8,
    torch.int8: ElementType.I32,
    torch.int16: ElementType.I32,
    torch.uint16: ElementType.I32,
    torch.uint32: ElementType.I64,
    torch.float8_e4m3fn: ElementType.FP16,
    torch.float8_e4m3fnuz: ElementType.FP16,
    torch.float8_e5m2: ElementType.FP16,
    torch.float8_e5m2fnuz: ElementType.FP16,
    # Only an exponent, from 2**-127 to 2**127: half precision does not reach that far.
    torch.float8_e8m0fnu: ElementType.FP32,
}


def widen(tensor: torch.Tensor, name: str) -> torch.Tensor:
    """Return an output in a dtype that wasi-nn can name: itself, or a copy that loses nothing.

    Raises NnError `unsupported-operation` that names the output and its dtype where there is no such dtype, and for
    tensors that are more than an array of elements (sparse, nested).
    """
    if tensor.layout is not torch.strided or tensor.is_nested:
        kind = "nested" if tensor.is_nested else spell(tensor.layout)
        raise _unsupported(f"output {quote(name)} is a {kind} tensor", "a dense tensor")
    if tensor.dtype in ELEMENT_TYPES:
        return tensor
    if tensor.dtype in _WIDENED:
        return tensor.to(DTYPES[_WIDENED[tensor.dtype]])
    raise _unsupported(f"output {quote(name)} has the dtype {spell(tensor.dtype)}", "one of " + " ".join(_names()))


def spell(constant: torch.dtype | torch.layout) -> str:
    """Return the name of a dtype or layout as people say it: `complex64`, not `torch.complex64`."""
    return str(constant).removeprefix("torch.").removeprefix("_")


def find_dtype(name: str) -> torch.dtype | None:
    """Return the dtype that PyTorch or wasi-nn calls so, as "bool" or "FP32", or None."""
    if name in ElementType.__members__:
        return DTYPES[ElementType[name]]
    found = getattr(torch, name, None)
    return found if isinstance(found, torch.dtype) else None


def _names() -> list[str]:
    return [element_type.name for element_type in ElementType]


def _unsupported(what: str, instead: str) -> NnError:
    return NnError(
        ErrorCode.UNSUPPORTED_OPERATION, f"{what}, which wasi-nn cannot express; let the model return {instead}"
    )
