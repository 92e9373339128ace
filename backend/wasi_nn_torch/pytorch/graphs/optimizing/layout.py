"""The memory layout of a convolution's weights: with channels last, image networks are faster on the CPU.

In PyTorch the result of a convolution has the layout of its weights, and later results follow that. So it is enough to
lay out the weights: the first convolution converts the inputs, and the context restores the order of outputs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import torch

#: The names of the convolutions of images.
CONVOLUTIONS = frozenset({"aten::conv2d", "aten::_convolution", "aten::convolution", "aten::conv_transpose2d"})

#: The dtypes for which channels last was measured to be faster; for FP64, PyTorch's kernels are twice as slow.
_DTYPES = (torch.float32, torch.bfloat16)

#: Operators that depend on the memory layout: all but the last fail or give other results, and the last one is slower.
#: Dropout is not among them: it remains in the code of a model that does not train, but does nothing.
_DEPENDENT = frozenset(
    f"aten::{name}"
    for name in (
        "as_strided as_strided_ stride is_contiguous is_strides_like_format resize_ resize_as_ set_ set storage_offset "
        "view_as view_as_real view_as_complex _unsafe_view _reshape_alias rand_like randn_like randint_like bernoulli "
        "instance_norm"
    ).split()
)


def follows_any_layout(kind: str) -> bool:
    """Whether an operator, such as "aten::relu", computes the same values equally fast for every memory layout.

    `aten::view` fails if it would have to copy; `aten::reshape` copies in that case.
    """
    return kind.startswith(("aten::", "prim::")) and kind not in _DEPENDENT


def is_kernel(tensor: torch.Tensor) -> bool:
    """Whether a tensor, as the weights of a convolution, benefits from another layout."""
    return tensor.dim() == 4 and tensor.dtype in _DTYPES and is_compact(tensor)


def is_compact(tensor: torch.Tensor) -> bool:
    """Whether a tensor is exactly as large as its memory, so that a copy takes no more.

    The tensors of a guest-supplied model may repeat a few elements, so that a copy would exceed any memory.
    """
    return tensor.is_contiguous() and tensor.untyped_storage().nbytes() == tensor.nbytes


def unshared(tensors: Iterable[torch.Tensor]) -> list[torch.Tensor]:
    """The tensors that share their memory with none of the others; copies of those that do would take more memory."""
    every = list(tensors)
    owners = Counter(tensor.untyped_storage().data_ptr() for tensor in every)
    return [tensor for tensor in every if owners[tensor.untyped_storage().data_ptr()] == 1]


def channels_last(weights: torch.Tensor) -> torch.Tensor:
    """The weights with channels last; the same tensor if it already has that layout."""
    return weights.to(memory_format=torch.channels_last)
