"""The only module that touches wasmtime's C API, which is not documented for Python.

In: wasmtime's Python objects and plain values. Out: the handful of calls that the rest of this package is written with.

Who owns what:

- A callable handed to the engine (`add_function`, `add_resource`, `on_epoch`) is kept alive by the engine and let go
  by it when the last linker or store that knows it is gone. Nothing else has to outlive anything.
- The arguments of a host function belong to the engine. Strings and lists in them are read, never freed.
- What is stored in a result of a host function belongs to the engine from that moment on, whether or not the call then
  succeeds. So a value is made whole before its `kind` says what it is, and a list is attached before its elements are
  filled in.
- The arguments and the result of a call of a guest belong to whoever made them with `new_values`, until `free_values`.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, TypeAlias

import wasmtime
from wasmtime import _ffi as ffi
from wasmtime.component import (
    ComponentInstanceType,
    Func,
    FuncType,
    LinkerInstance,
    ResourceType,
)
from wasmtime.component._types import ComponentExtern

if TYPE_CHECKING:
    Values: TypeAlias = "ctypes._Pointer[Value]"
    ValueArray: TypeAlias = "ctypes.Array[Value]"
    Resource: TypeAlias = "ctypes._Pointer[ffi.wasmtime_component_resource_any_t]"

#: What a component imports or exports by one name.
Extern: TypeAlias = ComponentExtern

#: One component-model value: `kind`, and a union `of` at offset 8; 32 bytes.
Value = ffi.wasmtime_component_val_t
ValueList = ffi.wasmtime_component_vallist_t
Name = ffi.wasm_name_t
VALUE_SIZE = ctypes.sizeof(Value)
PAYLOAD_OFFSET = Value.of.offset

#: The address of a `wasmtime_error_t`, or nothing. Its owner is whoever is given it.
ErrorAddress: TypeAlias = int | None


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


class FunctionCallback(Protocol):
    """A host function, as the engine calls it."""

    def call(self, context: int, arguments: Values, results: Values) -> None:
        """Read `arguments`, do the work, fill in `results`."""
        ...

    def fail(self, exception: BaseException) -> ErrorAddress:
        """Keep `exception` for the caller of the guest, and make the error that traps the guest."""
        ...


class DropCallback(Protocol):
    """A resource type's destructor, as the engine calls it."""

    def drop(self, representation: int) -> None:
        """The guest dropped its handle."""
        ...

    def fail(self, exception: BaseException) -> ErrorAddress:
        """Keep `exception` for the caller of the guest, and make the error that traps the guest."""
        ...


class EpochCallback(Protocol):
    """What is asked each time that a store reaches its epoch deadline."""

    def tick(self) -> None:
        """Raise to stop the guest."""
        ...

    def fail(self, exception: BaseException) -> ErrorAddress:
        """Keep `exception` for the caller of the guest, and make the error that traps the guest."""
        ...


# The engine's `void *data` is a Python object throughout: ctypes turns it into one before the callback sees it.
_Function = ctypes.CFUNCTYPE(
    ctypes.c_void_p,
    ctypes.py_object,
    ctypes.c_void_p,
    ctypes.c_void_p,
    ctypes.POINTER(Value),
    ctypes.c_size_t,
    ctypes.POINTER(Value),
    ctypes.c_size_t,
)
_Destructor = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p, ctypes.c_uint32)
_Epoch = ctypes.CFUNCTYPE(
    ctypes.c_void_p,
    ctypes.c_void_p,
    ctypes.py_object,
    ctypes.POINTER(ctypes.c_uint64),
    ctypes.POINTER(ctypes.c_uint8),
)
_Finalizer = ctypes.CFUNCTYPE(None, ctypes.py_object)


# An exception that escaped a ctypes callback would be printed and lost, so these catch every kind, `KeyboardInterrupt`
# and `SystemExit` included.
def _on_call(
    function: FunctionCallback, context: int, _type: int, arguments: Values, _n: int, results: Values, _m: int
) -> ErrorAddress:
    try:
        function.call(context, arguments, results)
    except BaseException as exception:  # noqa: BLE001  # nothing may escape
        return function.fail(exception)
    return None


