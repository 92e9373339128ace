"""The tensor types of wasi-nn as PyTorch knows them, and the way to them from dtypes that wasi-nn cannot name."""

from enum import Enum

import torch

from wasi_nn_torch.errors import ErrorCode, NnError, quote


class ElementType(Enum):
    """A `tensor-type` of wasi-nn: the name is WIT's, the value is PyTorch's dtype."""

    FP16 = torch.float16
    FP32 = torch.float32
    FP64 = torch.float64
    BF16 = torch.bfloat16
    U8 = torch.uint8
    I32 = torch.int32
    I64 = torch.int64

    @property
    def item_size(self) -> int:
        """The size of one element, in bytes."""
        return self.value.itemsize

    @property
    def is_integer(self) -> bool:
        """Whether the elements are whole numbers."""
        return not self.value.is_floating_point


_NAMED = frozenset(element_type.value for element_type in ElementType)

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
    if tensor.dtype in _NAMED:
        return tensor
    if tensor.dtype in _WIDENED:
        return tensor.to(_WIDENED[tensor.dtype].value)
    raise _unsupported(f"output {quote(name)} has the dtype {spell(tensor.dtype)}", "one of " + " ".join(_names()))


def spell(constant: torch.dtype | torch.layout) -> str:
    """Return the name of a dtype or layout as people say it: `complex64`, not `torch.complex64`."""
    return str(constant).removeprefix("torch.").removeprefix("_")


def _names() -> list[str]:
    return [element_type.name for element_type in ElementType]


def _unsupported(what: str, instead: str) -> NnError:
    return NnError(
        ErrorCode.UNSUPPORTED_OPERATION, f"{what}, which wasi-nn cannot express; let the model return {instead}"
    )
