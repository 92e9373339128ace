"""The order of a convolution's weights in memory: with the channels last, image networks are faster on the CPU.

PyTorch lets what a convolution returns follow its weights, and what comes after follows that. So it is enough to lay
out the weights; inputs are converted by the first convolution, and outputs are put in order by the context.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import torch

#: What a convolution of images is called.
CONVOLUTIONS = frozenset({"aten::conv2d", "aten::_convolution", "aten::convolution", "aten::conv_transpose2d"})

#: Where the other order was measured to win; for FP64 PyTorch has kernels that are twice as slow.
_DTYPES = (torch.float32, torch.bfloat16)

#: The first fail or answer differently where the order in memory is another; the last one loses time by it.
#: A dropout stays in the code of a model that does not train, and does nothing then.
_DEPENDENT = frozenset(
    f"aten::{name}"
    for name in (
        "as_strided as_strided_ stride is_contiguous is_strides_like_format resize_ resize_as_ set_ set storage_offset "
        "view_as view_as_real view_as_complex _unsafe_view _reshape_alias rand_like randn_like randint_like bernoulli "
        "instance_norm"
    ).split()
)


def follows_any_layout(kind: str) -> bool:
    """Whether an operator, such as "aten::relu", computes the same values, as fast, whatever the order in memory.

    `aten::view` does not where it would have to copy; `aten::reshape` does the same, and copies then.
    """
    return kind.startswith(("aten::", "prim::")) and kind not in _DEPENDENT


def is_kernel(tensor: torch.Tensor) -> bool:
    """Whether a tensor, as the weights of a convolution, gains by another order."""
    return tensor.dim() == 4 and tensor.dtype in _DTYPES and is_compact(tensor)


def is_compact(tensor: torch.Tensor) -> bool:
    """Whether a tensor is as large as its memory, so that a copy takes no more.

    A model from a guest may have tensors that repeat a few elements, and are larger than any memory when copied.
    """
    return tensor.is_contiguous() and tensor.untyped_storage().nbytes() == tensor.nbytes


def unshared(tensors: Iterable[torch.Tensor]) -> list[torch.Tensor]:
    """Those tensors that share their memory with no other of them; copies of the others would take more memory."""
    every = list(tensors)
    owners = Counter(tensor.untyped_storage().data_ptr() for tensor in every)
    return [tensor for tensor in every if owners[tensor.untyped_storage().data_ptr()] == 1]


def channels_last(weights: torch.Tensor) -> torch.Tensor:
    """The weights in the other order; themselves where they are in it."""
    return weights.to(memory_format=torch.channels_last)
