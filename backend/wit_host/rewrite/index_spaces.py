"""The index spaces of a component: the definition for each index, and its uses.

In: the bytes of a component and its sections. Out: its own definitions in order, by section and by index space, and the
uses of each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from .binary import InvalidComponent, Reader
from .canonical_functions import canonical_function
from .definitions import (
    ALIAS,
    CANON,
    COMPONENT,
    CORE_INSTANCE,
    CORE_MODULE,
    CORE_TYPE,
    CUSTOM,
    EXPORT,
    IMPORT,
    INSTANCE,
    TYPE,
    Definition,
    Origin,
    Reference,
    Space,
    aliased,
    core_instance,
    exported,
    imported,
    instance,
    items,
    type_definitions,
)
from .sections import Section

#: The most bytes outside core modules that are read, and of types among them; a large guest has 80,000 and 11,000.
MOST_BYTES = 1 << 18
MOST_TYPE_BYTES = 1 << 17

#: The functions that read one definition, by the kind of the section.
_ITEMS: Final[Mapping[int, Callable[[Reader], Definition]]] = {
    CORE_INSTANCE: core_instance,
    INSTANCE: instance,
    ALIAS: aliased,
    CANON: canonical_function,
    IMPORT: imported,
    EXPORT: exported,
}
#: The definitions of a core module, and of a component inside; both are sections of their own.
_MODULE = Definition(Origin.MODULE, Space.CORE_MODULE)
_COMPONENT = Definition(Origin.COMPONENT, Space.COMPONENT)


@dataclass(slots=True)  # not frozen, as creating a frozen one takes three times as long: there are thousands
class Use:
    """One reference to a definition, `by` another definition with this `index` in this `section`."""

    section: int
    by: Definition
    index: int
    reference: Reference


@dataclass(slots=True)
class Indices:
    """All definitions of a component in order, each with its section; and each space as positions in this list."""

    all: list[tuple[int, Definition]] = field(default_factory=list)
    spaces: dict[Space, list[int]] = field(default_factory=dict)
    uses: dict[tuple[Space, int], list[Use]] = field(default_factory=dict)

    def space(self, space: Space) -> Sequence[int]:
        """Return the positions in `all` of the definitions of a space, by their index."""
        return self.spaces.get(space, ())

    def definition(self, space: Space, index: int) -> Definition | None:
        """Return the definition with an index, if there is one."""
        of_space = self.space(space)
        return self.all[of_space[index]][1] if index < len(of_space) else None

    def sections(self, space: Space) -> list[int]:
        """Return the sections of the definitions of a space, by their index."""
        return [self.all[number][0] for number in self.space(space)]

    def uses_of(self, space: Space, index: int) -> Sequence[Use]:
        """Return the uses of an index."""
        return self.uses.get((space, index), ())

    def indexed(self, space: Space) -> Iterator[tuple[int, Definition]]:
        """Iterate over the definitions of a space, each with its index."""
        return ((index, self.all[number][1]) for index, number in enumerate(self.space(space)))


def indices(data: bytes, parts: Sequence[Section], parent: int | None = None) -> Indices:
    """Read the definitions of the outermost component, or of the one that is the section `parent`.

    Raises `InvalidComponent`.
    """
    check_sizes(parts)
    found = Indices()
    for number, part in enumerate(parts):
        if part.parent != parent:
            continue
        for each in _definitions(data, part):
            space = found.spaces.setdefault(each.space, [])
            for reference in each.references:
                use = Use(number, each, len(space), reference)
                found.uses.setdefault((reference.space, reference.index), []).append(use)
            space.append(len(found.all))
            found.all.append((number, each))
    return found


def check_sizes(parts: Iterable[Section]) -> None:
    """Raise `InvalidComponent` if there are more bytes to read than any real guest has."""
    left, left_for_types = MOST_BYTES, MOST_TYPE_BYTES
    for part in parts:
        size = part.end - part.body
        if part.id not in (CUSTOM, CORE_MODULE, COMPONENT):
            left -= size
        if part.id == TYPE:
            left_for_types -= size
        if left < 0:
            raise InvalidComponent(f"definitions take more than {MOST_BYTES} bytes", part.start)
        if left_for_types < 0:
            raise InvalidComponent(f"types take more than {MOST_TYPE_BYTES} bytes", part.start)


def _definitions(data: bytes, part: Section) -> Iterable[Definition]:
    if part.id in _ITEMS:
        return items(data, part.body, part.end, _ITEMS[part.id])
    if part.id == TYPE:
        return type_definitions(data, part.body, part.end)
    if part.id == CORE_MODULE:
        return (_MODULE,)
    if part.id == COMPONENT:
        return (_COMPONENT,)
    if part.id in (CUSTOM, CORE_TYPE):
        return ()
    raise InvalidComponent(f"{part.id} is an unfamiliar kind of section", part.start)