def _on_drop(resource: DropCallback, _context: int, representation: int) -> ErrorAddress:
    try:
        resource.drop(representation)
    except BaseException as exception:  # noqa: BLE001  # nothing may escape
        return resource.fail(exception)
    return None


def _on_epoch(
    _context: int,
    callback: EpochCallback,
    delta: ctypes._Pointer[ctypes.c_uint64],
    kind: ctypes._Pointer[ctypes.c_uint8],
) -> ErrorAddress:
    try:
        callback.tick()
    except BaseException as exception:  # noqa: BLE001  # nothing may escape
        return callback.fail(exception)
    delta[0] = 1
    kind[0] = 0  # WASMTIME_UPDATE_DEADLINE_CONTINUE
    return None


def _on_release(kept: object) -> None:
    ctypes.pythonapi.Py_DecRef(ctypes.py_object(kept))


def _keep(item: object) -> int:
    """Give the engine a reference to `item`, which `_on_release` takes back."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(item))
    return id(item)


def _pointer(callback: object, function: Callable[..., object], parameter: int) -> object:
    """`callback` as the pointer type that wasmtime's package declares for this parameter of `function`."""
    wanted = function.argtypes[parameter]  # type: ignore[attr-defined]  # it is a ctypes function
    return ctypes.cast(callback, wanted)  # type: ignore[arg-type]  # both are pointers to functions


_ADD_FUNCTION = ffi.dll.wasmtime_component_linker_instance_add_func
_ADD_RESOURCE = ffi.dll.wasmtime_component_linker_instance_add_resource
_SET_EPOCH_CALLBACK = ffi.dll.wasmtime_store_epoch_deadline_callback

# Named, so that they live as long as this module.
_CALL = _Function(_on_call)
_DROP = _Destructor(_on_drop)
_EPOCH = _Epoch(_on_epoch)
_RELEASE = _Finalizer(_on_release)

# Declared anew, because a context comes to us as an address, and to pass `bytes` without a copy.
_Convert = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
_ANY_TO_HOST = _Convert(("wasmtime_component_resource_any_to_host", ffi.dll))
_HOST_TO_ANY = _Convert(("wasmtime_component_resource_host_to_any", ffi.dll))
_CALL_GUEST = ctypes.CFUNCTYPE(
    ctypes.c_void_p,
    ctypes.c_void_p,
    ctypes.c_void_p,
    ctypes.c_void_p,
    ctypes.c_size_t,
    ctypes.c_void_p,
    ctypes.c_size_t,
)(("wasmtime_component_func_call", ffi.dll))
_DROP_RESOURCE = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)(
    ("wasmtime_component_resource_any_drop", ffi.dll)
)
_NEW_NAME = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p)(("wasm_byte_vec_new", ffi.dll))

_CALL_POINTER = _pointer(_CALL, _ADD_FUNCTION, 3)
_FUNCTION_RELEASE = _pointer(_RELEASE, _ADD_FUNCTION, 5)
_DROP_POINTER = _pointer(_DROP, _ADD_RESOURCE, 4)
_RESOURCE_RELEASE = _pointer(_RELEASE, _ADD_RESOURCE, 6)
_EPOCH_POINTER = _pointer(_EPOCH, _SET_EPOCH_CALLBACK, 1)
_EPOCH_RELEASE = _pointer(_RELEASE, _SET_EPOCH_CALLBACK, 3)


# A view of memory without a new ctypes array type for each size, which would cost more than a small copy.
_VIEW = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.c_ssize_t, ctypes.c_int)(
    ("PyMemoryView_FromMemory", ctypes.pythonapi)
)
_WRITABLE = 0x200  # PyBUF_WRITE


def _check(error: object) -> None:
    """Raise what a call returned, if it returned an error."""
    if error:
        pointer = ctypes.cast(error, ctypes.POINTER(ffi.wasmtime_error_t))  # type: ignore[arg-type]  # or an address
        raise wasmtime.WasmtimeError._from_ptr(pointer)


def allow_many_borrows(config: wasmtime.Config) -> None:
    """Let a guest lend a host function more than one resource at once.

    With its support for concurrent calls, which is on by default, this engine traps there.
    """
    ffi.wasmtime_config_concurrency_support_set(config.ptr(), False)


