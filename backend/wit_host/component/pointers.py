"""Components rewritten so that `list<u8>` crosses as an address and a length.

In: a component, and the interfaces that a host serves. Out: the component with the imports of these retyped, so that
the engine hands numbers to the host and boxes no bytes. The guest's core modules stay as they are: a `list<u8>` in a
parameter is the same two core values as two `u32`, and a function that returns one takes the place for it as a number.

What is unfamiliar stays as it is, and the reason is given.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from ..versions import find
from .binary import InvalidComponent, Reader
from .definitions import CUSTOM, Definition, Origin, Space
from .indices import Indices, indices
from .insert import Lowered, insertion
from .nested import memory_module, outer_types
from .obstacles import Obstacle
from .retype import Retyped, retyped
from .root_types import RootTypes, imported_type
from .sections import Edit, Section, edited, is_component, sections
from .uses import Lower, check_type, uses_of_instance

_NAMES = b"component-name"
_NOTHING: Mapping[str, str] = MappingProxyType({})
_NO_FUNCTIONS: Mapping[str, frozenset[str]] = MappingProxyType({})


@dataclass(frozen=True)
class Prepared:
    """A component that is ready to compile: `wasm` is the very object that was given where nothing changed.

    `functions` has a key for each import that was retyped: the names of its functions whose result is bridged. Of
    these imports, each `list<u8>` in a parameter is now `tuple<u32, u32>`: address and length. A bridged function has
    no result and one more parameter, `ret`, and is called twice for each call of the guest: first the host stores the
    length at `ret + 4`, then it copies the bytes to the address that it finds at `ret`. Other results are as they were.

    `reasons` says of an import why it stayed as it was.
    """

    wasm: bytes
    functions: Mapping[str, frozenset[str]] = field(default_factory=lambda: _NO_FUNCTIONS)
    reasons: Mapping[str, str] = field(default_factory=lambda: _NOTHING)


def prepare_pointers(wasm: bytes, interfaces: Collection[str]) -> Prepared:
    """Retype the imports that `interfaces` serve, which are full names with versions.

    Imports whose functions pass no bytes stay as they are, and so does what is no component.
    """
    if not is_component(wasm) or not interfaces:
        return Prepared(wasm)
    try:
        parts = sections(wasm)
        found = indices(wasm, parts)
    except InvalidComponent as error:
        return Prepared(wasm, reasons=dict.fromkeys(interfaces, str(error)))
    imports = _imports(found, interfaces)
    if not imports:
        return Prepared(wasm)
    try:
        return _prepared(wasm, parts, found, imports)
    except (InvalidComponent, Obstacle) as error:
        return Prepared(wasm, reasons={each.name: str(error) for each in imports})


@dataclass(frozen=True, slots=True)
class _Import:
    """An import that the host serves: an instance, or a function of the world itself."""

    name: str
    index: int
    definition: Definition


@dataclass(frozen=True, slots=True)
class _Change:
    """What becomes of one import: the index of its type, the new type, and the lowers that need bridges."""

    type: int
    new: Retyped
    lowers: Sequence[Lowered]


def _imports(found: Indices, interfaces: Collection[str]) -> list[_Import]:
    return [
        _Import(name, index, each)
        for space in (Space.INSTANCE, Space.FUNC)
        for index, each in found.indexed(space)
        if each.origin == Origin.IMPORT and find(name := each.name.decode(errors="replace"), interfaces) is not None
    ]


def _prepared(wasm: bytes, parts: Sequence[Section], found: Indices, imports: Sequence[_Import]) -> Prepared:
    """The component with these imports retyped. Raises `Obstacle` for what concerns all, and `InvalidComponent`."""
    types, outer = RootTypes(found), frozenset(outer_types(wasm, parts))
    changes: dict[str, _Change] = {}
    reasons: dict[str, str] = {}
    for each in imports:
        try:
            change = _change(wasm, found, types, outer, each)
        except Obstacle as obstacle:
            reasons[each.name] = str(obstacle)
        else:
            if change is not None:
                changes[each.name] = change
    if not changes:
        return Prepared(wasm, reasons=reasons)
    _check_memory(wasm, parts, found)
    functions = {
        name: frozenset(function.decode(errors="replace") for function in change.new.bridged)
        for name, change in changes.items()
    }
    return Prepared(_rewritten(wasm, parts, found, list(changes.values())), functions, reasons)


def _change(wasm: bytes, found: Indices, types: RootTypes, outer: Collection[int], each: _Import) -> _Change | None:
    """What becomes of an import; nothing where no bytes cross. Raises `Obstacle`."""
    if each.definition.space == Space.FUNC:
        raise Obstacle("functions that the component imports directly are left as they are")
    index = imported_type(each.definition)
    declared = None if index is None else types.instances.get(index)
    if index is None or declared is None:
        raise Obstacle("its type is defined in an unfamiliar way")
    if not declared.passes_bytes():
        return None
    check_type(found, index, outer)
    uses = uses_of_instance(found, each.index)
    new = retyped(wasm, declared, uses.kept)
    if new is None:
        return None
    return _Change(index, new, [_lowered(lower, new) for lower in uses.lowers if lower.function in new.bridged])


def _lowered(lower: Lower, new: Retyped) -> Lowered:
    if lower.memory is None or lower.realloc is None:
        raise Obstacle(f"its function `{lower.function.decode(errors='replace')}` is lowered without an allocator")
    return Lowered(lower.index, lower.memory, lower.realloc, new.bridged[lower.function])


def _check_memory(wasm: bytes, parts: Sequence[Section], found: Indices) -> None:
    """Raise `Obstacle` where an address could be one in several memories."""
    section = memory_module(wasm, parts)
    modules = found.sections(Space.CORE_MODULE)
    if section is None:
        raise Obstacle("the component has no memory of its own")
    if any(each.origin != Origin.MODULE for _, each in found.indexed(Space.CORE_MODULE)):
        raise Obstacle("the component gets core modules from elsewhere")
    uses = [found.uses_of(Space.CORE_MODULE, index) for index in range(len(modules))]
    if any(use.by.origin != Origin.INSTANTIATE for of_module in uses for use in of_module):
        raise Obstacle("the component passes on core modules")
    if len(uses[modules.index(section)]) > 1:
        raise Obstacle("the component has more than one memory")


def _rewritten(wasm: bytes, parts: Sequence[Section], found: Indices, changes: Sequence[_Change]) -> bytes:
    edits, between = insertion(parts, found, [lower for change in changes for lower in change.lowers])
    if between:
        between += _names(wasm, parts)
    types = found.space(Space.TYPE)
    for change in changes:
        section, old = found.all[types[change.type]]
        if old.type is not None:
            edits.setdefault(section, []).append(Edit(old.type.start, old.type.end, change.new.definition))
    return edited(wasm, parts, edits, between)


def _names(wasm: bytes, parts: Sequence[Section]) -> list[Edit]:
    """The removal of the names that tools print, which go by indices."""
    return [
        Edit(part.start, part.end, b"")
        for part in parts
        if part.id == CUSTOM and part.parent is None and Reader(wasm, part.body, part.end).name() == _NAMES
    ]
