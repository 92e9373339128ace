"""Views of memory that is given by its address."""

from __future__ import annotations

import ctypes

_VIEW = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.c_ssize_t, ctypes.c_int)(
    ("PyMemoryView_FromMemory", ctypes.pythonapi)
)
#: `PyBUF_WRITE`
_WRITABLE = ctypes.c_int(0x200)


def view_memory(address: int, size: int) -> memoryview:
    """View `size` bytes at an address, writable; the view is valid as long as their owner keeps them."""
    # Not by a ctypes array, since a new type for each size would cost more than a small copy.
    view: memoryview = _VIEW(address, size, _WRITABLE)
    return view
