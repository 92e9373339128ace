"""What the engine calls: host functions, destructors of resources, the clock of a store.

A callable that is handed to the engine is kept alive by it, and let go of when the last linker or store that knows it
is gone.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

import wasmtime
from wasmtime import _ffi as ffi
from wasmtime.component import LinkerInstance, ResourceType

from .errors import ErrorAddress, check
from .values import Value

if TYPE_CHECKING:
    from .values import Values


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


def keep(item: object) -> int:
    """Give the engine a reference to `item`, which `_on_release` takes back."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(item))
    return id(item)


def pointer(callback: object, function: Callable[..., object], parameter: int) -> object:
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
RELEASE = _Finalizer(_on_release)

_CALL_POINTER = pointer(_CALL, _ADD_FUNCTION, 3)
_FUNCTION_RELEASE = pointer(RELEASE, _ADD_FUNCTION, 5)
_DROP_POINTER = pointer(_DROP, _ADD_RESOURCE, 4)
_RESOURCE_RELEASE = pointer(RELEASE, _ADD_RESOURCE, 6)
_EPOCH_POINTER = pointer(_EPOCH, _SET_EPOCH_CALLBACK, 1)
_EPOCH_RELEASE = pointer(RELEASE, _SET_EPOCH_CALLBACK, 3)


def add_function(instance: LinkerInstance, name: str, function: FunctionCallback) -> None:
    """Define `name` in `instance`; raises `wasmtime.WasmtimeError` where the name is taken."""
    encoded = name.encode()
    buffer = ctypes.create_string_buffer(encoded)
    check(_ADD_FUNCTION(instance.ptr(), buffer, len(encoded), _CALL_POINTER, keep(function), _FUNCTION_RELEASE))


def add_resource(instance: LinkerInstance, name: str, type_id: int, resource: DropCallback) -> None:
    """Define the resource type `name`, known as `type_id` within this linker."""
    encoded = name.encode()
    buffer = ctypes.create_string_buffer(encoded)
    with ResourceType.host(type_id) as host_type:
        error = _ADD_RESOURCE(
            instance.ptr(), buffer, len(encoded), host_type.ptr(), _DROP_POINTER, keep(resource), _RESOURCE_RELEASE
        )
    check(error)


def on_epoch(store: wasmtime.Store, callback: EpochCallback) -> None:
    """Have `callback` asked at every tick of the engine's epoch while a guest runs in `store`."""
    _SET_EPOCH_CALLBACK(store.ptr(), _EPOCH_POINTER, keep(callback), _EPOCH_RELEASE)
    store.set_epoch_deadline(1)
