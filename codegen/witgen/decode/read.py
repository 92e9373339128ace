"""Bytes → the definitions of a component, or the custom sections of a core module.

In: the content of a `.wasm` file. Out: `definitions.Component`. Core modules inside are skipped, so the time depends on
the types and names, not on the size of the file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from witgen.decode.binary import Reader
from witgen.decode.canonical import read_canonical
from witgen.decode.definitions import Bundle, Component, Export, Instantiation, Item, Name, Passed
from witgen.decode.read_types import DEEPEST, read_alias, read_description, read_import, read_name, read_sort, read_type

MAGIC = b"\0asm"
_COMPONENT, _CORE_MODULE = b"\x0d\0\x01\0", b"\1\0\0\0"

MOST_BYTES = 4 << 20  # of definitions outside core modules; large packages have 300 KiB
MOST_SECTIONS = 50_000


def read_component(reader: Reader) -> Component:
    """Read a component and those inside it. Raises `WitError`."""
    _preamble(reader, _COMPONENT, "a component")
    return _Reading(reader).component(reader, 0)


def read_core_module(reader: Reader) -> list[tuple[str, Reader]]:
    """The custom sections of a core module, by name. Raises `WitError`."""
    _preamble(reader, _CORE_MODULE, "a core module")
    found, count = [], 0
    while reader.at < reader.end:
        count = _counted(reader, count)
        id, body = _section(reader)
        if id == 0:
            found.append((body.name(), body))
    return found


def is_component(reader: Reader) -> bool:
    """Whether these bytes begin a component, not a core module. Raises `WitError` if they begin neither."""
    version = reader.data[4:8]
    if len(version) == 4 and version not in (_COMPONENT, _CORE_MODULE):
        raise reader.refused("this version of WebAssembly is unfamiliar", 4, "build the file again with newer tools")
    return version == _COMPONENT


def _preamble(reader: Reader, layer: bytes, what: str) -> None:
    for value in MAGIC + layer:
        reader.expect(value, f"the beginning of {what}")


def _section(reader: Reader) -> tuple[int, Reader]:
    id = reader.byte()
    start = reader.skip("a section")
    return id, reader.inside(start, reader.at)


def _counted(reader: Reader, count: int) -> int:
    if count == MOST_SECTIONS:
        raise reader.refused(f"there are more than {MOST_SECTIONS} sections", reader.at)
    return count + 1


class _Reading:
    """Reads a component with everything in it, within limits for all of it together."""

    def __init__(self, reader: Reader) -> None:
        self._bytes = MOST_BYTES
        self._sections = 0

    def component(self, reader: Reader, depth: int) -> Component:
        found = Component(offset=reader.at)
        while reader.at < reader.end:
            self._sections = _counted(reader, self._sections)
            offset = reader.at
            id, body = _section(reader)
            if id == 0:
                found.custom.append((body.name(), body.at, body.end))
            elif id == 4:
                if depth == DEEPEST:
                    raise reader.refused(f"components are more than {DEEPEST} deep inside each other", offset)
                _preamble(body, _COMPONENT, "a component")
                found.items.append(self.component(body, depth + 1))
            elif id in _ITEMS:
                self._count(body)
                found.items += _vector(body, _ITEMS[id])
            elif id not in _WITHOUT_TYPES:
                hint = "the file may be newer than this version of witgen, or damaged"
                raise reader.refused(f"{id} is an unfamiliar kind of section", offset, hint)
        return found

    def _count(self, body: Reader) -> None:
        self._bytes -= body.end - body.at
        if self._bytes < 0:
            raise body.refused(f"the definitions take more than {MOST_BYTES >> 20} MiB", body.at)


def _vector(reader: Reader, read: Callable[[Reader], Item | None]) -> list[Item]:
    items = [read(reader) for _ in range(reader.count())]
    reader.finish()
    return [item for item in items if item is not None]


def _instance(reader: Reader) -> Item:
    offset, form = reader.at, reader.byte()
    if form == 0:
        component = reader.u32()
        arguments = [_passed(reader, Name(reader.name(), offset)) for _ in range(reader.count())]
        return Instantiation(component, arguments, offset)
    if form == 1:
        return Bundle([_passed(reader, read_name(reader)) for _ in range(reader.count())], offset)
    raise reader.refused(f"{form:#04x} is an unfamiliar form of instance", offset)


def _passed(reader: Reader, name: Name) -> Passed:
    return Passed(name, read_sort(reader), reader.u32())


def _export(reader: Reader) -> Item:
    passed = _passed(reader, read_name(reader))
    return Export(passed, read_description(reader) if reader.flag() else None)


_WITHOUT_TYPES = frozenset({1, 2, 3, 9})
"""The sections of core modules, core instances and core types, and that of the start function."""

_ITEMS: Mapping[int, Callable[[Reader], Item | None]] = {
    5: _instance,
    6: read_alias,
    7: read_type,
    8: read_canonical,
    10: read_import,
    11: _export,
}
