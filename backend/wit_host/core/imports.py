"""The imports of a core module, which it gets after their types were compared.

In: the definitions of a host and a module. Out: a linked module, whose linker has all its imports.
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

import wasmtime
from wasmtime import FuncType, ValType

from .. import capi
from ..errors import LinkError
from .compiled import CoreModule
from .host_functions import CoreFunction
from .linked import LinkedModule
from .linker import CoreDefinition, CoreLinker
from .slicing import WASI, add_begin
from .slicing_text import PRIVATE


def link(host: CoreLinker, guest: CoreModule, name: str) -> LinkedModule:
    """Link `guest`, named `name` in messages; raises `LinkError` if an import is missing or differs."""
    linker = wasmtime.Linker(guest.engine)
    linker.allow_shadowing = True  # a guest may import one function several times
    if host.has_wasi:
        linker.define_wasi()
    store = wasmtime.Store(guest.engine)  # only to look up what is defined
    for each in guest.compiled.imports:
        definition = host.functions.get((each.module, each.name or ""))
        if definition is not None:
            _check_type(each.type, definition, name)
            function = CoreFunction(definition)
            capi.add_core_function(linker, definition.module, definition.name, _type(definition), function)
        elif PRIVATE in (each.module, each.name) or not _is_defined(linker, store, each.module, each.name or ""):
            label = f"{each.module}#{each.name or ''}"
            hint = "; call `linker.add_wasi()` to offer WASI to it" if each.module == WASI else _hint(label, host)
            raise LinkError(f"{name} imports {label}, which this host does not provide{hint}")
    if host.has_wasi and guest.slicing is not None:
        add_begin(linker, guest.slicing)
    return LinkedModule(guest, name, linker, host.has_wasi)


def _check_type(theirs: object, definition: CoreDefinition, name: str) -> None:
    text = f"{name} imports {definition.label} with another type"
    if not isinstance(theirs, FuncType):
        raise LinkError(f"{text}: this host has a function, the guest has a {_kind(theirs)}")
    ours = _type(definition)
    if _spell(theirs) != _spell(ours):
        raise LinkError(f"{text}: this host has {_spell(ours)}, the guest has {_spell(theirs)}")


def _type(definition: CoreDefinition) -> FuncType:
    return FuncType([ValType.i32() for _ in definition.parameters], [ValType.i32()])


def _kind(theirs: object) -> str:
    return type(theirs).__name__.removesuffix("Type").lower()


def _spell(function: FuncType) -> str:
    return f"({_join(function.params)}) -> ({_join(function.results)})"


def _join(types: Sequence[ValType]) -> str:
    return ", ".join(map(str, types))


def _is_defined(linker: wasmtime.Linker, store: wasmtime.Store, module: str, name: str) -> bool:
    try:
        linker.get(store, module, name)
    except wasmtime.WasmtimeError:
        return False
    return True


def _hint(label: str, host: CoreLinker) -> str:
    """Return a hint for a message about an unknown import: a similar name."""
    near = get_close_matches(label, [each.label for each in host.functions.values()], n=1, cutoff=0.8)
    return f"; it provides {near[0]}" if near else ""
