"""Types of core modules inside types of components.

In: a reader at the start of one. Out: the reader at its end; the content does not matter.
"""

from __future__ import annotations

from witgen.decode.binary import Reader

_FUNCTION, _MODULE = 0x60, 0x50
_NULLABLE, _NOT_NULLABLE = 0x63, 0x64
_HAS_MAXIMUM, _HAS_PAGE_SIZE = 1, 8


def skip_core_type(reader: Reader) -> None:
    """Skip the type of a function or of a module."""
    if reader.peek() == _MODULE:
        reader.byte()
        for _ in range(reader.count()):
            _declaration(reader)
    else:
        _function(reader)


def _function(reader: Reader) -> None:
    reader.expect(_FUNCTION, "a core function type")
    for _ in range(2):
        for _ in range(reader.count()):
            _value(reader)


def _declaration(reader: Reader) -> None:
    offset = reader.at
    match reader.byte():
        case 0:
            reader.name()
            reader.name()
            _description(reader)
        case 1:
            _function(reader)
        case 2:
            reader.byte()
            reader.expect(1, "an alias of an outer core type")
            reader.u32()
            reader.u32()
        case 3:
            reader.name()
            _description(reader)
        case _:
            raise reader.refused("an unfamiliar declaration of a core module", offset)


def _description(reader: Reader) -> None:
    offset = reader.at
    match reader.byte():
        case 0:
            reader.u32()
        case 1:
            _value(reader)
            _limits(reader)
        case 2:
            _limits(reader)
        case 3:
            _value(reader)
            reader.byte()
        case 4:
            reader.byte()
            reader.u32()
        case _:
            raise reader.refused("an unfamiliar import or export of a core module", offset)


def _value(reader: Reader) -> None:
    """Skip one byte, or a reference to a heap type."""
    if reader.byte() in (_NULLABLE, _NOT_NULLABLE):
        reader.s33()


def _limits(reader: Reader) -> None:
    flags = reader.byte()
    reader.unsigned(64)
    if flags & _HAS_MAXIMUM:
        reader.unsigned(64)
    if flags & _HAS_PAGE_SIZE:
        reader.u32()
