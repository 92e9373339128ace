"""Blocks of memory that the host writes and a worker can only read, without a copy in between."""

from __future__ import annotations

import ctypes
import mmap
import os
import sys
import weakref
from collections.abc import Callable

import torch

from wit_host import view_memory

if sys.platform == "linux":
    import fcntl

    _library = ctypes.CDLL(None, use_errno=True)
    _mmap, _munmap = _library.mmap, _library.munmap
    _mmap.restype = ctypes.c_void_p
    _mmap.argtypes = [
        ctypes.c_void_p,
        ctypes.c_size_t,
        ctypes.c_int,
        ctypes.c_int,
        ctypes.c_int,
        ctypes.c_long,
    ]
    _munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]

#: `PROT_READ` and `PROT_READ | PROT_WRITE`, which Windows does not have.
_READ, _READ_AND_WRITE = 1, 3
#: `MAP_FAILED`.
_FAILED = ctypes.c_void_p(-1).value

#: `fcntl.F_SEAL_FUTURE_WRITE`, which Python does not name: nobody who gets the descriptor can write to the memory.
_F_SEAL_FUTURE_WRITE = 0x0010


def new_block(size: int, on_free: Callable[[int], object]) -> tuple[torch.UntypedStorage, int]:
    """Memory as a storage of PyTorch, and its descriptor, which can be read but not written, grown or shrunk.

    The caller closes the descriptor. `on_free` is called with the address when nothing refers to the memory any more,
    before other memory can have that address.
    """
    descriptor = _memory(size)
    try:
        view = mapped(descriptor, size, _READ_AND_WRITE, on_free)
        _seal(descriptor, _F_SEAL_FUTURE_WRITE)
    except BaseException:
        os.close(descriptor)
        raise
    return torch.frombuffer(view, dtype=torch.uint8).untyped_storage(), descriptor


def sealed(content: memoryview) -> int:
    """The descriptor of a copy of some bytes that nobody can change; the caller closes it."""
    descriptor = _memory(0)
    try:
        rest = content.cast("B")
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        _seal(descriptor, fcntl.F_SEAL_WRITE)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def mapped(
    descriptor: int, size: int, access: int = _READ, on_free: Callable[[int], object] | None = None
) -> memoryview:
    """The memory behind a descriptor, which may be closed then; the mapping ends with the last reference to the view.

    Raises OSError. Python's own mappings keep a descriptor, of which a process has only so many.
    """
    address = _mmap(None, size, access, mmap.MAP_SHARED, descriptor, 0)
    if address in (None, _FAILED):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    view = view_memory(address, size)
    weakref.finalize(view, _unmap, address, size, on_free).atexit = False
    return view


def _unmap(address: int, size: int, on_free: Callable[[int], object] | None) -> None:
    try:
        if on_free is not None:
            on_free(address)
    finally:
        _munmap(address, size)


def _seal(descriptor: int, against_writing: int) -> None:
    """Let nobody change the size of some memory, nor write to it as the seal `against_writing` says."""
    seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL | against_writing
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)


def _memory(size: int) -> int:
    descriptor = os.memfd_create("wasi-nn-torch", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(descriptor, size)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor
