"""Stores and their configurations of WASI, which are made for each guest.

These are the steps that wasmtime's package takes, with less to do in Python. They are quick, so they keep Python's lock
meanwhile: with each time that a thread gives it away, many threads that start guests get in each other's way.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import wasmtime
from wasmtime import _ffi as ffi

from .arrays import array_type
from .errors import check

_Make = ctypes.PYFUNCTYPE(ctypes.POINTER(ffi.wasmtime_store_t), ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
_NEW = _Make(("wasmtime_store_new", ffi.dll))
_CONTEXT = ctypes.PYFUNCTYPE(ctypes.POINTER(ffi.wasmtime_context_t), ctypes.c_void_p)(
    ("wasmtime_store_context", ffi.dll)
)
_ADDRESS = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)(("wasmtime_store_context", ffi.dll))
_LIMIT = ctypes.PYFUNCTYPE(None, ctypes.c_void_p, *[ctypes.c_int64] * 5)(("wasmtime_store_limiter", ffi.dll))
_NEW_WASI = ctypes.PYFUNCTYPE(ctypes.POINTER(ffi.wasi_config_t))(("wasi_config_new", ffi.dll))
_SET_WASI = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)(("wasmtime_context_set_wasi", ffi.dll))
_SET_ARGUMENTS = ctypes.PYFUNCTYPE(ctypes.c_bool, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p)(
    ("wasi_config_set_argv", ffi.dll)
)

_SET_FUEL = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint64)(("wasmtime_context_set_fuel", ffi.dll))
_GET_FUEL = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)(("wasmtime_context_get_fuel", ffi.dll))


def new_store(engine: wasmtime.Engine) -> wasmtime.Store:
    """Make a store without data of its own."""
    store = wasmtime.Store.__new__(wasmtime.Store)
    pointer = _NEW(engine.ptr(), None, None)
    store._set_ptr(pointer)
    store._Store__context = _CONTEXT(pointer)  # type: ignore[attr-defined]  # as its `__init__` does
    store.engine = engine
    return store


def store_context(store: wasmtime.Store) -> int:
    """Return the address of the context of `store`, which is valid until the store is closed.

    The engine passes the same address to each callback that a guest in this store calls.
    """
    return _ADDRESS(store.ptr()) or 0


def set_limits(
    store: wasmtime.Store, *, memory: int, table_elements: int, instances: int, tables: int, memories: int
) -> None:
    """Set the limits that the engine checks; a negative number stands for its default."""
    _LIMIT(store.ptr(), memory, table_elements, instances, tables, memories)


def set_fuel(context: int, fuel: int) -> None:
    """Let the guest of a store consume this much fuel from now on; its engine must count it."""
    error = _SET_FUEL(context, fuel)
    if error:
        check(error)


def fuel_left(context: int) -> int:
    """Return how much fuel the guest of a store has left."""
    fuel = ctypes.c_uint64()
    error = _GET_FUEL(context, ctypes.byref(fuel))
    if error:
        check(error)
    return fuel.value


def init_wasi(wasi: wasmtime.WasiConfig) -> None:
    """Make the configuration that `wasi` owns."""
    wasi._set_ptr(_NEW_WASI())


def set_wasi(context: int, wasi: wasmtime.WasiConfig) -> None:
    """Give the store with this context its configuration of WASI; raises ValueError if another store has it."""
    error = _SET_WASI(context, wasi._consume())
    if error:
        check(error)


def set_arguments(wasi: wasmtime.WasiConfig, arguments: Sequence[str]) -> bool:
    """Set the arguments of the guest, the first of which is its name; return whether WASI can pass them on."""
    texts = array_type(ctypes.c_char_p, len(arguments))(*[argument.encode() for argument in arguments])
    is_set: bool = _SET_ARGUMENTS(wasi.ptr(), len(arguments), texts)
    return is_set
