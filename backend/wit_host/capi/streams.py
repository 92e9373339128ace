"""The standard streams of a guest: it reads bytes, and its output is given to Python."""

from __future__ import annotations

import ctypes
import errno
from typing import Protocol

import wasmtime
from wasmtime import _ffi as ffi

from .callbacks import RELEASE, Callback, keep, keep_exception, pointer, unbroken
from .errors import Kept


class OutputCallback(Callback, Protocol):
    """The receiver of an output. The engine may call it, and release it, on a thread of its own."""

    kept: Kept

    def write(self, data: bytes, /) -> int:
        """Take all of `data`, and return 0, or return the number of an error for the guest."""
        ...


_Write = ctypes.CFUNCTYPE(ctypes.c_ssize_t, ctypes.py_object, ctypes.c_void_p, ctypes.c_size_t)


@unbroken
def _on_write(output: OutputCallback, address: int, size: int) -> int:
    try:
        error = output.write(ctypes.string_at(address, size))
    except BaseException as exception:  # noqa: BLE001  # nothing may escape
        keep_exception(output.kept, output.where, exception)
        return _REFUSED
    return -error if error else size


#: The result of a failed write.
_REFUSED = -errno.EIO
_WRITE = _Write(_on_write)

_WRITE_POINTER = pointer(_WRITE, ffi.dll.wasi_config_set_stdout_custom, 1)
_OUTPUT_RELEASE = pointer(RELEASE, ffi.dll.wasi_config_set_stdout_custom, 3)

# Declared again to keep Python's lock: they are quick, and called for each guest.
_NEW_BYTES = ctypes.PYFUNCTYPE(None, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p)(("wasm_byte_vec_new", ffi.dll))
_Set = ctypes.PYFUNCTYPE(None, *[ctypes.c_void_p] * 4)
_SET_STDOUT = _Set(("wasi_config_set_stdout_custom", ffi.dll))
_SET_STDERR = _Set(("wasi_config_set_stderr_custom", ffi.dll))


def set_stdin(wasi: wasmtime.WasiConfig, content: bytes) -> None:
    """Let the guest read `content` from its standard input."""
    vector = ffi.wasm_byte_vec_t()
    _NEW_BYTES(ctypes.byref(vector), len(content), content)
    ffi.wasi_config_set_stdin_bytes(wasi.ptr(), ctypes.byref(vector))  # which owns it from now on


def set_stdout(wasi: wasmtime.WasiConfig, output: OutputCallback) -> None:
    """Send the standard output of the guest to `output`."""
    _SET_STDOUT(wasi.ptr(), _WRITE_POINTER, keep(output), _OUTPUT_RELEASE)


def set_stderr(wasi: wasmtime.WasiConfig, output: OutputCallback) -> None:
    """Send the standard error of the guest to `output`."""
    _SET_STDERR(wasi.ptr(), _WRITE_POINTER, keep(output), _OUTPUT_RELEASE)
