"""What is inside of a component without being its own: core modules and nested components.

In: the sections at every depth. Out: which types of the component the nested ones refer to, and where its one linear
memory is. A guest with several memories, or one that is not plain, is an `Obstacle` where addresses cross: an address
alone would not say what it means.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from .binary import InvalidComponent, Reader
from .definitions import ALIAS, CORE_MODULE, TYPE
from .obstacles import Obstacle
from .parts import Alias, alias
from .sections import Section
from .types import outer_aliases, types

_CORE_PREAMBLE: Final = b"\0asm\x01\0\0\0"
_MEMORY_SECTION: Final = 5
_HAS_MAXIMUM: Final = 1
_SHARED: Final = 2
_CORE, _TYPE_SORT = 0, 3

MOST = 100_000  # sections of all core modules; a large guest has hundreds


def memory_module(data: bytes, parts: Sequence[Section]) -> int | None:
    """The index of the section that is the core module with the only memory; nothing where there is no memory.

    Raises `Obstacle` and `InvalidComponent`.
    """
    found: int | None = None
    for index, memories in _memory_sections(data, parts):
        if not _memories(memories):
            continue
        if found is not None:
            raise Obstacle("the component has more than one memory")
        if parts[index].parent is not None:
            raise Obstacle("the memory is in a component inside the component")
        found = index
    return found


def check_addresses(data: bytes, parts: Sequence[Section]) -> None:
    """Raise `Obstacle` where an address in some memory may take more than 32 bits; and `InvalidComponent`."""
    for _, memories in _memory_sections(data, parts):
        for _ in range(memories.count()):
            flags = memories.byte()
            if flags & ~(_HAS_MAXIMUM | _SHARED):
                raise Obstacle("a memory is of an unfamiliar kind, such as one with 64 bits")
            memories.u32()
            if flags & _HAS_MAXIMUM:
                memories.u32()


def _memory_sections(data: bytes, parts: Sequence[Section]) -> Iterator[tuple[int, Reader]]:
    """The memory sections of all core modules, each with the index of the section that is the module."""
    left = MOST
    for index, part in enumerate(parts):
        if part.id != CORE_MODULE:
            continue
        reader = _core_module(data, part)
        while reader.at < reader.end:
            left -= 1
            if left < 0:
                raise InvalidComponent(f"core modules have more than {MOST} sections", part.start)
            id, length = reader.byte(), reader.u32()
            if length > reader.end - reader.at:
                raise InvalidComponent(f"a section of {length} bytes does not fit", reader.at)
            after = reader.at + length
            if id == _MEMORY_SECTION:
                yield index, Reader(data, reader.at, after)
            reader.at = after


def outer_types(data: bytes, parts: Sequence[Section]) -> Iterator[int]:
    """The type indices of the outermost component that the components inside refer to. Raises `Obstacle`."""
    depths = dict[int | None, int]([(None, 0)])
    for index, part in enumerate(parts):
        depth = depths[part.parent]
        depths[index] = depth + 1
        if not depth:
            continue
        for levels, each in _aliases(data, part):
            if each.outer is None or each.outer[0] - levels != depth:
                continue
            if each.sort == _CORE:
                raise Obstacle("a component inside the component refers to core definitions outside")
            if each.sort == _TYPE_SORT:
                yield each.outer[1].value


def _aliases(data: bytes, part: Section) -> Iterator[tuple[int, Alias]]:
    """The aliases of a section, each with how many types it is inside of."""
    if part.id == ALIAS:
        reader = Reader(data, part.body, part.end)
        for _ in range(reader.count()):
            yield 0, alias(reader)
        reader.finish()
    elif part.id == TYPE:
        for definition in types(data, part.body, part.end):
            yield from outer_aliases(definition)


def _core_module(data: bytes, part: Section) -> Reader:
    if data[part.body : min(part.end, part.body + len(_CORE_PREAMBLE))] != _CORE_PREAMBLE:
        raise InvalidComponent("this is not the start of a core module", part.body)
    return Reader(data, part.body + len(_CORE_PREAMBLE), part.end)


def _memories(reader: Reader) -> int:
    """How many memories a section defines; all but one plain memory is an `Obstacle`."""
    count = reader.count()
    if count > 1:
        raise Obstacle("the component has more than one memory")
    if count:
        flags = reader.byte()
        if flags & ~_HAS_MAXIMUM:
            raise Obstacle("the memory is of an unfamiliar kind, such as one with 64 bits or one that threads share")
    return count
