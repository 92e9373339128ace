"""The stack that a guest needs, and the stack that its thread has.

A guest that recurses without end must trap. The engine allows it `GUEST` bytes from the point of entry, and does not
check whether the thread has them: on a smaller stack the process would crash.
"""

from __future__ import annotations

import ctypes
import sys
import threading

#: The bytes that the engine allows a guest, and those that the host functions that it calls need in addition.
GUEST, HOST = 512 << 10, 256 << 10


class _Thread(threading.local):
    """One thread: the size of its stack, once it is known, and how many guests are entered on it."""

    size: int | None = None
    guests = 0


_thread = _Thread()


def require_stack() -> None:
    """Raise RuntimeError if the stack of this thread is too small for one more guest."""
    if _thread.size is None:
        _thread.size = _size()
    needed = (_thread.guests + 1) * GUEST + HOST
    if _thread.size < needed:
        raise RuntimeError(
            f"this thread has a stack of {_thread.size >> 10} KiB, and needs {needed >> 10} KiB to run a guest; call "
            f"threading.stack_size({1 << 20}) before threads are started, or larger if guests call guests"
        )


def enter() -> None:
    """Count one more guest on this thread."""
    _thread.guests += 1


def leave() -> None:
    """Count one guest less on this thread."""
    _thread.guests -= 1


def _size() -> int:
    """Return the size of this thread's stack in bytes; a very large number if the system does not report it."""
    if sys.platform == "linux":
        return _of_linux()
    if sys.platform == "darwin":
        return _of_macos()
    return sys.maxsize


def _of_linux() -> int:
    library = ctypes.CDLL(None)
    attributes = ctypes.create_string_buffer(256)  # larger than a `pthread_attr_t` on any machine
    address, size = ctypes.c_void_p(), ctypes.c_size_t()
    library.pthread_self.restype = ctypes.c_void_p
    if library.pthread_getattr_np(ctypes.c_void_p(library.pthread_self()), attributes):
        return sys.maxsize
    library.pthread_attr_getstack(attributes, ctypes.byref(address), ctypes.byref(size))
    library.pthread_attr_destroy(attributes)
    return size.value


def _of_macos() -> int:
    library = ctypes.CDLL(None)
    library.pthread_self.restype = ctypes.c_void_p
    library.pthread_get_stacksize_np.restype = ctypes.c_size_t
    size: int = library.pthread_get_stacksize_np(ctypes.c_void_p(library.pthread_self()))
    return size
