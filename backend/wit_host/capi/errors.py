"""Errors of the engine: raised if a call returns one, and made in advance for callbacks that have to return one."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from contextlib import suppress
from typing import TypeAlias

import wasmtime
from wasmtime import _ffi as ffi

#: The address of a `wasmtime_error_t`, or None. Whoever receives it owns it.
ErrorAddress: TypeAlias = int | None

#: The text of an error that ends a guest; the exception of the host replaces it.
_TEXT = "the host raised an exception"


def check(error: object) -> None:
    """Raise the error that a call returned, if it returned one."""
    if error:
        pointer = ctypes.cast(error, ctypes.POINTER(ffi.wasmtime_error_t))  # type: ignore[arg-type]  # or an address
        raise wasmtime.WasmtimeError._from_ptr(pointer)


def discard(error: int) -> None:
    """Free an error that a call returned."""
    _DELETE_ERROR(error)


def new_error(text: str) -> ErrorAddress:
    """Return a new error; a callback that returns it traps the guest."""
    error: ErrorAddress = _NEW_ERROR(text.encode())
    return error


class Kept:
    """The exception of a callback, and where it was raised, until the caller of the guest can receive it."""

    __slots__ = ("exception", "where")

    def __init__(self) -> None:
        self.exception: BaseException | None = None
        self.where = ""

    def take(self) -> BaseException | None:
        """Return the exception, with a note of where it was raised; a second call returns None."""
        exception, self.exception = self.exception, None
        if exception is not None:
            with suppress(Exception):  # an exception may refuse notes, in whatever way it likes
                BaseException.add_note(exception, f"raised {self.where}")
        return exception


class Ending:
    """How a callback ends a guest: it keeps the exception, and returns an error that was made in advance.

    A callback must not fail while it makes an error. A guest whose callback returned an error is unwound, so one error
    is enough; `arm` makes the next. `callbacks.failed` moves `error` to the engine by hand, as it may make no calls.
    """

    __slots__ = ("_supply", "error", "kept")

    def __init__(self, kept: Kept, *, by_trap: bool = False) -> None:
        self.kept = kept
        self.error: ErrorAddress = None
        self._supply = _TRAPS if by_trap else _ERRORS
        self.arm()

    def arm(self) -> None:
        """Make the error, unless it exists."""
        if self.error is None:
            self.error = self._supply.take()

    def raise_kept(self) -> None:
        """Raise an exception that was kept while it could not end the guest: as memory grew, or output was written."""
        self.arm()
        exception = self.kept.take()
        if exception is not None:
            try:
                raise exception
            finally:
                del exception  # its traceback leads here: without this, a cycle would keep it alive

    def close(self) -> None:
        """Give the error back, unless the engine has it."""
        error, self.error = self.error, None
        if error is not None:
            self._supply.give_back(error)


def _new_trap(text: str) -> ErrorAddress:
    """Return a new trap, for callbacks of core modules."""
    encoded = text.encode()
    trap: ErrorAddress = _NEW_TRAP(encoded, len(encoded))
    return trap


# Declared again, because the package's own take several times as long to call.
_NEW_ERROR = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.c_char_p)(("wasmtime_error_new", ffi.dll))
_NEW_TRAP = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t)(("wasmtime_trap_new", ffi.dll))
_Delete = ctypes.PYFUNCTYPE(None, ctypes.c_void_p)
_DELETE_ERROR = _Delete(("wasmtime_error_delete", ffi.dll))
_DELETE_TRAP = _Delete(("wasm_trap_delete", ffi.dll))


class _Supply:
    """Errors that end a guest, of which few are ever used: those that were not are kept for other guests."""

    #: The most errors that are kept.
    _MOST = 64

    def __init__(self, make: Callable[[str], ErrorAddress], delete: Callable[[int], object]) -> None:
        self._make = make
        self._delete = delete
        self._spare: list[int] = []

    def take(self) -> ErrorAddress:
        """Return an error, which the caller owns."""
        try:
            return self._spare.pop()
        except IndexError:
            return self._make(_TEXT)

    def give_back(self, error: int) -> None:
        """Take an error that was not used."""
        if len(self._spare) < self._MOST:
            self._spare.append(error)
        else:
            self._delete(error)


_ERRORS = _Supply(new_error, _DELETE_ERROR)
_TRAPS = _Supply(_new_trap, _DELETE_TRAP)
