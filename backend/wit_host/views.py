"""Views of memory that is given by its address."""

from __future__ import annotations

import ctypes
from functools import cache
from pickle import PickleBuffer
from typing import Any

_VIEW = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.c_ssize_t, ctypes.c_int)(
    ("PyMemoryView_FromMemory", ctypes.pythonapi)
)
#: `PyBUF_WRITE`
_WRITABLE = ctypes.c_int(0x200)
#: `PyBUF_SIMPLE` and `PyBUF_WRITABLE`
_SIMPLE_BUFFER, _WRITABLE_BUFFER = 0, 1

#: Copies while it keeps Python's lock, unlike `ctypes.memmove`.
_COPY = ctypes.PYFUNCTYPE(None, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t)(
    ctypes.cast(ctypes.memmove, ctypes.c_void_p).value or 0
)

#: From this size on, other threads can run during a copy; for less, letting them costs more than it gives.
_LARGE = 1 << 16
#: As large as the structure `Py_buffer` of Python's stable interface, which begins with the address.
_BUFFER = ctypes.c_size_t * 10
_GET_BUFFER = ctypes.pythonapi.PyObject_GetBuffer
_GET_BUFFER.argtypes = [ctypes.py_object, ctypes.c_void_p, ctypes.c_int]
_RELEASE_BUFFER = ctypes.pythonapi.PyBuffer_Release
_RELEASE_BUFFER.argtypes, _RELEASE_BUFFER.restype = [ctypes.c_void_p], None


def copy_memory(destination: memoryview, source: memoryview) -> None:
    """Copy contiguous bytes to as many writable ones; other threads run meanwhile if there are many.

    Raises ValueError if the sizes differ.
    """
    if source.nbytes < _LARGE or source.nbytes != destination.nbytes:
        destination[:] = source.cast("B")
        return
    target, origin = _BUFFER(), _BUFFER()
    _GET_BUFFER(destination, target, _WRITABLE_BUFFER)
    try:
        _GET_BUFFER(source, origin, _SIMPLE_BUFFER)
        try:
            ctypes.memmove(target[0], origin[0], source.nbytes)
        finally:
            _RELEASE_BUFFER(origin)
    finally:
        _RELEASE_BUFFER(target)


def copy_to_address(address: int, source: memoryview) -> None:
    """Copy contiguous bytes to an address, where there is room for them; other threads run meanwhile if there are many.

    Raises BufferError if they are not contiguous.
    """
    if source.nbytes < _LARGE and source.c_contiguous:
        _COPY(address, source.tobytes(), source.nbytes)  # faster than a view of a few bytes
        return
    origin = _BUFFER()
    _GET_BUFFER(source, origin, _SIMPLE_BUFFER)
    try:
        ctypes.memmove(address, origin[0], source.nbytes)
    finally:
        _RELEASE_BUFFER(origin)


def copy_from_address(destination: memoryview, address: int) -> None:
    """Fill contiguous, writable bytes from an address; other threads run meanwhile if there are many.

    Raises TypeError or BufferError if `destination` cannot be filled.
    """
    if destination.nbytes < _LARGE:
        destination[:] = view_memory(address, destination.nbytes)
        return
    target = _BUFFER()
    _GET_BUFFER(destination, target, _WRITABLE_BUFFER)
    try:
        ctypes.memmove(target[0], address, destination.nbytes)
    finally:
        _RELEASE_BUFFER(target)


def view_memory(address: int, size: int) -> memoryview:
    """View `size` bytes at an address, writable; the view is valid as long as their owner keeps them."""
    # Not by a ctypes array, since a new type for each size would cost more than a small copy.
    view: memoryview = _VIEW(address, size, _WRITABLE)
    return view


def view_of(owner: object, address: int, size: int) -> memoryview:
    """View `size` bytes at an address, writable, in memory that belongs to `owner`; the view keeps `owner` alive."""
    block: Any = _block(size.bit_length()).from_address(address)
    block.owner = owner
    return PickleBuffer(block).raw()[:size]


@cache
def _block(bits: int) -> type[ctypes.Array[ctypes.c_ubyte]]:
    """The type of as many bytes as have numbers of that many bits: a type for each size would be slow to make."""
    return ctypes.c_ubyte * (1 << bits)
