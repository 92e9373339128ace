"""The linear memories in the core modules of a component.

In: the sections at every depth. Out: the section of the core module that has the only memory. A component with several
memories, or with one of another kind than a plain one, is an `Obstacle` if addresses cross: an address alone would not
say which memory it is in.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from .binary import Reader
from .core_sections import MEMORY, core_sections
from .obstacles import Obstacle
from .sections import Section

#: The flags of a memory.
_HAS_MAXIMUM: Final = 1
_SHARED: Final = 2


def memory_module(data: bytes, parts: Sequence[Section]) -> int | None:
    """Return the index of the section that is the core module with the only memory; None if there is no memory.

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
    """Raise `Obstacle` if an address in any memory may have more than 32 bits. Raises `InvalidComponent`."""
    for _, memories in _memory_sections(data, parts):
        for _ in range(memories.count()):
            flags = memories.byte()
            if flags & ~(_HAS_MAXIMUM | _SHARED):
                raise Obstacle("a memory is of an unfamiliar kind, such as one with 64 bits")
            memories.u32()
            if flags & _HAS_MAXIMUM:
                memories.u32()


def _memory_sections(data: bytes, parts: Sequence[Section]) -> Iterator[tuple[int, Reader]]:
    """Yield the memory sections of all core modules, each with the index of the section that is the module."""
    for each in core_sections(data, parts):
        if each.id == MEMORY:
            yield each.module, Reader(data, each.body, each.end)


def _memories(reader: Reader) -> int:
    """Return how many memories a section defines. Raises `Obstacle` for anything but one plain memory.

    At run time, the heap of a garbage collector looks like a memory that begins empty.
    """
    count = reader.count()
    if count > 1:
        raise Obstacle("the component has more than one memory")
    if count:
        flags = reader.byte()
        if flags & ~_HAS_MAXIMUM:
            raise Obstacle("the memory is of an unfamiliar kind, such as one with 64 bits or one that threads share")
        if not reader.u32():
            raise Obstacle("the memory begins empty, as the heap of a garbage collector does")
    return count
