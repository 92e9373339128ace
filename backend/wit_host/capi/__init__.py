"""The only package that uses wasmtime's C API, which is not documented for Python.

In: wasmtime's Python objects and plain values. Out: the few calls that the rest of this package needs.

Who owns what:

- The engine keeps a callable that is given to it (`add_function`, `add_resource`, `on_epoch`) alive, and releases it
  with the last linker or store that uses it. No other object has to live longer than another.
- The arguments of a host function belong to the engine. Strings and lists in them are read, never freed.
- A value that is stored in a result of a host function belongs to the engine from that moment on, whether or not the
  call then succeeds. So a value is complete before its `kind` is set, and a list is attached before its elements are
  filled in.
- The arguments and the result of a call of a guest belong to their `OwnedValues`, a handle of a resource to its
  `ResourceHandle`, and a type to its `ValueType`. Each is an `Owner`, which closes once.
- Objects of wasmtime's package own their pointers; `dispose` frees them safely.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .arrays import array_type
from .callbacks import (
    DropCallback,
    EpochCallback,
    FunctionCallback,
    add_function,
    add_resource,
    advance_epoch,
    all_kept,
    call_at_next_tick,
    is_kept,
    on_epoch,
    unbroken,
)
from .calls import Function, call_async_guest, call_guest, find_function, instantiate_async
from .config import allow_async_types, allow_many_borrows, compile_quickly, count_fuel
from .core import (
    RAW_STRIDE,
    CoreCallback,
    ExportedMemory,
    add_core_function,
    call_procedure,
    clone_linker,
    exported_memory,
    instantiate_module,
)
from .disposal import Disposing, dispose
from .entered import entered
from .errors import Ending, ErrorAddress, Kept
from .handles import ResourceHandle, forget_resource, read_resource, write_resource
from .memories import Memory, MemoryCreator, create_memories
from .ownership import Owner
from .stores import fuel_left, init_wasi, new_store, set_arguments, set_fuel, set_limits, set_wasi, store_context
from .streams import set_stderr, set_stdin, set_stdout
from .types import Extern, FunctionType, InstanceType, ValueType, externs, require_few_externs
from .values import (
    Kind,
    Name,
    OwnedValues,
    Value,
    elements,
    fill_numbers,
    list_size,
    new_flags,
    new_list,
    new_map,
    new_record,
    new_tuple,
    new_value,
    owned_values,
    read_name,
    read_numbers,
    read_pair,
    read_text,
    text_size,
    view_numbers,
    view_text,
    write_name,
    write_option,
    write_result,
    write_text,
    write_variant,
)

if TYPE_CHECKING:
    from .core import RawValues as RawValues
    from .values import Values as Values

__all__ = [
    "RAW_STRIDE",
    "CoreCallback",
    "Disposing",
    "DropCallback",
    "Ending",
    "EpochCallback",
    "ErrorAddress",
    "ExportedMemory",
    "Extern",
    "Function",
    "FunctionCallback",
    "FunctionType",
    "InstanceType",
    "Kept",
    "Kind",
    "Memory",
    "MemoryCreator",
    "Name",
    "OwnedValues",
    "Owner",
    "ResourceHandle",
    "Value",
    "ValueType",
    "add_core_function",
    "add_function",
    "add_resource",
    "advance_epoch",
    "all_kept",
    "allow_async_types",
    "allow_many_borrows",
    "array_type",
    "call_async_guest",
    "call_at_next_tick",
    "call_guest",
    "call_procedure",
    "clone_linker",
    "compile_quickly",
    "count_fuel",
    "create_memories",
    "dispose",
    "elements",
    "entered",
    "exported_memory",
    "externs",
    "fill_numbers",
    "find_function",
    "forget_resource",
    "fuel_left",
    "init_wasi",
    "instantiate_async",
    "instantiate_module",
    "is_kept",
    "list_size",
    "new_flags",
    "new_list",
    "new_map",
    "new_record",
    "new_store",
    "new_tuple",
    "new_value",
    "on_epoch",
    "owned_values",
    "read_name",
    "read_numbers",
    "read_pair",
    "read_resource",
    "read_text",
    "require_few_externs",
    "set_arguments",
    "set_fuel",
    "set_limits",
    "set_stderr",
    "set_stdin",
    "set_stdout",
    "set_wasi",
    "store_context",
    "text_size",
    "unbroken",
    "view_numbers",
    "view_text",
    "write_name",
    "write_option",
    "write_resource",
    "write_result",
    "write_text",
    "write_variant",
]
