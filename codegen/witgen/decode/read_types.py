"""Bytes → the definitions of types, and the declarations inside them.

In: a reader at the start of one. Out: the definition. The tables have the contents of each kind of type; they follow
`design/mvp/Binary.md` of the component model, and wasm-tools for newer kinds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from witgen.decode.binary import Reader
from witgen.decode.core_types import skip_core_type
from witgen.decode.definitions import (
    PRIMITIVES,
    AliasOfExport,
    AliasOfOuter,
    Code,
    Declaration,
    Description,
    Import,
    Item,
    Name,
    Reference,
    Sort,
    WrittenType,
)

DEEPEST = 50  # types of instances and components inside each other, and components; tools need three or four

_IMPLEMENTS, _VERSION_SUFFIX, _EXTERNAL_ID = 0, 1, 2
_CORE_TYPE, _TYPE, _ALIAS, _IMPORT, _EXPORT = range(5)
_SORTS = {sort.value: sort for sort in Sort}


def read_type(reader: Reader, depth: int = 0) -> WrittenType:
    """Read one definition; `depth` counts the types and components around it."""
    offset, code = reader.at, reader.byte()
    if code in PRIMITIVES:
        return WrittenType(PRIMITIVES[code], offset)
    try:
        kind = Code(code)
    except ValueError:
        raise reader.refused(f"{code:#04x} is an unfamiliar kind of type", offset, _NEWER) from None
    found = WrittenType(kind, offset)
    if kind in (Code.COMPONENT, Code.INSTANCE):
        if depth == DEEPEST:
            raise reader.refused(f"types are more than {DEEPEST} deep inside each other", offset)
        for _ in range(reader.count()):
            item = _declaration(reader, kind, depth + 1)
            found.items += [item] if item else []
        return found
    for content in _CONTENTS[kind]:
        content(reader, found)
    return found


_NEWER = "the file may be newer than this version of witgen, or damaged"


# --- the contents of types ---

_Content = Callable[[Reader, WrittenType], None]


def _part(reader: Reader, found: WrittenType) -> None:
    found.parts.append(reference(reader))


def _optional_part(reader: Reader, found: WrittenType) -> None:
    found.parts.append(reference(reader) if reader.flag() else None)


def _resource(reader: Reader, found: WrittenType) -> None:
    found.parts.append(reader.u32())


def _label(reader: Reader, found: WrittenType) -> None:
    found.labels.append(reader.name())


def _length(reader: Reader, found: WrittenType) -> None:
    found.length = reader.u32()


def _exactly(value: int) -> _Content:
    return lambda reader, found: reader.expect(value, "this kind of type")


def _number(reader: Reader, found: WrittenType) -> None:
    reader.u32()


def _optional_number(reader: Reader, found: WrittenType) -> None:
    if reader.flag():
        reader.u32()


def _many(*contents: _Content) -> _Content:
    def read(reader: Reader, found: WrittenType) -> None:
        for _ in range(reader.count()):
            for content in contents:
                content(reader, found)

    return read


def _result(reader: Reader, found: WrittenType) -> None:
    """Read one result, or none, which is written as an empty list of named results."""
    if reader.flag():
        reader.expect(0, "a function without result")
        found.parts.append(None)
    else:
        found.parts.append(reference(reader))


_SIGNATURE: tuple[_Content, ...] = (_many(_label, _part), _result)

_CONTENTS: Mapping[Code, tuple[_Content, ...]] = {
    Code.RECORD: (_many(_label, _part),),
    Code.VARIANT: (_many(_label, _optional_part, _exactly(0)),),
    Code.LIST: (_part,),
    Code.TUPLE: (_many(_part),),
    Code.FLAGS: (_many(_label),),
    Code.ENUM: (_many(_label),),
    Code.OPTION: (_part,),
    Code.RESULT: (_optional_part, _optional_part),
    Code.OWN: (_resource,),
    Code.BORROW: (_resource,),
    Code.FIXED_LENGTH_LIST: (_part, _length),
    Code.STREAM: (_optional_part,),
    Code.FUTURE: (_optional_part,),
    Code.MAP: (_part, _part),
    Code.FUNCTION: _SIGNATURE,
    Code.ASYNC_FUNCTION: _SIGNATURE,
    Code.RESOURCE: (_exactly(0x7F), _optional_number),
    Code.ASYNC_RESOURCE: (_exactly(0x7F), _number, _optional_number),
}


def reference(reader: Reader) -> Reference:
    """Read a primitive type, or the index of a type."""
    offset, first = reader.at, reader.peek()
    if first in PRIMITIVES:
        reader.byte()
        return PRIMITIVES[first]
    index = reader.s33()
    if index < 0:
        raise reader.refused(f"{first:#04x} is an unfamiliar type", offset, _NEWER)
    return index


# --- declarations, which are also the definitions of components ---


def _declaration(reader: Reader, owner: Code, depth: int) -> Item | None:
    """Read a declaration; those of core definitions do not matter."""
    offset, kind = reader.at, reader.byte()
    if kind == _CORE_TYPE:
        skip_core_type(reader)
        return None
    if kind == _TYPE:
        return read_type(reader, depth)
    if kind == _ALIAS:
        return read_alias(reader)
    if kind == _EXPORT:
        return Declaration(read_name(reader), read_description(reader))
    if kind == _IMPORT and owner is Code.COMPONENT:
        return read_import(reader)
    raise reader.refused(f"{kind:#04x} is an unfamiliar kind of declaration", offset, _NEWER)


def read_import(reader: Reader) -> Import:
    """Read an import and its type."""
    return Import(read_name(reader), read_description(reader))


def read_name(reader: Reader) -> Name:
    """Read the name of an import or export; in the newest form, options follow: each is a byte and a text."""
    offset, form = reader.at, reader.byte()
    if form > 2:
        raise reader.refused(f"{form:#04x} is an unfamiliar form of name", offset, _NEWER)
    name = Name(reader.name(), offset)
    for _ in range(reader.count() if form == 2 else 0):
        offset, option, text = reader.at, reader.byte(), reader.name()
        if option == _IMPLEMENTS:
            name.implements = text
        elif option == _VERSION_SUFFIX:
            name.text += text
        elif option == _EXTERNAL_ID:
            name.external_id = text
        else:
            raise reader.refused(f"{option:#04x} is an unfamiliar attribute of a name", offset, _NEWER)
    return name


def read_description(reader: Reader) -> Description:
    """Read the type of an import or export."""
    offset, sort = reader.at, read_sort(reader)
    if sort is Sort.VALUE:
        _skip_bound_of_value(reader)
        return Description(sort, None, offset)
    if sort is Sort.TYPE and reader.flag():
        return Description(sort, None, offset)
    return Description(sort, reader.u32(), offset)


def _skip_bound_of_value(reader: Reader) -> None:
    """Skip the type of a value, which WIT does not have."""
    if reader.flag():
        reference(reader)
    else:
        reader.u32()


def read_sort(reader: Reader) -> Sort:
    """Read the sort of a definition; that of a core definition has a second byte."""
    offset, sort = reader.at, reader.byte()
    if sort not in _SORTS:
        raise reader.refused(f"{sort:#04x} is an unfamiliar sort of definition", offset, _NEWER)
    if sort == Sort.CORE.value:
        reader.byte()
    return _SORTS[sort]


def read_alias(reader: Reader) -> Item | None:
    """Read an alias; those of core definitions do not matter."""
    offset, sort, target = reader.at, read_sort(reader), reader.byte()
    if target > 2:
        raise reader.refused(f"{target:#04x} is an unfamiliar kind of alias", offset, _NEWER)
    first = reader.u32()
    if target < 2:
        name = reader.name()
        return AliasOfExport(sort, first, name, offset) if target == 0 and sort is not Sort.CORE else None
    index = reader.u32()
    return None if sort is Sort.CORE else AliasOfOuter(sort, first, index, offset)
