"""Calls of functions that a guest exports."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import cast

import wasmtime
from wasmtime import _ffi as ffi
from wasmtime.component import Component, ExportIndex, Instance, Linker

from .callbacks import keep_exception
from .errors import Kept, check
from .ownership import Owner
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

_CALL_ASYNC = ctypes.CFUNCTYPE(
    ctypes.c_void_p,
    ctypes.c_void_p,
    ctypes.c_void_p,
    ctypes.c_void_p,
    ctypes.c_size_t,
    ctypes.c_void_p,
    ctypes.c_size_t,
    ctypes.c_void_p,
)(("wasmtime_component_func_call_async", ffi.dll))
_POLL = ctypes.CFUNCTYPE(ctypes.c_bool, ctypes.c_void_p)(("wasmtime_call_future_poll", ffi.dll))
_DELETE_CALL = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(("wasmtime_call_future_delete", ffi.dll))

_INSTANTIATE_ASYNC = ctypes.CFUNCTYPE(ctypes.c_void_p, *[ctypes.c_void_p] * 5)(
    ("wasmtime_component_linker_instantiate_async", ffi.dll)
)
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


def call_async_guest(
    function: Function,
    context: int,
    arguments: OwnedValues,
    results: OwnedValues,
    kept: Kept,
    tick: Callable[[], None],
) -> None:
    """Call a function of a guest that may be `async`, and let the guest go on until it returns.

    `tick` is called whenever the guest gives way. The exception that it raises ends the call, and `kept` gets it.
    Raises `wasmtime.WasmtimeError` if the function does not return.
    """
    taken, returned = arguments.item, results.item

    def begin(error: object) -> int:
        pointers = ctypes.byref(function), context, taken, len(taken), returned, len(returned)
        return cast(int, _CALL_ASYNC(*pointers, error))

    _finish(begin, kept, tick)


def instantiate_async(
    linker: Linker, context: int, component: Component, kept: Kept, tick: Callable[[], None]
) -> Instance:
    """Start a component that imports `async` functions; later calls have to be by `call_async_guest`.

    For `kept` and `tick`, see there. Raises `wasmtime.WasmtimeError` if it does not start.
    """
    instance = ffi.wasmtime_component_instance_t()

    def begin(error: object) -> int:
        return cast(int, _INSTANTIATE_ASYNC(linker.ptr(), context, component.ptr(), ctypes.byref(instance), error))

    _finish(begin, kept, tick)
    return Instance._from_raw(instance)


def _finish(begin: Callable[[object], int], kept: Kept, tick: Callable[[], None]) -> None:
    error = ctypes.c_void_p()
    is_stopped = False
    with _Call(begin(ctypes.byref(error))) as call:
        try:
            # The engine wakes nobody. Each time that a guest gives way, it can go on at once, or else it traps, as it
            # would wait for ever: host functions have returned by then.
            while not _POLL(call.item):
                tick()
        except BaseException as exception:  # noqa: BLE001  # the guest is in the middle of a call
            is_stopped = True
            keep_exception(kept, "while the guest waited", exception)
    if error.value:
        check(error.value)
    if is_stopped:
        raise wasmtime.WasmtimeError("the host stopped the guest")


class _Call(Owner[int]):
    """A call of an async function; its end drops what the guest has not done yet."""

    __slots__ = ()

    def _free(self, item: int) -> None:
        _DELETE_CALL(item)
