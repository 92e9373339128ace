"""How much memory the allocators of this process have given out; unlike resident memory, without what is fragmented."""

from __future__ import annotations

import ctypes
import gc
import sys

_FIELDS = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()


class _Info(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in _FIELDS]


def native_bytes() -> int | None:
    """The bytes that `malloc` has given to this process; None if this C library does not tell (glibc does)."""
    tell = getattr(ctypes.CDLL(None), "mallinfo2", None)
    if tell is None:
        return None
    tell.restype = _Info
    info = tell()
    return int(info.uordblks + info.hblkhd)


def python_blocks() -> int:
    """The blocks of memory that Python has given to objects that are not garbage."""
    gc.collect()
    return sys.getallocatedblocks()
