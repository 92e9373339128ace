"""Handles of resources."""

from __future__ import annotations

import ctypes
import struct
from typing import TYPE_CHECKING, TypeAlias

from wasmtime import _ffi as ffi

from .errors import check, discard
from .ownership import Owner
from .values import PAYLOAD_OFFSET, Kind, Value

if TYPE_CHECKING:
    Resource: TypeAlias = "ctypes._Pointer[ffi.wasmtime_component_resource_any_t]"

# Declared again, because a context comes as an address, and the package's own take several times as long to call.
# Those that run no code of a guest keep Python's lock meanwhile.
_Convert = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
_ANY_TO_HOST = _Convert(("wasmtime_component_resource_any_to_host", ffi.dll))
_HOST_TO_ANY = _Convert(("wasmtime_component_resource_host_to_any", ffi.dll))
_NEW_HOST = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.c_bool, ctypes.c_uint32, ctypes.c_uint32)(
    ("wasmtime_component_resource_host_new", ffi.dll)
)
_HOST_REPRESENTATION = ctypes.PYFUNCTYPE(ctypes.c_uint32, ctypes.c_void_p)(
    ("wasmtime_component_resource_host_rep", ffi.dll)
)
_DELETE_HOST = ctypes.PYFUNCTYPE(None, ctypes.c_void_p)(("wasmtime_component_resource_host_delete", ffi.dll))
_DROP_RESOURCE = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)(
    ("wasmtime_component_resource_any_drop", ffi.dll)
)

_POINTER = struct.Struct("P")
_OWNED = ctypes.c_bool(True)


def read_resource(context: int, value: Value) -> int:
    """Consume a handle of a resource of the host, owned or borrowed, and return its representation."""
    host = ctypes.c_void_p()
    error = _ANY_TO_HOST(context, *_POINTER.unpack_from(value, PAYLOAD_OFFSET), ctypes.addressof(host))
    if error:
        check(error)
    representation: int = _HOST_REPRESENTATION(host)
    _DELETE_HOST(host)
    return representation


def forget_resource(context: int, value: Value) -> None:
    """Consume a handle of a resource of the host, as `read_resource` does, if the engine still allows it."""
    host = ctypes.c_void_p()
    error = _ANY_TO_HOST(context, value.of.resource, ctypes.byref(host))
    if error:
        discard(error)
    else:
        _DELETE_HOST(host)


def write_resource(context: int, value: Value, representation: int, type_id: int) -> None:
    """Store an owned handle of the resource type `type_id`."""
    host = _NEW_HOST(_OWNED, representation, type_id)
    error = _HOST_TO_ANY(context, host, ctypes.addressof(value) + PAYLOAD_OFFSET)
    _DELETE_HOST(host)
    if error:
        check(error)
    value.kind = Kind.RESOURCE


class ResourceHandle(Owner["Resource"]):
    """Owns the engine's handle of a guest's resource; the resource itself is dropped by `drop` only."""

    __slots__ = ()

    def __init__(self, value: Value) -> None:
        super().__init__(ffi.wasmtime_component_resource_any_clone(value.of.resource))

    def store(self, value: Value) -> None:
        """Store the resource in `value`, as an owned or a borrowed one; this handle stays open."""
        value.of.resource = ffi.wasmtime_component_resource_any_clone(self.item)
        value.kind = Kind.RESOURCE

    def drop(self, context: int) -> None:
        """Have the guest drop the resource, and close; raises `wasmtime.WasmtimeError` if the guest traps."""
        with self:
            check(_DROP_RESOURCE(context, self.item))

    def _free(self, item: Resource) -> None:
        ffi.wasmtime_component_resource_any_delete(item)
