"""Calls of functions that a guest exports."""

from __future__ import annotations

import ctypes

from wasmtime import _ffi as ffi
from wasmtime.component import ExportIndex, Instance

from .errors import check
from .values import OwnedValues

#: A function of one instance.
Function = ffi.wasmtime_component_func_t

# Declared again, because a context comes as an address, and the package's own takes several times as long to call.
_CALL_GUEST = ctypes.CFUNCTYPE(
    ctypes.c_void_p,
    ctypes.c_void_p,
    ctypes.c_void_p,
    ctypes.c_void_p,
    ctypes.c_size_t,
    ctypes.c_void_p,
    ctypes.c_size_t,
)(("wasmtime_component_func_call", ffi.dll))

_GET_FUNCTION = ctypes.PYFUNCTYPE(ctypes.c_bool, *[ctypes.c_void_p] * 4)(
    ("wasmtime_component_instance_get_func", ffi.dll)
)


def find_function(instance: Instance, context: int, index: ExportIndex) -> Function | None:
    """Return the function of an instance with this index, which belongs to its component; None if it has none."""
    function = Function()
    if not _GET_FUNCTION(ctypes.byref(instance._instance), context, index.ptr(), ctypes.byref(function)):
        return None
    return function


def call_guest(function: Function, context: int, arguments: OwnedValues, results: OwnedValues) -> None:
    """Call a function of a guest; raises `wasmtime.WasmtimeError` if it does not return."""
    taken, returned = arguments.item, results.item
    error = _CALL_GUEST(ctypes.byref(function), context, taken, len(taken), returned, len(returned))
    if error:
        check(error)
