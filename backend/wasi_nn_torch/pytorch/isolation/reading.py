"""Reading the memory of a worker: once, straight to where the elements are needed."""

from __future__ import annotations

import ctypes
import os
import sys

from wit_host import GuestTrap


class _Span(ctypes.Structure):
    """`struct iovec`."""

    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


if sys.platform == "linux":
    _readv = ctypes.CDLL(None, use_errno=True).process_vm_readv
    _readv.restype = ctypes.c_ssize_t
    _readv.argtypes = [
        ctypes.c_int,
        ctypes.POINTER(_Span),
        ctypes.c_ulong,
        ctypes.POINTER(_Span),
        ctypes.c_ulong,
        ctypes.c_ulong,
    ]

#: The system copies at most 2 GiB less a page at a time.
_MOST = 1 << 30


def read_memory(pid: int, address: int, destination: memoryview) -> None:
    """Fill `destination`, which is writable, from `address` in the process `pid`.

    The process must be a worker that has not been waited for, so that `pid` cannot be another's. Raises GuestTrap if it
    does not have that memory, or has ended.
    """
    size = destination.nbytes
    here = ctypes.addressof(ctypes.c_char.from_buffer(destination)) if size else 0
    done = 0
    while done < size:
        piece = min(size - done, _MOST)
        local, remote = _Span(here + done, piece), _Span((address + done) % (1 << 64), piece)
        got = _readv(pid, ctypes.byref(local), 1, ctypes.byref(remote), 1, 0)
        if got <= 0:
            reason = os.strerror(ctypes.get_errno()) if got < 0 else "nothing is there"
            raise GuestTrap(f"a tensor of {size} bytes could not be read from the process that computed it: {reason}")
        done += got
