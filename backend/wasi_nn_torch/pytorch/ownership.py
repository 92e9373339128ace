"""Other references to a tensor's memory, tensors without any, and the memory that several tensors take together.

Comparing addresses with those of parameters and buffers would miss tensors that a model keeps in lists and constants.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable

import torch


def is_sole_owner(tensor: torch.Tensor) -> bool:
    """Whether no other tensor and no storage object refers to the memory; False if this PyTorch cannot tell.

    Further references to the very same tensor object are not seen.
    """
    return _CAN_TELL and _references(tensor) == _SOLE


def _references(tensor: torch.Tensor) -> tuple[int, int]:
    """Count what refers to a tensor's storage: in PyTorch, and in Python to the object through which it is asked."""
    storage = tensor.untyped_storage()
    return torch._C._storage_Use_Count(storage._cdata), sys.getrefcount(storage)


_CAN_TELL = hasattr(torch._C, "_storage_Use_Count")
# Counted, since the object through which it is asked counts too.
_SOLE = _references(torch.empty(1)) if _CAN_TELL else None


def independent(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor that is the only owner of its storage and fills it: the same one, or a contiguous copy."""
    if is_sole_owner(tensor) and tensor.untyped_storage().nbytes() == tensor.nbytes:
        return tensor
    return tensor.clone(memory_format=torch.contiguous_format)


def size_of(tensors: Iterable[torch.Tensor]) -> int:
    """The memory that tensors take together, in bytes; what several of them share is counted once."""
    storages = {storage.data_ptr(): storage.nbytes() for storage in (tensor.untyped_storage() for tensor in tensors)}
    return sum(storages.values())
