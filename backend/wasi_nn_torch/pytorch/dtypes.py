"""The dtypes for the tensor types of wasi-nn, and the conversion from dtypes that wasi-nn cannot name."""

from __future__ import annotations

import torch

from wasi_nn_torch.contract.errors import ErrorCode, NnError
from wasi_nn_torch.contract.text import quote
from wasi_nn_torch.contract.vocabulary import ElementType

#: PyTorch's dtype for each `tensor-type` of wasi-nn.
DTYPES = {
    ElementType.FP16: torch.float16,
    ElementType.FP32: torch.float32,
    ElementType.FP64: torch.float64,
    ElementType.BF16: torch.bfloat16,
    ElementType.U8: torch.uint8,
    ElementType.I32: torch.int32,
    ElementType.I64: torch.int64,
}

#: The `tensor-type` for each dtype that wasi-nn can name.
ELEMENT_TYPES = {dtype: element_type for element_type, dtype in DTYPES.items()}

#: A wider tensor type for each dtype, which represents all of its values.
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
    # Only an exponent, from 2**-127 to 2**127, which is beyond the range of half precision.
    torch.float8_e8m0fnu: ElementType.FP32,
}


def nameable_dtype(tensor: torch.Tensor, name: str) -> torch.dtype:
    """The dtype in which wasi-nn can name an output: its own, or one to which its values convert without loss.

    That is I64 for uint64, as long as it has no larger values.

    Raises NnError `unsupported-operation`, which names the output and its dtype, if there is no such dtype, and for
    tensors that are not dense (sparse, nested) or have no memory.
    """
    if tensor.layout is not torch.strided or tensor.is_nested:
        kind = "nested" if tensor.is_nested else spell(tensor.layout)
        raise _unsupported(f"output {quote(name)} is a {kind} tensor", "a dense tensor")
    if tensor.is_meta:
        raise _unsupported(f"output {quote(name)} is on the device `meta`, which holds no elements", "a dense tensor")
    dtype = tensor.dtype
    if dtype in ELEMENT_TYPES:
        return dtype
    if dtype in _WIDENED:
        return DTYPES[_WIDENED[dtype]]
    if dtype is torch.uint64:
        if tensor.numel() and int(tensor.view(torch.int64).min()) < 0:
            raise _unsupported(f"output {quote(name)} has a value of uint64 above {2**63 - 1}", "smaller values")
        return torch.int64
    raise _unsupported(f"output {quote(name)} has the dtype {spell(tensor.dtype)}", "one of " + " ".join(_names()))


def wider_dtype(dtype: torch.dtype) -> torch.dtype | None:
    """The dtype that wasi-nn can name and that represents all values of a `dtype` that it cannot name, if any."""
    return DTYPES[_WIDENED[dtype]] if dtype in _WIDENED else None


def spell(constant: torch.dtype | torch.layout) -> str:
    """The short name of a dtype or layout: `complex64`, not `torch.complex64`."""
    return str(constant).removeprefix("torch.").removeprefix("_")


def spell_dtype(dtype: torch.dtype) -> str:
    """The name of a dtype in wasi-nn, or its name in PyTorch if wasi-nn has none."""
    return ELEMENT_TYPES[dtype].spelling if dtype in ELEMENT_TYPES else spell(dtype)


def find_dtype(name: str) -> torch.dtype | None:
    """The dtype with a name from PyTorch or wasi-nn, such as "bool" or "FP32"; None if there is none."""
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
