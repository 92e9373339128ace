"""Freeing objects of wasmtime's package exactly once.

Their own `close` frees the pointer first and forgets it afterwards: if an exception from another thread arrives in
between, the pointer is freed twice. Here an object forgets its pointer first, and no exception can arrive in between.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

import wasmtime
from wasmtime import _ffi as ffi
from wasmtime import component
from wasmtime._managed import Managed
from wasmtime.component import LinkerInstance, ResourceType

M = TypeVar("M", bound=Managed[Any])

#: The C function that frees the pointer of each kind of object: Python runs no signal handler before a C function.
_DELETE: dict[type[Managed[Any]], Callable[[object], None]] = {
    component.Linker: ffi.dll.wasmtime_component_linker_delete,
    LinkerInstance: ffi.dll.wasmtime_component_linker_instance_delete,
    ResourceType: ffi.dll.wasmtime_component_resource_type_delete,
    wasmtime.Linker: ffi.dll.wasmtime_linker_delete,
    wasmtime.Store: ffi.dll.wasmtime_store_delete,
}


class Disposing(Generic[M]):
    """A `with` block that uses an object of wasmtime's package and frees it at the end."""

    def __init__(self, item: M) -> None:
        self._item = item

    def __enter__(self) -> M:
        return self._item

    def __exit__(self, *_: object) -> None:
        dispose(self._item)


def dispose(item: Managed[Any]) -> None:
    """Free a linker, an instance in one, a type of resources, or a store, unless it is free already."""
    if item._Managed__ptr is None:  # type: ignore[attr-defined]  # `ptr` would raise
        return
    delete = _DELETE[type(item)]
    if isinstance(item, wasmtime.Store):
        item._Store__context = None  # type: ignore[attr-defined]  # as its `close` does
    if isinstance(item, LinkerInstance) and item.parent is not None:
        item.parent.locked = False
        item.parent = None
    delete(item._consume())
