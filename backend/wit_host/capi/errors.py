"""Errors of the engine: raised where a call returns one, made where a callback has to."""

from __future__ import annotations

import ctypes
from typing import TypeAlias

import wasmtime
from wasmtime import _ffi as ffi

#: The address of a `wasmtime_error_t`, or nothing. Its owner is whoever is given it.
ErrorAddress: TypeAlias = int | None


def check(error: object) -> None:
    """Raise what a call returned, if it returned an error."""
    if error:
        pointer = ctypes.cast(error, ctypes.POINTER(ffi.wasmtime_error_t))  # type: ignore[arg-type]  # or an address
        raise wasmtime.WasmtimeError._from_ptr(pointer)


def new_error(text: str) -> ErrorAddress:
    """A new error; returned from a callback, it traps the guest."""
    return ctypes.cast(ffi.wasmtime_error_new(text.encode()), ctypes.c_void_p).value
