"""Types of a component, read one level at a time, each at most once."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import wasmtime
from wasmtime import _ffi as ffi
from wasmtime.component import ComponentInstanceType, ComponentType, FuncType, ResourceType
from wasmtime.component._types import ComponentExtern

from ..errors import LinkError
from ..lazy import lazy
from .ownership import Owner


class ValueType(Owner[ffi.wasmtime_component_valtype_t]):
    """A value type of a component; its parts are read on demand, one level at a time."""

    def __init__(self) -> None:
        super().__init__(ffi.wasmtime_component_valtype_t())

    def _free(self, item: ffi.wasmtime_component_valtype_t) -> None:
        ffi.wasmtime_component_valtype_delete(ctypes.byref(item))

    @property
    def kind(self) -> str:
        """WIT's word for it, such as `u32` or `record`."""
        number = self.item.kind
        return _TYPE_KINDS[number] if number < len(_TYPE_KINDS) else "an unknown type"

    @lazy
    def parts(self) -> Sequence[tuple[str, ValueType | None]]:
        """The parts of the type, each with its name, or an empty one, and its type, if it has one."""
        read = _PARTS.get(self.kind)
        return () if read is None else read(self.item.of)

    @lazy
    def resource(self) -> ResourceType:
        """The resource type of an `own` or a `borrow`."""
        return ResourceType._from_ptr(ffi.wasmtime_component_resource_type_clone(self.item.of.own))

    def pointer(self) -> object:
        """Return the place for the C API to store a type in."""
        return ctypes.byref(self.item)


#: The kinds by their numbers; `map` has no name in wasmtime's package.
_TYPE_KINDS = (
    "bool", "s8", "s16", "s32", "s64", "u8", "u16", "u32", "u64", "f32", "f64", "char", "string", "list", "record",
    "tuple", "variant", "enum", "option", "result", "flags", "own", "borrow", "future", "stream", "error-context",
    "map",
)  # fmt: skip

_Union: TypeAlias = ffi.wasmtime_component_valtype_union
_Parts: TypeAlias = list[tuple[str, ValueType | None]]


def _one(read: Callable[[object, object], object], name: str, pointer: object) -> _Parts:
    part = ValueType()
    # The functions for the sides of a result return whether there is one; the others return None.
    return [(name, None if read(pointer, part.pointer()) is False else part)]


def _each(count: int, read: Callable[[int, object, object, ValueType], bool]) -> _Parts:
    """Read parts with names; `read` returns whether the part has a type."""
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


#: The functions that read the parts of a type, by its kind.
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


#: The most imports or exports of a component or an instance. The engine takes longer to find each, the more there are.
MOST_EXTERNS = 2_000


def require_few_externs(component_type: ComponentType, engine: wasmtime.Engine, name: str) -> None:
    """Raise `GuestError` if the component `name` has too many imports or exports to read."""
    for kind, count in (
        ("imports", ffi.wasmtime_component_type_import_count),
        ("exports", ffi.wasmtime_component_type_export_count),
    ):
        _require_few(count(component_type.ptr(), engine.ptr()), f"{name} has", kind)


def _require_few(number: int, subject: str, kind: str) -> None:
    if number > MOST_EXTERNS:
        raise LinkError(f"{subject} {number} {kind}; at most {MOST_EXTERNS} are supported")


class FunctionType:
    """The type of a function of a component; its parameters and its result are read on demand."""

    def __init__(self, raw: FuncType) -> None:
        self._raw = raw

    @lazy
    def is_async(self) -> bool:
        """Whether it is declared `async`."""
        answer: bool = ffi.wasmtime_component_func_type_async(self._raw.ptr())
        return answer

    @lazy
    def parameters(self) -> Sequence[tuple[str, ValueType | None]]:
        """The name and the type of each parameter."""
        function = self._raw.ptr()
        read = ffi.wasmtime_component_func_type_param_nth
        return _each(
            ffi.wasmtime_component_func_type_param_count(function),
            lambda index, name, size, part: read(function, index, name, size, part.pointer()),
        )

    @lazy
    def result(self) -> ValueType | None:
        """The type of the result, if there is one."""
        [(_, result)] = _one(ffi.wasmtime_component_func_type_result, "", self._raw.ptr())
        return result


class InstanceType:
    """The type of an instance that a component imports or exports."""

    def __init__(self, raw: ComponentInstanceType, engine: wasmtime.Engine) -> None:
        self._raw = raw
        self._engine = engine

    @lazy
    def exports(self) -> Mapping[str, Extern]:
        """The exports of the instance, by name; raises `LinkError` if there are too many to read."""
        number = ffi.wasmtime_component_instance_type_export_count(self._raw.ptr(), self._engine.ptr())
        _require_few(number, "an interface of the guest declares", "items")
        return externs(self._raw.exports(self._engine), self._engine)


class Extern:
    """One import or export of a component."""

    def __init__(self, raw: ComponentExtern, engine: wasmtime.Engine) -> None:
        self._raw = raw
        self._engine = engine

    @lazy
    def implements(self) -> str | None:
        """The interface that the name is a label for, if it is a label."""
        return self._raw.implements

    @lazy
    def type(self) -> FunctionType | InstanceType | ResourceType | None:
        """The type: a function, an instance or a resource; None for anything else."""
        item = ffi.wasmtime_component_item_t()
        ffi.wasmtime_component_extern_type(self._raw.ptr(), ctypes.byref(item))
        kind = int(item.kind)
        if kind == ffi.WASMTIME_COMPONENT_ITEM_COMPONENT_FUNC.value:
            return FunctionType(FuncType._from_ptr(item.of.component_func))
        if kind == ffi.WASMTIME_COMPONENT_ITEM_COMPONENT_INSTANCE.value:
            return InstanceType(ComponentInstanceType._from_ptr(item.of.component_instance), self._engine)
        if kind == ffi.WASMTIME_COMPONENT_ITEM_RESOURCE.value:
            return ResourceType._from_ptr(item.of.resource)
        ffi.wasmtime_component_item_delete(ctypes.byref(item))
        return None


def externs(found: Mapping[str, ComponentExtern], engine: wasmtime.Engine) -> Mapping[str, Extern]:
    """Wrap the imports or exports that wasmtime's package found in a type."""
    return {name: Extern(each, engine) for name, each in found.items()}
