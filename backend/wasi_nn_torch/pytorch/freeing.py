"""Freeing large tensors without making other threads wait.

PyTorch frees memory while it holds Python's lock, and the system takes tenths of a second to take back the pages of a
gigabyte. So the pages of a large tensor are returned first, while other threads run; freeing the rest takes no time.
"""

from __future__ import annotations

import ctypes
import mmap
import sys
from typing import Final

import torch

from wasi_nn_torch.pytorch.ownership import is_sole_owner

#: From this size on, in bytes; C libraries map such memory on its own.
_LARGE: Final = 64 << 20
_DONT_NEED: Final = getattr(mmap, "MADV_DONTNEED", None)

# Elsewhere, this advice has other effects.
if sys.platform == "linux":
    _madvise = ctypes.CDLL(None).madvise
    _madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
else:
    _madvise = None


def free_pages(tensor: torch.Tensor) -> None:
    """Return the pages of a tensor to the system if it is large, and the only owner of memory that PyTorch allocated.

    The caller holds the only reference to the tensor object itself, and does not use its content any more.
    """
    if tensor.nbytes < _LARGE or _madvise is None or tensor.device.type != "cpu":
        return
    if tensor.is_pinned() or not is_sole_owner(tensor):
        return
    storage = tensor.untyped_storage()
    if not storage.resizable():  # it is the memory of something else, such as an array of NumPy
        return
    begin = -(-storage.data_ptr() // mmap.PAGESIZE) * mmap.PAGESIZE
    end = (storage.data_ptr() + storage.nbytes()) // mmap.PAGESIZE * mmap.PAGESIZE
    _madvise(begin, end - begin, _DONT_NEED)  # if it fails, the memory is freed as it would be anyway