def add_function(instance: LinkerInstance, name: str, function: FunctionCallback) -> None:
    """Define `name` in `instance`; raises `wasmtime.WasmtimeError` where the name is taken."""
    encoded = name.encode()
    buffer = ctypes.create_string_buffer(encoded)
    _check(_ADD_FUNCTION(instance.ptr(), buffer, len(encoded), _CALL_POINTER, _keep(function), _FUNCTION_RELEASE))


def add_resource(instance: LinkerInstance, name: str, type_id: int, resource: DropCallback) -> None:
    """Define the resource type `name`, known as `type_id` within this linker."""
    encoded = name.encode()
    buffer = ctypes.create_string_buffer(encoded)
    with ResourceType.host(type_id) as host_type:
        error = _ADD_RESOURCE(
            instance.ptr(), buffer, len(encoded), host_type.ptr(), _DROP_POINTER, _keep(resource), _RESOURCE_RELEASE
        )
    _check(error)


def on_epoch(store: wasmtime.Store, callback: EpochCallback) -> None:
    """Have `callback` asked at every tick of the engine's epoch while a guest runs in `store`."""
    _SET_EPOCH_CALLBACK(store.ptr(), _EPOCH_POINTER, _keep(callback), _EPOCH_RELEASE)
    store.set_epoch_deadline(1)


def new_error(text: str) -> ErrorAddress:
    """A new error; returned from a callback, it traps the guest."""
    return ctypes.cast(ffi.wasmtime_error_new(text.encode()), ctypes.c_void_p).value


def view_values(values: ValueList) -> memoryview:
    """The memory of a list of values, as bytes that can be written; valid as long as the engine keeps the list."""
    address = ctypes.cast(values.data, ctypes.c_void_p)
    view: memoryview = _VIEW(address, values.size * VALUE_SIZE, _WRITABLE)
    return view


def read_name(name: Name) -> bytes:
    """The bytes of a string that the engine owns."""
    return ctypes.string_at(name.data, name.size)


def write_name(name: Name, content: bytes) -> None:
    """Store `content` in a string that the engine will own."""
    _NEW_NAME(ctypes.addressof(name), len(content), content)


def new_list(values: ValueList, size: int) -> None:
    """Make a list of `size` values that the engine will own; each is `false` until it is filled in."""
    ffi.wasmtime_component_vallist_new_uninit(ctypes.byref(values), size)


def new_tuple(values: ffi.wasmtime_component_valtuple_t, size: int) -> None:
    """Make a tuple of `size` values that the engine will own; each is `false` until it is filled in."""
    ffi.wasmtime_component_valtuple_new_uninit(ctypes.byref(values), size)


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
    pointer: Values = ffi.wasmtime_component_val_new(ctypes.byref(blank))
    return pointer


def read_resource(context: int, value: Value) -> int:
    """The representation behind a handle of one of our resource types, owned or borrowed; the handle is used up."""
    host = ctypes.POINTER(ffi.wasmtime_component_resource_host_t)()
    _check(_ANY_TO_HOST(context, value.of.resource, ctypes.byref(host)))
    representation: int = ffi.wasmtime_component_resource_host_rep(host)
    ffi.wasmtime_component_resource_host_delete(host)
    return representation


def forget_resource(context: int, value: Value) -> None:
    """Use up a handle of one of our resource types, as `read_resource` does, if the engine still lets go of it."""
    host = ctypes.POINTER(ffi.wasmtime_component_resource_host_t)()
    error = _ANY_TO_HOST(context, value.of.resource, ctypes.byref(host))
    if error:
        ffi.wasmtime_error_delete(ctypes.cast(error, ctypes.POINTER(ffi.wasmtime_error_t)))
    else:
        ffi.wasmtime_component_resource_host_delete(host)


def write_resource(context: int, value: Value, representation: int, type_id: int) -> None:
    """Store an owned handle of the resource type `type_id`."""
    host = ffi.wasmtime_component_resource_host_new(True, representation, type_id)
    handle = ctypes.POINTER(ffi.wasmtime_component_resource_any_t)()
    error = _HOST_TO_ANY(context, host, ctypes.byref(handle))
    ffi.wasmtime_component_resource_host_delete(host)
    _check(error)
    value.of.resource = handle
    value.kind = Kind.RESOURCE


