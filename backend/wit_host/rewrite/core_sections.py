"""The sections of the core modules in a component.

In: the sections of the component, at every depth. Out: those of its core modules, of which only the heads are read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from .binary import InvalidComponent, Reader
from .definitions import CORE_MODULE
from .sections import Section

#: The start of a core module.
CORE_PREAMBLE: Final = b"\0asm\x01\0\0\0"

#: The kinds of sections that are needed here.
IMPORT: Final = 2
MEMORY: Final = 5
DATA: Final = 11

#: The most sections of all core modules; a large guest has hundreds.
MOST = 20_000


@dataclass(frozen=True, slots=True)
class CoreSection:
    """A section of a core module: its number at `start`, and its content from `body` to `end`.

    `module` is the index of the section of the component that is the core module.
    """

    id: int
    start: int
    body: int
    end: int
    module: int


def core_sections(data: bytes, parts: Sequence[Section]) -> Iterator[CoreSection]:
    """Yield the sections of all core modules, in the order of the bytes. Raises `InvalidComponent`."""
    left = MOST
    for index, part in enumerate(parts):
        if part.id != CORE_MODULE:
            continue
        reader = _core_module(data, part)
        while reader.at < reader.end:
            left -= 1
            if left < 0:
                raise InvalidComponent(f"core modules have more than {MOST} sections", part.start)
            start, id, length = reader.at, reader.byte(), reader.u32()
            if length > reader.end - reader.at:
                raise InvalidComponent(f"a section of {length} bytes does not fit", reader.at)
            body, reader.at = reader.at, reader.at + length
            yield CoreSection(id, start, body, reader.at, index)


def _core_module(data: bytes, part: Section) -> Reader:
    if data[part.body : min(part.end, part.body + len(CORE_PREAMBLE))] != CORE_PREAMBLE:
        raise InvalidComponent("this is not the start of a core module", part.body)
    return Reader(data, part.body + len(CORE_PREAMBLE), part.end)
