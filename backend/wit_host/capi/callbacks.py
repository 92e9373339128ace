"""Callbacks of the engine: host functions, destructors of resources, the clock of a store.

The engine keeps a callable that is given to it alive, and releases it with the last linker or store that uses it.

If an exception escaped a callback, ctypes would print it and return whatever is on the stack, which the engine would
take for the address of an error. So no exception escapes: the body of each callback is one `try`; its handler calls
`failed`, which only moves existing objects; and `unbroken` prevents exceptions before the `try`.
"""

from __future__ import annotations

import ctypes
import dis
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import wasmtime
from wasmtime import _ffi as ffi
from wasmtime.component import LinkerInstance, ResourceType

from .disposal import Disposing
from .entered import Guest, entered
from .errors import Ending, ErrorAddress, Kept, check
from .values import Value

if TYPE_CHECKING:
    from .values import Values

F = TypeVar("F", bound=Callable[..., Any])
G_contra = TypeVar("G_contra", contravariant=True)


class Callback(Protocol):
    """A callback that can raise; `where` says in the exception where that was."""

    @property
    def where(self) -> str:
        """Words for the end of "raised …"."""
        ...


class FunctionCallback(Callback, Protocol[G_contra]):
    """A host function, as the engine calls it for any guest."""

    def call(self, guest: G_contra, arguments: Values, results: Values) -> None:
        """Read `arguments`, do the work for `guest`, fill in `results`."""
        ...


class DropCallback(Callback, Protocol[G_contra]):
    """A resource type's destructor, as the engine calls it for any guest."""

    def drop(self, guest: G_contra, representation: int) -> None:
        """Drop the object, as `guest` dropped its handle."""
        ...


class EpochCallback(Callback, Protocol):
    """The callback for each time that a store reaches its epoch deadline."""

    ending: Ending
    #: The number of ticks until the next call.
    ticks: int

    def tick(self) -> None:
        """Raise to stop the guest."""
        ...


def unbroken(callback: F) -> F:
    """Change `callback` so that no exception can be raised before its first statement, and return it.

    CPython runs the handlers of signals, and raises the exceptions that other threads have set
    (`PyThreadState_SetAsyncExc`), between the calls of a function and once at its start. That first time is before any
    `try`. The instruction `RESUME` skips this check if its argument says that a coroutine continues, so the argument is
    changed to say so.
    """
    code = callback.__code__
    [begin] = [step.offset for step in dis.get_instructions(code) if step.opname == "RESUME"]
    instructions = bytearray(code.co_code)
    instructions[begin + 1] = _AFTER_AWAIT
    callback.__code__ = code.replace(co_code=bytes(instructions))
    return callback


#: The argument of `RESUME`: 0 at the start of a function, 1 after `yield`, 2 after `yield from`, 3 after `await`.
_AFTER_AWAIT = 3


@unbroken
def keep_exception(kept: Kept, where: str, exception: BaseException) -> None:
    """Keep `exception`, raised `where`, for the caller of the guest.

    It cannot raise, whatever `exception` is: it makes no calls, and reads no attribute of the exception.
    """
    kept.exception = exception
    kept.where = where


@unbroken
def failed(ending: Ending, where: str, exception: BaseException) -> ErrorAddress:
    """Keep `exception`, and return the error that ends the guest; it cannot raise either."""
    keep_exception(ending.kept, where, exception)
    error = ending.error
    ending.error = None
    return error


# The engine's `void *data` is always a Python object: ctypes converts it before the callback sees it.
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
_Finalizer = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


@unbroken
def _on_call(
    function: FunctionCallback[Guest],
    _context: int,
    _type: int,
    arguments: Values,
    _n: int,
    results: Values,
    _m: int,
) -> ErrorAddress:
    guest = entered.guest
    try:
        if guest.kept.exception is not None:
            guest.call_ending.raise_kept()
        function.call(guest, arguments, results)
    except BaseException as exception:  # noqa: BLE001  # nothing may escape
        return failed(guest.call_ending, function.where, exception)
    return None


@unbroken
def _on_drop(resource: DropCallback[Guest], _context: int, representation: int) -> ErrorAddress:
    guest = entered.guest
    try:
        if guest.kept.exception is not None:
            guest.call_ending.raise_kept()
        resource.drop(guest, representation)
    except BaseException as exception:  # noqa: BLE001  # nothing may escape
        return failed(guest.call_ending, resource.where, exception)
    return None


