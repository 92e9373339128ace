"""The sections of a component, and edits within them.

In: the bytes of a component. Out: its sections and those of the components inside, in the order of the bytes; and from
edits within sections the bytes of the edited component. Core modules are skipped, and copied once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .binary import InvalidComponent, Reader, encoded

#: The start of a component.
PREAMBLE = b"\0asm\x0d\0\x01\0"

#: The kinds of sections that are needed here.
COMPONENT = 4
TYPE = 7

#: The most sections; a large guest has hundreds, and each costs more here than the two bytes that it may have.
MOST = 20_000


@dataclass(frozen=True, slots=True)
class Section:
    """A section: its number at `start`, its length, and its content from `body` to `end`.

    `parent` is the index of the section that is the component around it; none at the top.
    """

    id: int
    start: int
    body: int
    end: int
    parent: int | None


@dataclass(frozen=True, slots=True)
class Edit:
    """`data[start:end]` becomes `new`."""

    start: int
    end: int
    new: bytes

    @property
    def growth(self) -> int:
        """The number of bytes that the component grows by."""
        return len(self.new) - (self.end - self.start)


def is_component(data: bytes) -> bool:
    """Return whether these are the bytes of a component, not of a core module or text."""
    return data.startswith(PREAMBLE)


def sections(data: bytes) -> list[Section]:
    """Return all sections at every depth, each before those inside it. Raises `InvalidComponent`."""
    found: list[Section] = []
    rests: list[tuple[int, int, int | None]] = [(_after_preamble(data, 0, len(data)), len(data), None)]
    while rests:
        at, end, parent = rests.pop()
        while at < end:
            section = _section(Reader(data, at, end), parent)
            if len(found) == MOST:
                raise InvalidComponent(f"there are more than {MOST} sections", at)
            found.append(section)
            at = section.end
            if section.id == COMPONENT:
                rests.append((at, end, parent))
                at, end, parent = _after_preamble(data, section.body, section.end), section.end, len(found) - 1
    return found


def edited(
    data: bytes, all_sections: Sequence[Section], edits: Mapping[int, Sequence[Edit]], between: Sequence[Edit] = ()
) -> bytes:
    """Return the component after `edits`, which are given by the index of the section that directly contains them.

    Edits of a section are in the order of the bytes and do not overlap. The lengths of all enclosing sections are
    adapted. The edits in `between` insert or remove whole sections at the top.
    """
    everything = [*between, *(edit for of_section in edits.values() for edit in of_section)]
    growths = [0] * len(all_sections)
    for index in reversed(range(len(all_sections))):  # inner sections come first
        section = all_sections[index]
        growths[index] += sum(edit.growth for edit in edits.get(index, ()))
        if growths[index]:
            length = Edit(section.start + 1, section.body, encoded(section.end - section.body + growths[index]))
            everything.append(length)
            if section.parent is not None:
                growths[section.parent] += growths[index] + length.growth
    return _replaced(data, sorted(everything, key=lambda edit: edit.start))


def _replaced(data: bytes, edits: Sequence[Edit]) -> bytes:
    view, parts, at = memoryview(data), list[bytes | memoryview](), 0
    for edit in edits:
        parts += [view[at : edit.start], edit.new]
        at = edit.end
    return b"".join([*parts, view[at:]])


def _after_preamble(data: bytes, start: int, end: int) -> int:
    if data[start : min(end, start + len(PREAMBLE))] != PREAMBLE:
        raise InvalidComponent("this is not the start of a component", start)
    return start + len(PREAMBLE)


def _section(reader: Reader, parent: int | None) -> Section:
    start = reader.at
    id, length = reader.byte(), reader.u32()
    if length > reader.end - reader.at:
        raise InvalidComponent(f"a section of {length} bytes does not fit", start)
    return Section(id, start, reader.at, reader.at + length, parent)
