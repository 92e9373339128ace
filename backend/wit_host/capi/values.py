"""Component-model values: reading those of the engine, and making those that it will own."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, TypeAlias

from wasmtime import _ffi as ffi

if TYPE_CHECKING:
    Values: TypeAlias = "ctypes._Pointer[Value]"
    ValueArray: TypeAlias = "ctypes.Array[Value]"

#: One component-model value: `kind`, and a union `of` at offset 8; 32 bytes.
Value = ffi.wasmtime_component_val_t
ValueList = ffi.wasmtime_component_vallist_t
Name = ffi.wasm_name_t
VALUE_SIZE = ctypes.sizeof(Value)
PAYLOAD_OFFSET = Value.of.offset


class Kind:
    """The values of `Value.kind`."""

    BOOL: int = ffi.WASMTIME_COMPONENT_BOOL.value
    S8: int = ffi.WASMTIME_COMPONENT_S8.value
    U8: int = ffi.WASMTIME_COMPONENT_U8.value
    S16: int = ffi.WASMTIME_COMPONENT_S16.value
    U16: int = ffi.WASMTIME_COMPONENT_U16.value
    S32: int = ffi.WASMTIME_COMPONENT_S32.value
    U32: int = ffi.WASMTIME_COMPONENT_U32.value
    S64: int = ffi.WASMTIME_COMPONENT_S64.value
    U64: int = ffi.WASMTIME_COMPONENT_U64.value
    F32: int = ffi.WASMTIME_COMPONENT_F32.value
    F64: int = ffi.WASMTIME_COMPONENT_F64.value
    CHAR: int = ffi.WASMTIME_COMPONENT_CHAR.value
    STRING: int = ffi.WASMTIME_COMPONENT_STRING.value
    LIST: int = ffi.WASMTIME_COMPONENT_LIST.value
    RECORD: int = ffi.WASMTIME_COMPONENT_RECORD.value
    TUPLE: int = ffi.WASMTIME_COMPONENT_TUPLE.value
    VARIANT: int = ffi.WASMTIME_COMPONENT_VARIANT.value
    ENUM: int = ffi.WASMTIME_COMPONENT_ENUM.value
    OPTION: int = ffi.WASMTIME_COMPONENT_OPTION.value
    RESULT: int = ffi.WASMTIME_COMPONENT_RESULT.value
    FLAGS: int = ffi.WASMTIME_COMPONENT_FLAGS.value
    RESOURCE: int = ffi.WASMTIME_COMPONENT_RESOURCE.value
    MAP: int = 22  # it has no name in wasmtime's package


# Declared anew, because the package's own functions take several times as long to call.
_NewSeveral = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_size_t)
_NEW_LIST = _NewSeveral(("wasmtime_component_vallist_new_uninit", ffi.dll))
_NEW_TUPLE = _NewSeveral(("wasmtime_component_valtuple_new_uninit", ffi.dll))
_NEW_VALUE = ctypes.CFUNCTYPE(ctypes.POINTER(Value), ctypes.c_void_p)(("wasmtime_component_val_new", ffi.dll))
_NEW_NAME = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p)(("wasm_byte_vec_new", ffi.dll))

_VIEW = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.c_ssize_t, ctypes.c_int)(
    ("PyMemoryView_FromMemory", ctypes.pythonapi)
)
_WRITABLE = 0x200  # PyBUF_WRITE


def view_memory(address: int, size: int) -> memoryview:
    """The bytes at an address, which can be written; valid as long as whoever they belong to keeps them.

    Not by a ctypes array, since a new type for each size would cost more than a small copy.
    """
    view: memoryview = _VIEW(address, size, _WRITABLE)
    return view


def view_values(values: ValueList) -> memoryview:
    """The memory of a list of values, as bytes that can be written; valid as long as the engine keeps the list."""
    return view_memory(ctypes.cast(values.data, ctypes.c_void_p).value or 0, values.size * VALUE_SIZE)


def read_name(name: Name) -> bytes:
    """The bytes of a string that the engine owns."""
    return ctypes.string_at(name.data, name.size)


def write_name(name: Name, content: bytes) -> None:
    """Store `content` in a string that the engine will own."""
    _NEW_NAME(ctypes.addressof(name), len(content), content)


def new_list(values: ValueList, size: int) -> None:
    """Make a list of `size` values that the engine will own; each is `false` until it is filled in."""
    _NEW_LIST(ctypes.byref(values), size)


def new_tuple(values: ffi.wasmtime_component_valtuple_t, size: int) -> None:
    """Make a tuple of `size` values that the engine will own; each is `false` until it is filled in."""
    _NEW_TUPLE(ctypes.byref(values), size)


def new_record(values: ffi.wasmtime_component_valrecord_t, size: int) -> None:
    """Make a record of `size` fields that the engine will own; each is unnamed and `false` until it is filled in."""
    ffi.wasmtime_component_valrecord_new_uninit(ctypes.byref(values), size)


def new_map(values: ffi.wasmtime_component_valmap_t, size: int) -> None:
    """Make a map of `size` entries that the engine will own; each key and value is `false` until it is filled in."""
    ffi.wasmtime_component_valmap_new_uninit(ctypes.byref(values), size)


def new_flags(names: ffi.wasmtime_component_valflags_t, size: int) -> None:
    """Make a list of the names of `size` flags that the engine will own; each is empty until it is filled in."""
    ffi.wasmtime_component_valflags_new_uninit(ctypes.byref(names), size)


def new_value() -> Values:
    """One value on the heap that the engine will own; it is `false` until it is filled in."""
    blank = Value()
    blank.kind = Kind.BOOL
    pointer: Values = _NEW_VALUE(ctypes.byref(blank))
    return pointer


def new_values(size: int) -> ValueArray:
    """Values that belong to the caller; each is `false` until it is filled in."""
    return (Value * size)()


def free_values(values: ValueArray) -> None:
    """Free what the values own; they are `false` again."""
    for value in values:
        ffi.wasmtime_component_val_delete(ctypes.byref(value))
