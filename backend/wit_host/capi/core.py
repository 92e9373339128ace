"""Core modules: host functions with raw values, and the memory of the guest that called one.

Arguments and results are `i32`, which are read and written directly in the engine's array of raw values.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any, Protocol

import wasmtime
from wasmtime import _ffi as ffi

from .callbacks import RELEASE, Callback, G_contra, failed, keep, pointer, unbroken
from .entered import Guest, entered
from .errors import ErrorAddress, check

if TYPE_CHECKING:
    RawValues = ctypes._Pointer[ctypes.c_uint32]

#: The distance between two raw values, counted in `i32`.
RAW_STRIDE = ctypes.sizeof(ffi.wasmtime_val_raw_t) // 4

#: The name under which a guest exports its memory.
_MEMORY = b"memory"


class CoreCallback(Callback, Protocol[G_contra]):
    """A host function, as the engine calls it for any core module."""

    def call(self, guest: G_contra, caller: int, values: RawValues) -> None:
        """Read the arguments in `values`, do the work for `guest`, write the result to the first of them."""
        ...


# The engine's `void *data` is a Python object: ctypes converts it before the callback sees it.
_Function = ctypes.CFUNCTYPE(
    ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p, ctypes.POINTER(ctypes.c_uint32), ctypes.c_size_t
)


@unbroken
def _on_call(function: CoreCallback[Guest], caller: int, values: RawValues, _count: int) -> ErrorAddress:
    guest = entered.guest
    try:
        if guest.kept.exception is not None:
            guest.call_ending.raise_kept()
        function.call(guest, caller, values)
    except BaseException as exception:  # noqa: BLE001  # nothing may escape
        return failed(guest.call_ending, function.where, exception)
    return None


_DEFINE = ffi.dll.wasmtime_linker_define_func_unchecked

# Global names, so that they live as long as this module.
_CALL = _Function(_on_call)
_CALL_POINTER = pointer(_CALL, _DEFINE, 6)
_FUNCTION_RELEASE = pointer(RELEASE, _DEFINE, 8)

# Declared again, because a caller comes as an address, and the package's own take several times as long to call.
# Those that run no code of a guest keep Python's lock meanwhile.
_CONTEXT = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)(("wasmtime_caller_context", ffi.dll))
_EXPORT = ctypes.PYFUNCTYPE(ctypes.c_bool, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_void_p)(
    ("wasmtime_caller_export_get", ffi.dll)
)
_DATA = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)(("wasmtime_memory_data", ffi.dll))
_DATA_SIZE = ctypes.PYFUNCTYPE(ctypes.c_size_t, ctypes.c_void_p, ctypes.c_void_p)(
    ("wasmtime_memory_data_size", ffi.dll)
)
_GET_EXPORT = ctypes.PYFUNCTYPE(
    ctypes.c_bool, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_void_p
)(("wasmtime_instance_export_get", ffi.dll))
_CALL_PROCEDURE = ctypes.CFUNCTYPE(
    ctypes.c_void_p,
    ctypes.c_void_p,
    ctypes.c_void_p,
    ctypes.c_void_p,
    ctypes.c_size_t,
    ctypes.c_void_p,
    ctypes.c_size_t,
    ctypes.c_void_p,
)(("wasmtime_func_call", ffi.dll))
_INSTANTIATE = ctypes.CFUNCTYPE(ctypes.c_void_p, *[ctypes.c_void_p] * 5)(("wasmtime_linker_instantiate", ffi.dll))
_Trap = ctypes.POINTER(ffi.wasm_trap_t)
#: The offset of the object in an export.
_EXTERN_OFFSET = ffi.wasmtime_extern_t.of.offset
_CLONE = ffi.dll.wasmtime_linker_clone
_CLONE.restype = ctypes.POINTER(ffi.wasmtime_linker_t)
_CLONE.argtypes = [ctypes.POINTER(ffi.wasmtime_linker_t)]


def add_core_function(
    linker: wasmtime.Linker, module: str, name: str, kind: wasmtime.FuncType, function: CoreCallback[Any]
) -> None:
    """Define `module` `name` in `linker`; raises `wasmtime.WasmtimeError` if the name is taken.

    `kind` may have parameters and at most one result, all of the type `i32`.
    """
    texts = module.encode(), name.encode()
    buffers = [ctypes.create_string_buffer(text) for text in texts]
    check(
        _DEFINE(
            linker.ptr(),
            buffers[0],
            len(texts[0]),
            buffers[1],
            len(texts[1]),
            kind.ptr(),
            _CALL_POINTER,
            keep(function),
            _FUNCTION_RELEASE,
        )
    )


def clone_linker(linker: wasmtime.Linker) -> wasmtime.Linker:
    """Return another linker with the same definitions, for definitions of one store."""
    clone = wasmtime.Linker.__new__(wasmtime.Linker)
    clone._set_ptr(_CLONE(linker.ptr()))
    clone.engine = linker.engine
    return clone


def instantiate_module(linker: wasmtime.Linker, store: wasmtime.Store, module: wasmtime.Module) -> wasmtime.Instance:
    """Start a module with the definitions in `linker`.

    Raises `wasmtime.WasmtimeError` or `wasmtime.Trap` if it does not start.
    """
    instance, trap = ffi.wasmtime_instance_t(), _Trap()
    _check_both(
        _INSTANTIATE(linker.ptr(), store._context(), module.ptr(), ctypes.byref(instance), ctypes.byref(trap)), trap
    )
    return wasmtime.Instance._from_raw(instance)


def call_procedure(instance: wasmtime.Instance, context: int, name: str) -> None:
    """Call a function that `instance` exports as `name`, and that has neither parameters nor results.

    Raises `wasmtime.WasmtimeError` or `wasmtime.Trap` if it does not return.
    """
    item = ffi.wasmtime_extern_t()
    encoded = name.encode()
    if not _GET_EXPORT(context, ctypes.byref(instance._instance), encoded, len(encoded), ctypes.byref(item)):
        raise KeyError(name)
    trap = _Trap()
    function = ctypes.addressof(item) + _EXTERN_OFFSET
    _check_both(_CALL_PROCEDURE(context, function, None, 0, None, 0, ctypes.byref(trap)), trap)


def _check_both(error: ErrorAddress, trap: ctypes._Pointer[ffi.wasm_trap_t]) -> None:
    """Raise the error or the trap that a call returned."""
    if error:
        check(error)
    if trap:
        raise wasmtime.Trap._from_ptr(trap)


class ExportedMemory:
    """The memory that a guest exports as `memory`; valid as long as the guest's store."""

    __slots__ = ("_context", "_memory", "_pointer")

    def __init__(self, context: int, memory: ffi.wasmtime_memory_t) -> None:
        self._context = context
        self._memory = memory
        self._pointer = ctypes.addressof(memory)

    @property
    def base(self) -> int:
        """The current address; 0 if the memory is empty."""
        return _DATA(self._context, self._pointer) or 0

    @property
    def size(self) -> int:
        """The current size in bytes."""
        size: int = _DATA_SIZE(self._context, self._pointer)
        return size


def exported_memory(caller: int) -> ExportedMemory | None:
    """Return the memory of the calling guest; None if it exports none as `memory`, or only a shared one."""
    item = ffi.wasmtime_extern_t()
    if not _EXPORT(caller, _MEMORY, len(_MEMORY), ctypes.addressof(item)):
        return None
    if int(item.kind) != ffi.WASMTIME_EXTERN_MEMORY.value:
        ffi.wasmtime_extern_delete(ctypes.byref(item))
        return None
    memory = ffi.wasmtime_memory_t()
    ctypes.pointer(memory)[0] = item.of.memory
    return ExportedMemory(_CONTEXT(caller), memory)
