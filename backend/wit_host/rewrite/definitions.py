"""The definitions in the sections of a component, and the references of each.

In: a section. Out: its definitions in order, each with the index space that it adds to and the indices that it refers
to, with their places in the bytes. All of a component outside core modules consists of these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from .binary import InvalidComponent, Reader
from .parts import Extern, Part, described, extern, extern_name, index
from .types import ASYNC_RESOURCE, RESOURCE, Type, outer_aliases, types


class Space(Enum):
    """The index spaces."""

    CORE_FUNC = auto()
    CORE_TABLE = auto()
    CORE_MEMORY = auto()
    CORE_GLOBAL = auto()
    CORE_TAG = auto()
    CORE_TYPE = auto()
    CORE_MODULE = auto()
    CORE_INSTANCE = auto()
    FUNC = auto()
    VALUE = auto()
    TYPE = auto()
    COMPONENT = auto()
    INSTANCE = auto()


class Origin(Enum):
    """The origin of a definition, in as much detail as rewriting needs."""

    IMPORT = auto()
    EXPORT = auto()
    ALIAS_EXPORT = auto()
    ALIAS_CORE_EXPORT = auto()
    ALIAS_OUTER = auto()
    TYPE = auto()
    MODULE = auto()
    COMPONENT = auto()
    INSTANTIATE = auto()
    INSTANTIATE_COMPONENT = auto()
    BUNDLE = auto()
    BUNDLE_ITEMS = auto()
    LIFT = auto()
    LOWER = auto()
    CANON = auto()
    OTHER = auto()


class Role(Enum):
    """The role of the definition that another one refers to."""

    TYPE = auto()
    SOURCE = auto()
    ITEM = auto()
    MODULE = auto()
    ARGUMENT = auto()
    LOWERED = auto()
    LIFTED = auto()
    MEMORY = auto()
    REALLOC = auto()
    POST_RETURN = auto()
    OTHER = auto()


@dataclass(slots=True)  # not frozen, as creating a frozen one takes three times as long: there are thousands
class Reference:
    """An index in the bytes from `start` to `end`."""

    space: Space
    index: int
    start: int
    end: int
    role: Role


@dataclass(frozen=True, slots=True)
class Options:
    """The options of a canonical function: their number, and the one for the encoding of strings."""

    count: Part
    encoding: Part | None
    asynchronous: bool


@dataclass(slots=True)  # not frozen, as creating a frozen one takes three times as long: there are thousands
class Definition:
    """One item of a section; it takes the next index of `space`.

    `name` is that of an import or export, or of the export that an alias is of. `names` are those of the arguments of a
    component, or of the items of a bundle, apart from bundles of core definitions. `options` is for lifts and lowers.
    """

    origin: Origin
    space: Space
    references: tuple[Reference, ...] = ()
    name: bytes = b""
    names: tuple[bytes, ...] = ()
    type: Type | None = None
    options: Options | None = None


#: The kinds of sections.
CUSTOM: Final = 0
CORE_MODULE: Final = 1
CORE_INSTANCE: Final = 2
CORE_TYPE: Final = 3
COMPONENT: Final = 4
INSTANCE: Final = 5
ALIAS: Final = 6
TYPE: Final = 7
CANON: Final = 8
IMPORT: Final = 10
EXPORT: Final = 11

#: The index spaces by the codes of sorts, of core definitions and of others.
CORE_SORTS: Final[Mapping[int, Space]] = {
    0x00: Space.CORE_FUNC,
    0x01: Space.CORE_TABLE,
    0x02: Space.CORE_MEMORY,
    0x03: Space.CORE_GLOBAL,
    0x04: Space.CORE_TAG,
    0x10: Space.CORE_TYPE,
    0x11: Space.CORE_MODULE,
    0x12: Space.CORE_INSTANCE,
}
SORTS: Final[Mapping[int, Space]] = {
    1: Space.FUNC,
    2: Space.VALUE,
    3: Space.TYPE,
    4: Space.COMPONENT,
    5: Space.INSTANCE,
}


def items(data: bytes, start: int, end: int, read: Callable[[Reader], Definition]) -> Iterator[Definition]:
    """Yield the definitions in the body of a section that is a vector; `read` reads one item."""
    reader = Reader(data, start, end)
    for _ in range(reader.count()):
        yield read(reader)
    reader.finish()


def type_definitions(data: bytes, start: int, end: int) -> Iterator[Definition]:
    """Yield the definitions of a type section."""
    for each in types(data, start, end):
        references = [
            reference(Space.TYPE, alias.outer[1], Role.OTHER)
            for level, alias in outer_aliases(each)
            if alias.outer is not None and alias.outer[0] == level and alias.sort == 3
        ]
        if each.kind in (RESOURCE, ASYNC_RESOURCE):
            references += [reference(Space.CORE_FUNC, part, Role.OTHER) for part in each.parts]
        yield Definition(Origin.TYPE, Space.TYPE, tuple(references), type=each)


def core_instance(reader: Reader) -> Definition:
    """Read a core module with its arguments, or a bundle of core definitions."""
    start, form = reader.at, reader.byte()
    references: list[Reference] = []
    if form == 0:
        references.append(reference(Space.CORE_MODULE, index(reader), Role.MODULE))
        for _ in range(reader.count()):
            reader.name()
            reader.expect(0x12, "a core instance")
            references.append(reference(Space.CORE_INSTANCE, index(reader), Role.ARGUMENT))
        return Definition(Origin.INSTANTIATE, Space.CORE_INSTANCE, tuple(references))
    if form == 1:
        for _ in range(reader.count()):
            reader.name()
            references.append(reference(_core_sort(reader), index(reader), Role.ITEM))
        return Definition(Origin.BUNDLE, Space.CORE_INSTANCE, tuple(references))
    raise InvalidComponent(f"{form:#04x} is an unfamiliar form of core instance", start)


def instance(reader: Reader) -> Definition:
    """Read a component with its arguments, or a bundle of definitions."""
    start, form = reader.at, reader.byte()
    references: list[Reference] = []
    names: list[bytes] = []
    if form == 0:
        references.append(reference(Space.COMPONENT, index(reader), Role.OTHER))
        for _ in range(reader.count()):
            names.append(reader.name())
            references.append(reference(_sort(reader), index(reader), Role.ARGUMENT))
        return Definition(Origin.INSTANTIATE_COMPONENT, Space.INSTANCE, tuple(references), names=tuple(names))
    if form == 1:
        for _ in range(reader.count()):
            names.append(extern_name(reader))
            references.append(reference(_sort(reader), index(reader), Role.ITEM))
        return Definition(Origin.BUNDLE_ITEMS, Space.INSTANCE, tuple(references), names=tuple(names))
    raise InvalidComponent(f"{form:#04x} is an unfamiliar form of instance", start)


def aliased(reader: Reader) -> Definition:
    """Read an alias of an export, or of a definition of an outer component, which is not among the references."""
    space, start = _sort(reader), reader.at
    match reader.byte():
        case 0:
            source = reference(Space.INSTANCE, index(reader), Role.SOURCE)
            return Definition(Origin.ALIAS_EXPORT, space, (source,), name=reader.name())
        case 1:
            source = reference(Space.CORE_INSTANCE, index(reader), Role.SOURCE)
            return Definition(Origin.ALIAS_CORE_EXPORT, space, (source,), name=reader.name())
        case 2:
            return _outer(space, reader.u32(), index(reader))
        case _:
            raise InvalidComponent("an unfamiliar alias", start)


def _outer(space: Space, count: int, target: Part) -> Definition:
    """Return an alias of a definition `count` components further out; 0 is this component."""
    references = () if count else (reference(space, target, Role.OTHER),)
    return Definition(Origin.ALIAS_OUTER, space, references)


def imported(reader: Reader) -> Definition:
    """Read an import and its type."""
    found = extern(reader)
    return Definition(Origin.IMPORT, _space(found), _types_of(found), name=found.name)


def exported(reader: Reader) -> Definition:
    """Read an export, with a type or without."""
    name, space, target = extern_name(reader), _sort(reader), index(reader)
    references = [reference(space, target, Role.ITEM)]
    match reader.byte():
        case 0:
            pass
        case 1:
            references += _types_of(described(reader, name))
        case _:
            raise InvalidComponent("0x00 or 0x01 is needed", reader.at - 1)
    return Definition(Origin.EXPORT, space, tuple(references), name=name)


def reference(space: Space, part: Part, role: Role) -> Reference:
    """Return `part` as a reference."""
    return Reference(space, part.value, part.start, part.end, role)


def _types_of(found: Extern) -> tuple[Reference, ...]:
    if found.type is None or found.type.primitive or found.sort == 0:
        return ()
    return (reference(Space.TYPE, found.type, Role.TYPE),)


def _space(found: Extern) -> Space:
    return Space.CORE_MODULE if found.sort == 0 else SORTS[found.sort]


def _sort(reader: Reader) -> Space:
    """Read the sort of a definition, core definitions included."""
    start, sort = reader.at, reader.byte()
    if sort == 0:
        return _core_sort(reader)
    if sort not in SORTS:
        raise InvalidComponent(f"{sort:#04x} is an unfamiliar sort", start)
    return SORTS[sort]


def _core_sort(reader: Reader) -> Space:
    start, sort = reader.at, reader.byte()
    if sort not in CORE_SORTS:
        raise InvalidComponent(f"{sort:#04x} is an unfamiliar sort of core definition", start)
    return CORE_SORTS[sort]
