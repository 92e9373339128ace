"""Linear memories that the host makes: the engine asks for each one, and lets it grow.

No exception escapes these callbacks: see `callbacks`.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any, Protocol

import wasmtime
from wasmtime import _ffi as ffi

from .callbacks import RELEASE, Callback, failed, keep, unbroken
from .errors import Ending, ErrorAddress, new_error

if TYPE_CHECKING:
    Size = ctypes._Pointer[ctypes.c_size_t]
    Made = ctypes._Pointer[ffi.wasmtime_linear_memory_t]


class EndingCallback(Callback, Protocol):
    """A callback for one guest, which ends when it raises."""

    ending: Ending


class Memory(EndingCallback, Protocol):
    """One linear memory; the engine releases it with its store."""

    @property
    def base(self) -> int:
        """Its address, which never changes."""
        ...

    @property
    def size(self) -> int:
        """The current size in bytes."""
        ...

    @property
    def limit(self) -> int:
        """The largest possible size in bytes."""
        ...

    def grow(self, size: int) -> bool:
        """Grow to `size` bytes; return whether that was possible."""
        ...


class Thread(Protocol):
    """The state of one thread."""

    @property
    def guest(self) -> EndingCallback:
        """The guest that this thread is starting; an attribute, as no call may be made to get it."""
        ...


class MemoryCreator(Protocol):
    """Makes the memories of an engine."""

    @property
    def thread(self) -> Thread:
        """The state of the current thread; an attribute, as no call may be made to get it."""
        ...

    def create(self, minimum: int, reserved: int, guard: int) -> Memory:
        """Make a memory of `minimum` bytes that can grow to `reserved`, followed by `guard` inaccessible bytes."""
        ...


_New = ctypes.CFUNCTYPE(
    ctypes.c_void_p,
    ctypes.py_object,
    ctypes.c_void_p,
    ctypes.c_size_t,
    ctypes.c_size_t,
    ctypes.c_size_t,
    ctypes.c_size_t,
    ctypes.POINTER(ffi.wasmtime_linear_memory_t),
)
_Get = ctypes.CFUNCTYPE(
    ctypes.c_void_p, ctypes.py_object, ctypes.POINTER(ctypes.c_size_t), ctypes.POINTER(ctypes.c_size_t)
)
_Grow = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_size_t)


@unbroken
def _on_new(
    creator: MemoryCreator, _type: int, minimum: int, _maximum: int, reserved: int, guard: int, made: Made
) -> ErrorAddress:
    try:
        memory = creator.create(minimum, reserved, guard)
        struct = made[0]
        struct.get_memory, struct.grow_memory, struct.finalizer = _GET_POINTER, _GROW_POINTER, _FINALIZER
        struct.env = keep(memory)
    except BaseException as exception:  # noqa: BLE001  # nothing may escape
        guest = creator.thread.guest
        return failed(guest.ending, guest.where, exception)
    return None


@unbroken
def _on_get(memory: Memory, size: Size, limit: Size) -> int:
    size[0] = memory.size
    limit[0] = memory.limit
    return memory.base


@unbroken
def _on_grow(memory: Memory, size: int) -> ErrorAddress:
    try:
        if not memory.grow(size):
            return new_error("the memory cannot grow")
    except BaseException as exception:  # noqa: BLE001  # nothing may escape
        return failed(memory.ending, memory.where, exception)  # the guest goes on, to its next call or tick
    return None


# Global names, so that they live as long as this module.
_NEW = _New(_on_new)
_GET = _Get(_on_get)
_GROW = _Grow(_on_grow)


def _field(callback: object, struct: type[ctypes.Structure], name: str) -> Any:  # noqa: ANN401  # as ctypes has it
    """Return `callback` as the pointer type that wasmtime's package declares for a field."""
    return ctypes.cast(callback, dict(struct._fields_)[name])  # type: ignore[arg-type, type-var]  # all are pointers


_GET_POINTER = _field(_GET, ffi.wasmtime_linear_memory_t, "get_memory")
_GROW_POINTER = _field(_GROW, ffi.wasmtime_linear_memory_t, "grow_memory")
_FINALIZER = _field(RELEASE, ffi.wasmtime_linear_memory_t, "finalizer")


def create_memories(config: wasmtime.Config, creator: MemoryCreator) -> None:
    """Have `creator` make each memory of the guests of an engine, which keeps `creator` alive."""
    # The engine maps images only into memories that it has made; `creator` may do the same with its own.
    ffi.wasmtime_config_memory_init_cow_set(config.ptr(), False)
    struct = ffi.wasmtime_memory_creator_t()
    struct.env = keep(creator)  # type: ignore[assignment]  # ctypes takes an address for a `void *`
    struct.new_memory = _field(_NEW, ffi.wasmtime_memory_creator_t, "new_memory")
    struct.finalizer = _field(RELEASE, ffi.wasmtime_memory_creator_t, "finalizer")
    ffi.wasmtime_config_host_memory_creator_set(config.ptr(), ctypes.byref(struct))
