"""How much stack a guest needs of its thread, and how much there is.

A guest that recurses without end is to meet a trap. The engine counts `GUEST` bytes for it from where it is entered,
and does not look whether the thread has them: on a smaller stack the process would end.
"""

from __future__ import annotations

import ctypes
import sys
import threading

#: What the engine lets a guest use, and what the host functions that it calls need below that.
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
    """One more guest is entered on this thread."""
    _thread.guests += 1


def leave() -> None:
    """It is left."""
    _thread.guests -= 1


def _size() -> int:
    """The bytes of this thread's stack; as many as anybody needs if the system does not say."""
    if sys.platform == "linux":
        return _of_linux()
    if sys.platform == "darwin":
        return _of_macos()
    return sys.maxsize


def _of_linux() -> int:
    library = ctypes.CDLL(None)
    attributes = ctypes.create_string_buffer(256)  # more than a `pthread_attr_t` takes on any machine
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
