"""Guests whose memory begins with an image: what they would copy into it at each start is taken out of them.

In: a component or a core module. Out: the guest without the content of its data segments, and that content by its
addresses, so that the host can map one copy of it into the memory of each guest.

A segment that is copied when a module starts is *active*. Afterwards it counts as empty, so an empty *passive* segment
takes its place, which is never copied: the indices of segments, and all instructions that have them, keep their
meaning. That is only done if the copying could not fail and no other memory could be meant. The guest stays as it is if
it has several memories or one of another kind than a plain one, and if anything in its data segments is unfamiliar.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from .binary import InvalidComponent, Reader
from .core_sections import CORE_PREAMBLE, DATA, IMPORT, MEMORY, CoreSection, core_sections
from .core_types import MEMORY as MEMORY_SORT
from .core_types import skip_import
from .definitions import CORE_MODULE
from .encoding import section, vector
from .obstacles import Obstacle
from .sections import Edit, Section, edited, is_component, sections

#: The bytes of a page of a guest's memory.
PAGE: Final = 1 << 16
#: The most segments that the engine accepts.
_MOST_SEGMENTS: Final = 100_000
#: An image may have this many bytes, gaps included, or else at most as many bytes in gaps as of content.
_SMALL: Final = 16 << 20
#: The flag of a memory.
_HAS_MAXIMUM: Final = 1
#: The kinds of segments: active in memory 0, passive, and active in the memory whose index follows.
_ACTIVE, _PASSIVE, _ACTIVE_IN = 0, 1, 2
#: The instructions that an offset consists of.
_I32_CONST, _END = 0x41, 0x0B
#: An empty passive segment.
_EMPTY: Final = bytes([_PASSIVE, 0])


@dataclass(frozen=True, slots=True)
class Image:
    """The first content of a memory that begins with `minimum` bytes.

    `pieces` are addresses and the bytes there, in the order in which they are stored: a later one may overwrite an
    earlier one. All other bytes are zero.
    """

    minimum: int
    pieces: Sequence[tuple[int, memoryview]]

    @property
    def start(self) -> int:
        """The first address of the content."""
        return min(address for address, _ in self.pieces)

    @property
    def end(self) -> int:
        """The address after the content."""
        return max(address + len(content) for address, content in self.pieces)


@dataclass(frozen=True, slots=True)
class Imaged:
    """A guest, and the image of its memory; None if it fills its memory itself, or has nothing to fill it with."""

    wasm: bytes
    image: Image | None = None


def take_image(wasm: bytes) -> Imaged:
    """Take the image of its memory out of a guest, in the binary format, if it has one.

    With the image, every memory of the guest that is not empty when it is made must begin.
    """
    try:
        return _imaged(wasm)
    except (Obstacle, InvalidComponent):  # the engine reports it, if it cannot read it either
        return Imaged(wasm)


def _imaged(wasm: bytes) -> Imaged:
    parts = sections(wasm) if is_component(wasm) else [_core_module(wasm)]
    minimum, data = _with_memory(wasm, list(core_sections(wasm, parts)))
    segments = _segments(Reader(wasm, data.body, data.end), minimum)
    pieces = [each.piece for each in segments if each.piece is not None and each.piece[1]]
    if not pieces:
        return Imaged(wasm)
    image = Image(minimum, pieces)
    _check_density(image)
    edit = Edit(data.start, data.end, section(DATA, vector([each.rest for each in segments])))
    if is_component(wasm):
        return Imaged(edited(wasm, parts, {data.module: [edit]}), image)
    return Imaged(edited(wasm, [], {}, [edit]), image)


def _core_module(wasm: bytes) -> Section:
    """Return a core module as if it were inside a component."""
    if not wasm.startswith(CORE_PREAMBLE):
        raise InvalidComponent("this is neither a component nor a core module", 0)
    return Section(CORE_MODULE, 0, 0, len(wasm), None)


def _with_memory(wasm: bytes, found: Sequence[CoreSection]) -> tuple[int, CoreSection]:
    """Return the bytes that the only memory begins with, and the segments of its module. Raises `Obstacle`."""
    memories = [each for each in found if each.id == MEMORY and Reader(wasm, each.body, each.end).u32()]
    if len(memories) != 1:
        raise Obstacle("not exactly one module has memories")
    of_module = [each for each in found if each.module == memories[0].module]
    data = [each for each in of_module if each.id == DATA]
    if len(data) != 1:
        raise Obstacle("the module has no segments")
    for each in of_module:
        if each.id == IMPORT:
            _check_imports(Reader(wasm, each.body, each.end))
    return _minimum(Reader(wasm, memories[0].body, memories[0].end)), data[0]


def _minimum(reader: Reader) -> int:
    """Return the bytes that the only memory begins with. Raises `Obstacle` if it is not a plain one."""
    if reader.u32() != 1:
        raise Obstacle("the module has more than one memory")
    flags = reader.byte()
    if flags & ~_HAS_MAXIMUM:
        raise Obstacle("the memory is of an unfamiliar kind, such as one with 64 bits or one that threads share")
    minimum = reader.u32() * PAGE
    if flags:
        reader.u32()
    reader.finish()
    return minimum


def _check_imports(reader: Reader) -> None:
    for _ in range(reader.count()):
        if skip_import(reader) == MEMORY_SORT:
            raise Obstacle("the module imports a memory")
    reader.finish()


@dataclass(slots=True)  # not frozen, as creating a frozen one takes three times as long: there are thousands
class _Segment:
    """A segment: what is left of it in the guest, and its address and content if they become part of the image."""

    rest: bytes
    piece: tuple[int, memoryview] | None = None


def _segments(reader: Reader, minimum: int) -> list[_Segment]:
    """Read all segments. Raises `Obstacle` if one is unfamiliar, or not inside the memory."""
    count = reader.count()
    if count > _MOST_SEGMENTS:
        raise Obstacle(f"there are more than {_MOST_SEGMENTS} segments")
    view = memoryview(reader.data)
    segments = [_segment(reader, view, minimum) for _ in range(count)]
    reader.finish()
    return segments


def _segment(reader: Reader, view: memoryview, minimum: int) -> _Segment:
    start, kind = reader.at, reader.byte()
    if kind == _PASSIVE:
        reader.skip("a segment")
        return _Segment(reader.data[start : reader.at])
    if kind not in (_ACTIVE, _ACTIVE_IN) or (kind == _ACTIVE_IN and reader.u32()):
        raise Obstacle("a segment is of an unfamiliar kind")
    reader.expect(_I32_CONST, "the address of a segment")
    address = reader.signed(32) % (1 << 32)
    reader.expect(_END, "the end of an address")
    content = view[reader.skip("a segment") : reader.at]
    if address + len(content) > minimum:
        raise Obstacle("a segment is not inside the memory")
    return _Segment(_EMPTY, (address, content))


def _check_density(image: Image) -> None:
    """Raise `Obstacle` if the image would take much more memory than the guest's file: a page for each byte."""
    size = image.end - image.start
    if size > max(_SMALL, 2 * sum(len(content) for _, content in image.pieces)):
        raise Obstacle("the segments are far apart")
