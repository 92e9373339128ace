"""Values of the component model: reading the engine's, and making values that the engine will own."""

from __future__ import annotations

import ctypes
import struct
from functools import cache
from typing import TYPE_CHECKING, Any, TypeAlias

from wasmtime import _ffi as ffi

from ..views import view_memory
from .arrays import array_type
from .ownership import Owner

if TYPE_CHECKING:
    from array import array
    from collections.abc import Iterator

    Values: TypeAlias = "ctypes._Pointer[Value]"
    ValueArray: TypeAlias = "ctypes.Array[Value]"
    Numbers: TypeAlias = "memoryview | bytes | array[int] | array[float]"

#: One component-model value: `kind`, and a union `of` at offset 8; 32 bytes.
Value = ffi.wasmtime_component_val_t
ValueList = ffi.wasmtime_component_vallist_t
Name = ffi.wasm_name_t
#: The size of a value, and the offset of its union, in bytes.
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


# Read and written directly in memory, since each attribute of a ctypes object is an object of its own.
#: The size and the address of a list, a tuple, a string or a name.
_VECTOR = struct.Struct("NP")
#: The elements of a long list that are filled in at once, before other threads may run.
_PIECE = 1 << 16
#: The layouts of an option, of a result, and of two adjacent values that are `u32`.
_POINTER = struct.Struct("P")
_RESULT = struct.Struct("?P")
_PAIR = struct.Struct(f"{PAYLOAD_OFFSET}xI{VALUE_SIZE - 4}xI")

# Declared again, because the package's own functions take several times as long to call. These only allocate and free,
# so they keep Python's lock meanwhile.
_NewSeveral = ctypes.PYFUNCTYPE(None, ctypes.c_void_p, ctypes.c_size_t)
_NEW_LIST = _NewSeveral(("wasmtime_component_vallist_new_uninit", ffi.dll))
_NEW_LONG_LIST = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_size_t)(
    ("wasmtime_component_vallist_new_uninit", ffi.dll)
)
_NEW_TUPLE = _NewSeveral(("wasmtime_component_valtuple_new_uninit", ffi.dll))
_NEW_VALUE = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)(("wasmtime_component_val_new", ffi.dll))
_NEW_NAME = ctypes.PYFUNCTYPE(None, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p)(("wasm_byte_vec_new", ffi.dll))

_DELETE_VALUE = ctypes.PYFUNCTYPE(None, ctypes.c_void_p)(("wasmtime_component_val_delete", ffi.dll))
_TEXT = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.c_ssize_t)(
    ("PyUnicode_FromStringAndSize", ctypes.pythonapi)
)

#: The value that new values are copies of: `false`.
_BLANK = Value()
_BLANK.kind = Kind.BOOL
_BLANK_ADDRESS = ctypes.addressof(_BLANK)

_VALUE_AT = Value.from_address
_TWO_VALUES_AT = array_type(Value, 2).from_address
#: The most numbers of a list for which a layout is kept: for so few, it is faster than a view of them.
_FEW = 8
_SOME_VALUES_AT = [array_type(Value, size).from_address for size in range(_FEW + 1)]


def view_numbers(value: Value, code: str) -> memoryview[Any]:
    """View the numbers in a list; `code` is their format. The view is valid as long as the engine keeps the list."""
    return _numbers(_view_items(value), code)


def read_numbers(value: Value, code: str) -> list[Any]:
    """Return the numbers in a list; `code` is their format."""
    size, address = _VECTOR.unpack_from(value, PAYLOAD_OFFSET)
    if size > _FEW:
        numbers: list[Any] = view_numbers(value, code).tolist()
        return numbers
    return list(_layout(code, size).unpack_from(_SOME_VALUES_AT[size](address))) if size else []


@cache
def _layout(code: str, size: int) -> struct.Struct:
    """Return the layout of a list of numbers."""
    rest = VALUE_SIZE - PAYLOAD_OFFSET - struct.calcsize(code)
    return struct.Struct(f"{PAYLOAD_OFFSET}x{code}{rest}x" * size)


def list_size(value: Value) -> int:
    """Return the number of elements of a list."""
    size: int = _VECTOR.unpack_from(value, PAYLOAD_OFFSET)[0]
    return size


def elements(value: Value) -> Iterator[Value]:
    """Return the elements of a list or a tuple one by one; they are valid as long as the engine keeps it."""
    size, address = _VECTOR.unpack_from(value, PAYLOAD_OFFSET)
    return map(_VALUE_AT, range(address, address + size * VALUE_SIZE, VALUE_SIZE))


def fill_numbers(value: Value, kind: int, numbers: Numbers, code: str) -> None:
    """Fill a list with numbers of one kind; `numbers` has as many, in the format `code`."""
    memory = _view_items(value)
    target, kinds = _numbers(memory, code), memory[Value.kind.offset :: VALUE_SIZE]
    for begin in range(0, len(kinds), _PIECE):
        piece = numbers[begin : begin + _PIECE]
        target[begin : begin + _PIECE] = piece
        kinds[begin : begin + _PIECE] = bytes([kind]) * len(piece)


def _view_items(value: Value) -> memoryview:
    size, address = _VECTOR.unpack_from(value, PAYLOAD_OFFSET)
    return view_memory(address, size * VALUE_SIZE)


