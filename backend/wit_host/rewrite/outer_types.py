"""The types of a component that the components inside it use.

In: the sections at every depth. Out: indices of types of the outermost component.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .binary import Reader
from .definitions import ALIAS, TYPE
from .obstacles import Obstacle
from .parts import Alias, alias
from .sections import Section
from .types import outer_aliases, types

_CORE_SORT, _TYPE_SORT = 0, 3


def outer_types(data: bytes, parts: Sequence[Section]) -> Iterator[int]:
    """Yield the type indices of the outermost component that the components inside use. Raises `Obstacle`."""
    depths = dict[int | None, int]([(None, 0)])
    for index, part in enumerate(parts):
        depth = depths[part.parent]
        depths[index] = depth + 1
        if not depth:
            continue
        for levels, each in _aliases(data, part):
            if each.outer is None or each.outer[0] - levels != depth:
                continue
            if each.sort == _CORE_SORT:
                raise Obstacle("a component inside the component refers to core definitions outside")
            if each.sort == _TYPE_SORT:
                yield each.outer[1].value


def _aliases(data: bytes, part: Section) -> Iterator[tuple[int, Alias]]:
    """Yield the aliases of a section, each with the number of types around it."""
    if part.id == ALIAS:
        reader = Reader(data, part.body, part.end)
        for _ in range(reader.count()):
            yield 0, alias(reader)
        reader.finish()
    elif part.id == TYPE:
        for definition in types(data, part.body, part.end):
            yield from outer_aliases(definition)
