"""Types of core modules inside types of components, and the imports of core modules.

In: a reader at the start of one. Out: the reader at its end; the content is skipped. Garbage-collected types are
unfamiliar.
"""

from __future__ import annotations

from .binary import InvalidComponent, Reader

_FUNC, _MODULE = 0x60, 0x50
_NULLABLE, _NOT_NULLABLE = 0x63, 0x64
_HAS_MAXIMUM, _HAS_PAGE_SIZE = 1, 8
#: The sort of an imported or exported memory.
MEMORY = 2


def skip_core_type(reader: Reader) -> None:
    """Skip a function type or a module type. Raises `InvalidComponent`."""
    if reader.peek() == _MODULE:
        reader.byte()
        for _ in range(reader.count()):
            _declaration(reader)
    else:
        _function(reader)


def skip_import(reader: Reader) -> int:
    """Skip an import of a core module, and return its sort. Raises `InvalidComponent`."""
    reader.name()
    reader.name()
    sort = reader.peek()
    _description(reader)
    return sort


def _function(reader: Reader) -> None:
    reader.expect(_FUNC, "a core function type")
    for _ in range(2):
        for _ in range(reader.count()):
            _value(reader)


def _declaration(reader: Reader) -> None:
    match reader.byte():
        case 0:
            skip_import(reader)
        case 1:
            _function(reader)
        case 2:
            reader.byte()
            reader.expect(1, "an outer alias")
            reader.u32()
            reader.u32()
        case 3:
            reader.name()
            _description(reader)
        case _:
            raise InvalidComponent("an unfamiliar declaration of a core module", reader.at - 1)


def _description(reader: Reader) -> None:
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
            raise InvalidComponent("an unfamiliar import or export of a core module", reader.at - 1)


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