def _numbers(memory: memoryview, code: str) -> memoryview[Any]:
    numbers: memoryview[Any] = memory.cast(code)  # type: ignore[call-overload]  # has one for each format
    return numbers[PAYLOAD_OFFSET // numbers.itemsize :: VALUE_SIZE // numbers.itemsize]


def read_pair(value: Value) -> tuple[int, int]:
    """Return the numbers in a `tuple<u32, u32>`."""
    _, address = _VECTOR.unpack_from(value, PAYLOAD_OFFSET)
    first, second = _PAIR.unpack_from(_TWO_VALUES_AT(address))
    return first, second


def text_size(value: Value) -> int:
    """Return the number of bytes of a string."""
    size: int = _VECTOR.unpack_from(value, PAYLOAD_OFFSET)[0]
    return size


def view_text(value: Value) -> memoryview:
    """View the UTF-8 of a string, which is valid as long as the engine keeps the string."""
    size, address = _VECTOR.unpack_from(value, PAYLOAD_OFFSET)
    return view_memory(address, size)


def read_text(value: Value) -> str:
    """Return the content of a string, or the name of an enum's or a variant's case."""
    size, address = _VECTOR.unpack_from(value, PAYLOAD_OFFSET)
    text: str = _TEXT(address, size)
    return text


def read_name(name: Name) -> str:
    """Return the text of a name that is not a value itself."""
    size, address = _VECTOR.unpack_from(name)
    text: str = _TEXT(address, size)
    return text


def write_text(value: Value, kind: int, content: bytes) -> None:
    """Make `value` a string, or the case of an enum; the engine will own it."""
    _NEW_NAME(ctypes.addressof(value) + PAYLOAD_OFFSET, len(content), content)
    value.kind = kind


def write_name(name: Name, content: bytes) -> None:
    """Store `content` in a name that is not a value itself; the engine will own it."""
    _NEW_NAME(ctypes.addressof(name), len(content), content)


def write_option(value: Value, payload: Value | None) -> None:
    """Make `value` an option with a payload from `new_value`, or without one."""
    _POINTER.pack_into(value, PAYLOAD_OFFSET, _address(payload))
    value.kind = Kind.OPTION


def write_result(value: Value, is_ok: bool, payload: Value | None) -> None:
    """Make `value` a result, one side or the other, with a payload from `new_value`, or without one."""
    _RESULT.pack_into(value, PAYLOAD_OFFSET, is_ok, _address(payload))
    value.kind = Kind.RESULT


def write_variant(value: Value, name: bytes, payload: Value | None) -> None:
    """Make `value` the case `name` of a variant, with a payload from `new_value`, or without one."""
    _NEW_NAME(ctypes.addressof(value) + PAYLOAD_OFFSET, len(name), name)
    _POINTER.pack_into(value, PAYLOAD_OFFSET + _VECTOR.size, _address(payload))
    value.kind = Kind.VARIANT


def _address(payload: Value | None) -> int:
    return 0 if payload is None else ctypes.addressof(payload)


def new_list(value: Value, size: int) -> None:
    """Make `value` a list that the engine will own; its elements are `false` until they are filled in."""
    new = _NEW_LIST if size < _PIECE else _NEW_LONG_LIST  # which lets other threads run meanwhile
    new(ctypes.addressof(value) + PAYLOAD_OFFSET, size)
    value.kind = Kind.LIST


def new_tuple(value: Value, size: int) -> None:
    """Make `value` a tuple that the engine will own; its elements are `false` until they are filled in."""
    _NEW_TUPLE(ctypes.addressof(value) + PAYLOAD_OFFSET, size)
    value.kind = Kind.TUPLE


def new_record(values: ffi.wasmtime_component_valrecord_t, size: int) -> None:
    """Make a record of `size` fields that the engine will own; each is unnamed and `false` until it is filled in."""
    ffi.wasmtime_component_valrecord_new_uninit(ctypes.byref(values), size)


def new_map(values: ffi.wasmtime_component_valmap_t, size: int) -> None:
    """Make a map of `size` entries that the engine will own; each key and value is `false` until it is filled in."""
    ffi.wasmtime_component_valmap_new_uninit(ctypes.byref(values), size)


def new_flags(names: ffi.wasmtime_component_valflags_t, size: int) -> None:
    """Make a list of the names of `size` flags that the engine will own; each is empty until it is filled in."""
    ffi.wasmtime_component_valflags_new_uninit(ctypes.byref(names), size)


def new_value() -> Value:
    """Return a new value on the heap that the engine will own; it is `false` until it is filled in."""
    return _VALUE_AT(_NEW_VALUE(_BLANK_ADDRESS))


class OwnedValues(Owner["ValueArray"]):
    """The arguments or results of a call of a guest: `size` values, each `false` until it is filled in."""

    __slots__ = ()

    def __init__(self, size: int) -> None:
        super().__init__(array_type(Value, size)())

    def __getitem__(self, index: int) -> Value:
        return self.item[index]

    def _free(self, item: ValueArray) -> None:
        address = ctypes.addressof(item)
        for index in range(len(item)):
            _DELETE_VALUE(address + index * VALUE_SIZE)


class _NoValues(OwnedValues):
    """No values, which nobody has to free."""

    __slots__ = ()

    def close(self) -> None:
        """Do nothing."""


#: For calls without arguments, or without a result.
_NONE = _NoValues(0)


def owned_values(size: int) -> OwnedValues:
    """Return the arguments, or the results, of a call of a guest."""
    return OwnedValues(size) if size else _NONE
