"""The functions that a component exports, by name, and the definition that each leads to.

In: a component that was read. Out: pairs of names and indices. Tools make components whose interfaces are instances of
components inside, which only pass on what they import.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .definitions import Definition, Origin, Reference, Space
from .index_spaces import Indices, indices
from .served_imports import Served

Key = tuple[str | None, str]
"""An interface, or None for the world, and the name of a function."""


def exported_functions(served: Served) -> Iterator[tuple[Key, int]]:
    """Yield the exported functions, also those in instances, each with its index. Raises `InvalidComponent`."""
    for _, each in served.found.all:
        if each.origin != Origin.EXPORT:
            continue
        target = each.references[0]
        if target.space == Space.FUNC:
            yield (None, _text(each.name)), target.index
        elif target.space == Space.INSTANCE:
            for name, index in _in_instance(served, source(served.found, target)):
                yield (_text(each.name), _text(name)), index


def source(found: Indices, reference: Reference) -> Definition | None:
    """Return the definition that a reference leads to, through exports of it."""
    definition, index = found.definition(reference.space, reference.index), reference.index
    while definition is not None and definition.origin == Origin.EXPORT:
        target = definition.references[0]
        if target.index >= index:
            return None  # the engine refuses it
        index = target.index
        definition = found.definition(target.space, index)
    return definition


def _in_instance(served: Served, instance: Definition | None) -> Iterator[tuple[bytes, int]]:
    """Yield the functions in an instance by name, with the indices that they have outside."""
    if instance is None:
        return
    if instance.origin == Origin.BUNDLE_ITEMS:
        yield from _functions(instance.names, instance.references).items()
    elif instance.origin == Origin.INSTANTIATE_COMPONENT:
        component, *arguments = instance.references
        given = _functions(instance.names, arguments)
        for name, passed in _passed_on(served, component):
            if passed in given:
                yield name, given[passed]


def _functions(names: Sequence[bytes], items: Sequence[Reference]) -> dict[bytes, int]:
    return {name: each.index for name, each in zip(names, items, strict=True) if each.space == Space.FUNC}


def _passed_on(served: Served, component: Reference) -> Iterator[tuple[bytes, bytes]]:
    """Yield the functions that a component inside only passes on: the name of the export, and that of the import."""
    definition = served.found.definition(Space.COMPONENT, component.index)
    if definition is None or definition.origin != Origin.COMPONENT:
        return
    inner = indices(served.wasm, served.parts, served.found.sections(Space.COMPONENT)[component.index])
    for _, each in inner.all:
        if each.origin == Origin.EXPORT and each.space == Space.FUNC:
            passed = source(inner, each.references[0])
            if passed is not None and passed.origin == Origin.IMPORT:
                yield each.name, passed.name


def _text(name: bytes) -> str:
    return name.decode(errors="replace")
