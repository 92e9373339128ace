"""Calls of functions that a guest exports."""

from __future__ import annotations

import ctypes

import wasmtime
from wasmtime import _ffi as ffi
from wasmtime.component import Func

from .errors import check
from .values import OwnedValues

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


def store_context(store: wasmtime.Store) -> int:
    """Return the address of the context of `store`, which is valid until the store is closed.

    The engine passes the same address to each callback that a guest in this store calls.
    """
    return ctypes.cast(store._context(), ctypes.c_void_p).value or 0


def call_guest(function: Func, context: int, arguments: OwnedValues, results: OwnedValues) -> None:
    """Call a function of a guest; raises `wasmtime.WasmtimeError` if it does not return."""
    raw = ctypes.byref(function._func)
    taken, returned = arguments.item, results.item
    check(_CALL_GUEST(raw, context, taken, len(taken), returned, len(returned)))