@unbroken
def _on_epoch(
    _context: int,
    callback: EpochCallback,
    delta: ctypes._Pointer[ctypes.c_uint64],
    kind: ctypes._Pointer[ctypes.c_uint8],
) -> ErrorAddress:
    try:
        if callback.ending.kept.exception is not None:
            callback.ending.raise_kept()
        callback.tick()
        delta[0] = callback.ticks
        kind[0] = 0  # WASMTIME_UPDATE_DEADLINE_CONTINUE
    except BaseException as exception:  # noqa: BLE001  # nothing may escape
        return failed(callback.ending, callback.where, exception)
    return None


#: The objects that the engine refers to, by address. Removing one calls no function, so no exception can be raised.
_kept: dict[int, object] = {}


@unbroken
def _on_release(address: int, kept: dict[int, object] = _kept) -> None:
    # By a parameter, because at the end of the interpreter a global name may be gone before the engine is.
    del kept[address]


def keep(item: object) -> int:
    """Give the engine its only reference to `item`, which `_on_release` removes; return the address of `item`."""
    if id(item) in _kept:
        raise ValueError(f"the engine has a reference to this {type(item).__name__} already")
    _kept[id(item)] = item
    return id(item)


def is_kept(item: object) -> bool:
    """Return whether the engine still has its reference to `item`."""
    return id(item) in _kept


def all_kept() -> list[object]:
    """Return all items that the engine has its reference to."""
    return list(_kept.values())


def pointer(callback: object, function: Callable[..., object], parameter: int) -> object:
    """Return `callback` as the pointer type that wasmtime's package declares for this parameter of `function`."""
    wanted = function.argtypes[parameter]  # type: ignore[attr-defined]  # it is a ctypes function
    return ctypes.cast(callback, wanted)  # type: ignore[arg-type]  # both are pointers to functions


_ADD_FUNCTION = ffi.dll.wasmtime_component_linker_instance_add_func
_ADD_RESOURCE = ffi.dll.wasmtime_component_linker_instance_add_resource
_SET_EPOCH_CALLBACK = ffi.dll.wasmtime_store_epoch_deadline_callback

# Global names, so that they live as long as this module.
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

# Declared again to keep Python's lock: they are quick, and called for each guest.
_KEEP_EPOCH_CALLBACK = ctypes.PYFUNCTYPE(None, *[ctypes.c_void_p] * 4)(
    ("wasmtime_store_epoch_deadline_callback", ffi.dll)
)
_SET_EPOCH_DEADLINE = ctypes.PYFUNCTYPE(None, ctypes.c_void_p, ctypes.c_uint64)(
    ("wasmtime_context_set_epoch_deadline", ffi.dll)
)
_INCREMENT_EPOCH = ctypes.PYFUNCTYPE(None, ctypes.c_void_p)(("wasmtime_engine_increment_epoch", ffi.dll))


def add_function(instance: LinkerInstance, name: str, function: FunctionCallback[Any]) -> None:
    """Define `name` in `instance`; raises `wasmtime.WasmtimeError` if the name is taken."""
    encoded = name.encode()
    buffer = ctypes.create_string_buffer(encoded)
    check(_ADD_FUNCTION(instance.ptr(), buffer, len(encoded), _CALL_POINTER, keep(function), _FUNCTION_RELEASE))


def add_resource(instance: LinkerInstance, name: str, type_id: int, resource: DropCallback[Any]) -> None:
    """Define the resource type `name`, known as `type_id` within this linker."""
    encoded = name.encode()
    buffer = ctypes.create_string_buffer(encoded)
    with Disposing(ResourceType.host(type_id)) as host_type:
        error = _ADD_RESOURCE(
            instance.ptr(), buffer, len(encoded), host_type.ptr(), _DROP_POINTER, keep(resource), _RESOURCE_RELEASE
        )
    check(error)


def on_epoch(store: wasmtime.Store, callback: EpochCallback) -> None:
    """Have `callback` called at ticks of the engine's epoch while a guest runs in `store`: first at the next one."""
    _KEEP_EPOCH_CALLBACK(store.ptr(), _EPOCH_POINTER, keep(callback), _EPOCH_RELEASE)
    call_at_next_tick(store)


def call_at_next_tick(store: wasmtime.Store) -> None:
    """Have the callback of the store called at the next tick, whatever it has said before."""
    _SET_EPOCH_DEADLINE(store._context(), 1)


def advance_epoch(engine: wasmtime.Engine, ticks: int) -> None:
    """Advance the epoch of an engine by several ticks, from any thread or handler of signals."""
    pointer = engine.ptr()
    for _ in range(ticks):
        _INCREMENT_EPOCH(pointer)
