"""The imports of a component that a host serves, rewritten one by one.

In: a component, the interfaces that a host serves, and a function that decides on the change of one import. Out: the
component with all changes, and the reason for each import that stayed as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from ..versions import find
from .binary import InvalidComponent, Reader
from .bridge_insertion import Lowered, insertion
from .definitions import CUSTOM, Definition, Origin, Space
from .index_spaces import Indices, indices
from .instance_types import InstanceType
from .obstacles import Obstacle
from .outer_types import outer_types
from .root_types import RootTypes, imported_type
from .sections import Edit, Section, edited, is_component, sections
from .uses import Uses, check_type, uses_of_instance

#: The custom section with the names that tools print.
_NAMES = b"component-name"
_NOTHING: Mapping[str, str] = MappingProxyType({})
_NO_FUNCTIONS: Mapping[str, frozenset[str]] = MappingProxyType({})


@dataclass(frozen=True)
class Rewritten:
    """A component that is ready to compile; without changes, `wasm` is the same object as before.

    `functions` has each import with a new type, and the names of those of its functions in which more changed than the
    types of parameters. `reasons` says why an import stayed as it was; if only some of its functions did, it has these,
    as `import#function`.
    """

    wasm: bytes
    functions: Mapping[str, frozenset[str]] = field(default_factory=lambda: _NO_FUNCTIONS)
    reasons: Mapping[str, str] = field(default_factory=lambda: _NOTHING)


@dataclass(frozen=True, slots=True)
class Import:
    """An imported instance whose functions may pass bytes: the index of its type, its declarations, and its uses."""

    type: int
    declared: InstanceType
    uses: Uses


@dataclass(frozen=True, slots=True)
class Change:
    """The change of one import.

    `edits` are of the section that its type is in. `functions` and `reasons` are by the names of its functions;
    `lowers` are those that need bridges, `options` changes of lowers, each with the lower's index.
    """

    edits: Sequence[Edit]
    functions: Collection[bytes]
    lowers: Sequence[Lowered]
    options: Sequence[tuple[int, Edit]] = ()
    reasons: Mapping[bytes, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Served:
    """A component that was read."""

    wasm: bytes
    parts: Sequence[Section]
    found: Indices


#: Returns the change of an import, or None; raises `Obstacle`.
Changing = Callable[[Served, Import], Change | None]
#: Raises `Obstacle` if no import may change.
Check = Callable[[Served], None]


def rewrite_imports(wasm: bytes, interfaces: Collection[str], changing: Changing, check: Check) -> Rewritten:
    """Change the imports that `interfaces` serve, which are full names with versions.

    Imports whose functions pass no bytes stay as they are, and so does anything that is not a component.
    """
    if not is_component(wasm) or not interfaces:
        return Rewritten(wasm)
    try:
        parts = sections(wasm)
        served = Served(wasm, parts, indices(wasm, parts))
    except InvalidComponent as error:
        return Rewritten(wasm, reasons=dict.fromkeys(interfaces, str(error)))
    imports = _imports(served.found, interfaces)
    if not imports:
        return Rewritten(wasm)
    try:
        return _rewritten(served, imports, changing, check)
    except (InvalidComponent, Obstacle) as error:
        return Rewritten(wasm, reasons=dict.fromkeys(imports, str(error)))


_Imports = Mapping[str, tuple[int, Definition]]


def _imports(found: Indices, interfaces: Collection[str]) -> _Imports:
    """Return the instances, and functions of the world itself, by name; each with its index."""
    return {
        name: (index, each)
        for space in (Space.INSTANCE, Space.FUNC)
        for index, each in found.indexed(space)
        if each.origin == Origin.IMPORT and find(name := each.name.decode(errors="replace"), interfaces) is not None
    }


def _rewritten(served: Served, imports: _Imports, changing: Changing, check: Check) -> Rewritten:
    """Change these imports. Raises `Obstacle` if none of them may change, and `InvalidComponent`."""
    types, outer = RootTypes(served.found), frozenset(outer_types(served.wasm, served.parts))
    changes: dict[int, Change] = {}
    functions: dict[str, frozenset[str]] = {}
    reasons: dict[str, str] = {}
    for name, (index, definition) in imports.items():
        try:
            import_ = _import(served.found, types, outer, index, definition)
            change = None if import_ is None else changing(served, import_)
        except Obstacle as obstacle:
            reasons[name] = str(obstacle)
            continue
        if import_ is not None and change is not None:
            changes[import_.type] = change
            functions[name] = frozenset(each.decode(errors="replace") for each in change.functions)
            reasons |= {f"{name}#{each.decode(errors='replace')}": text for each, text in change.reasons.items()}
    if not changes:
        return Rewritten(served.wasm, reasons=reasons)
    check(served)
    return Rewritten(_edited(served, changes), functions, reasons)


def _import(
    found: Indices, types: RootTypes, outer: Collection[int], index: int, definition: Definition
) -> Import | None:
    """Examine an import; None if it passes no bytes. Raises `Obstacle`."""
    if definition.space == Space.FUNC:
        raise Obstacle("functions that the component imports directly are left as they are")
    type_ = imported_type(definition)
    declared = None if type_ is None else types.instances.get(type_)
    if type_ is None or declared is None:
        raise Obstacle("its type is defined in an unfamiliar way")
    if not declared.passes_bytes():
        return None
    check_type(found, type_, outer)
    return Import(type_, declared, uses_of_instance(found, index))


def _edited(served: Served, changes: Mapping[int, Change]) -> bytes:
    parts, found = served.parts, served.found
    edits, between = insertion(parts, found, [lower for change in changes.values() for lower in change.lowers])
    if between:
        between += _names(served.wasm, parts)
    types, lowers = found.space(Space.TYPE), found.sections(Space.CORE_FUNC)
    for type_, change in changes.items():
        section, _ = found.all[types[type_]]
        edits.setdefault(section, []).extend(change.edits)
        for lower, edit in change.options:
            edits.setdefault(lowers[lower], []).append(edit)
    return edited(served.wasm, parts, edits, between)


def _names(wasm: bytes, parts: Sequence[Section]) -> list[Edit]:
    """Remove the names that tools print, as they belong to the old indices."""
    return [
        Edit(part.start, part.end, b"")
        for part in parts
        if part.id == CUSTOM and part.parent is None and Reader(wasm, part.body, part.end).name() == _NAMES
    ]