class ResourceHandle:
    """Owns the engine's handle of a guest's resource; the resource itself is dropped by `drop` only."""

    __slots__ = ("_pointer",)

    def __init__(self, value: Value) -> None:
        self._pointer: Resource | None = ffi.wasmtime_component_resource_any_clone(value.of.resource)

    def store(self, value: Value) -> None:
        """Store the resource, owned or borrowed as its parameter says; this handle stays."""
        value.of.resource = ffi.wasmtime_component_resource_any_clone(self._pointer)
        value.kind = Kind.RESOURCE

    def drop(self, context: int) -> None:
        """Have the guest drop the resource; raises `wasmtime.WasmtimeError` where it traps."""
        _check(_DROP_RESOURCE(context, self._pointer))

    def __del__(self) -> None:
        pointer, self._pointer = self._pointer, None
        if pointer is not None:
            ffi.wasmtime_component_resource_any_delete(pointer)


def store_context(store: wasmtime.Store) -> int:
    """The address of the context of `store`, which is valid until the store is closed."""
    return ctypes.cast(store._context(), ctypes.c_void_p).value or 0


def new_values(size: int) -> ValueArray:
    """Values that belong to the caller; each is `false` until it is filled in."""
    return (Value * size)()


def free_values(values: ValueArray) -> None:
    """Free what the values own; they are `false` again."""
    for value in values:
        ffi.wasmtime_component_val_delete(ctypes.byref(value))


def call_guest(function: Func, context: int, arguments: ValueArray, results: ValueArray) -> None:
    """Call a function of a guest; raises `wasmtime.WasmtimeError` where it does not return."""
    raw = ctypes.byref(function._func)
    _check(_CALL_GUEST(raw, context, arguments, len(arguments), results, len(results)))


class ValueType:
    """A value type of a component; its parts are read when they are asked for, one level at a time."""

    __slots__ = ("_raw",)

    def __init__(self) -> None:
        self._raw = ffi.wasmtime_component_valtype_t()

    def __del__(self) -> None:
        ffi.wasmtime_component_valtype_delete(ctypes.byref(self._raw))

    @property
    def kind(self) -> str:
        """WIT's word for it, such as `u32` or `record`."""
        number = self._raw.kind
        return _TYPE_KINDS[number] if number < len(_TYPE_KINDS) else "an unknown type"

    def parts(self) -> list[tuple[str, ValueType | None]]:
        """What it is made of, each part with its name where it has one, and its type where it has one."""
        read = _PARTS.get(self.kind)
        return [] if read is None else read(self._raw.of)

    def resource(self) -> ResourceType:
        """The resource type of an `own` or a `borrow`."""
        return ResourceType._from_ptr(ffi.wasmtime_component_resource_type_clone(self._raw.of.own))

    def pointer(self) -> object:
        """Where the C API puts a type."""
        return ctypes.byref(self._raw)


#: By the number of the kind; `map` has no name in wasmtime's package.
_TYPE_KINDS = (
    "bool", "s8", "s16", "s32", "s64", "u8", "u16", "u32", "u64", "f32", "f64", "char", "string", "list", "record",
    "tuple", "variant", "enum", "option", "result", "flags", "own", "borrow", "future", "stream", "error-context",
    "map",
)  # fmt: skip

_Union: TypeAlias = ffi.wasmtime_component_valtype_union
_Parts: TypeAlias = list[tuple[str, ValueType | None]]


def _one(read: Callable[[object, object], object], name: str, pointer: object) -> _Parts:
    part = ValueType()
    # What reads the sides of a result says whether there is one; the others return nothing.
    return [(name, None if read(pointer, part.pointer()) is False else part)]


def _each(count: int, read: Callable[[int, object, object, ValueType], bool]) -> _Parts:
    """Parts with names; `read` says whether the part has a type."""
    parts: _Parts = []
    for index in range(count):
        name, size, part = ctypes.POINTER(ctypes.c_char)(), ctypes.c_size_t(), ValueType()
        typed = read(index, ctypes.byref(name), ctypes.byref(size), part)
        parts.append((ctypes.string_at(name, size.value).decode(), part if typed else None))
    return parts


def _fields(of: _Union) -> _Parts:
    count = ffi.wasmtime_component_record_type_field_count(of.record)
    read = ffi.wasmtime_component_record_type_field_nth
    return _each(count, lambda index, name, size, part: read(of.record, index, name, size, part.pointer()))


def _elements(of: _Union) -> _Parts:
    parts: _Parts = []
    for index in range(ffi.wasmtime_component_tuple_type_types_count(of.tuple)):
        part = ValueType()
        ffi.wasmtime_component_tuple_type_types_nth(of.tuple, index, part.pointer())
        parts.append((str(index), part))
    return parts


def _cases(of: _Union) -> _Parts:
    def read(index: int, name: object, size: object, part: ValueType) -> bool:
        typed = ctypes.c_bool()
        ffi.wasmtime_component_variant_type_case_nth(of.variant, index, name, size, ctypes.byref(typed), part.pointer())
        return typed.value

    return _each(ffi.wasmtime_component_variant_type_case_count(of.variant), read)


def _names(count: Callable[[object], int], read: Callable[..., bool], pointer: object) -> _Parts:
    return _each(count(pointer), lambda index, name, size, _: read(pointer, index, name, size) and False)


_PARTS: dict[str, Callable[[_Union], _Parts]] = {
    "list": lambda of: _one(ffi.wasmtime_component_list_type_element, "", of.list),
    "record": _fields,
    "tuple": _elements,
    "variant": _cases,
    "enum": lambda of: _names(
        ffi.wasmtime_component_enum_type_names_count, ffi.wasmtime_component_enum_type_names_nth, of.enum_
    ),
    "option": lambda of: _one(ffi.wasmtime_component_option_type_ty, "some", of.option),
    "result": lambda of: [
        *_one(ffi.wasmtime_component_result_type_ok, "ok", of.result),
        *_one(ffi.wasmtime_component_result_type_err, "err", of.result),
    ],
    "flags": lambda of: _names(
        ffi.wasmtime_component_flags_type_names_count, ffi.wasmtime_component_flags_type_names_nth, of.flags
    ),
    "map": lambda of: [
        *_one(ffi.wasmtime_component_map_type_key, "key", of.map),
        *_one(ffi.wasmtime_component_map_type_value, "value", of.map),
    ],
}


def is_async(function: FuncType) -> bool:
    """Whether a function of a component is declared `async`."""
    answer: bool = ffi.wasmtime_component_func_type_async(function.ptr())
    return answer


def parameter_types(function: FuncType) -> list[tuple[str, ValueType | None]]:
    """The name and the type of each parameter; every one has a type."""
    count = ffi.wasmtime_component_func_type_param_count(function.ptr())
    read = ffi.wasmtime_component_func_type_param_nth
    return _each(count, lambda index, name, size, part: read(function.ptr(), index, name, size, part.pointer()))


def result_type(function: FuncType) -> ValueType | None:
    """The type of what a function returns, or nothing."""
    [(_, result)] = _one(ffi.wasmtime_component_func_type_result, "", function.ptr())
    return result


def item_type(extern: Extern) -> FuncType | ComponentInstanceType | ResourceType | None:
    """What an import or export is: a function, an instance or a resource; nothing where it is anything else."""
    item = ffi.wasmtime_component_item_t()
    ffi.wasmtime_component_extern_type(extern.ptr(), ctypes.byref(item))
    kind = int(item.kind)
    if kind == ffi.WASMTIME_COMPONENT_ITEM_COMPONENT_FUNC.value:
        return FuncType._from_ptr(item.of.component_func)
    if kind == ffi.WASMTIME_COMPONENT_ITEM_COMPONENT_INSTANCE.value:
        return ComponentInstanceType._from_ptr(item.of.component_instance)
    if kind == ffi.WASMTIME_COMPONENT_ITEM_RESOURCE.value:
        return ResourceType._from_ptr(item.of.resource)
    ffi.wasmtime_component_item_delete(ctypes.byref(item))
    return None
