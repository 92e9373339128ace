"""Functions that a component exports, once more with lists of numbers as addresses.

In: a component. Out: the component with more exports at its end; the rest of its bytes stays as it is. For each
function that takes or returns lists of numbers, such as `list<u8>`, the same core function is lifted again: a parameter
that is such a list is a `tuple<u32, u32>`, the same two core values, and a result with such lists in it is a `u32`, the
address at which the guest stored it. The host needs two more functions to call it: the guest's allocator, for the
parameters, and its `post-return`, for the result.

A function that returns handles, and lists of numbers in the same result, stays as it is, since only the engine can take
handles from a guest.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from .binary import InvalidComponent, encoded, encoded_type
from .by_address import check_memory
from .canonical_functions import MEMORY, POST_RETURN, REALLOC, UTF8
from .definitions import CANON, EXPORT, Origin, Reference, Role, Space
from .encoding import name, section, vector
from .exported_functions import Key, exported_functions, source
from .index_spaces import Indices, indices
from .named_types import NamedTypes
from .obstacles import Obstacle
from .outer_component import PLAIN
from .parts import Part
from .sections import is_component, sections
from .served_imports import Served
from .shapes import STRING
from .types import ENUM, FLAGS, FUNCTION, LIST, MAP, OPTION, RECORD, RESULT, TUPLE, VARIANT, Type

#: What the names of the added exports begin with.
_PREFIX = b"wit-host-"
#: The codes of the primitive types that are numbers, and the one of `u32`.
_NUMBERS = frozenset(range(0x75, 0x7F))
_U32 = 0x79
#: The type of an address and a number of elements, and the types of the allocator and of `post-return`.
_PAIR = bytes([TUPLE]) + vector([bytes([_U32])] * 2)
_ALLOCATOR = bytes([FUNCTION]) + vector([name(each) + bytes([_U32]) for each in (b"a", b"b", b"c", b"d")])
_ALLOCATOR += bytes([0, _U32])
_AFTER = bytes([FUNCTION]) + vector([name(b"a") + bytes([_U32])]) + b"\x01\x00"
#: The kinds of types that the host can read in the memory of a guest, if it can read the types in them.
_READABLE = frozenset({LIST, TUPLE, OPTION, RESULT, RECORD, VARIANT, ENUM, FLAGS, MAP})


@dataclass(frozen=True, slots=True)
class ListExport:
    """The names of the exports by which a function is called with addresses.

    `allocator` is missing if no parameter is a list of numbers. If `returns_address`, the result is an address at which
    the host reads; then `after` is the function's `post-return`, if any.
    """

    function: str
    allocator: str | None
    after: str | None
    returns_address: bool


@dataclass(frozen=True)
class WithExports:
    """A component, and those of its exported functions that can be called with addresses.

    They are by the interface, or None for the world, and the name of the function. `names` are those of all exports
    that were added. `reason` says why there are none, if there might have been some.
    """

    wasm: bytes
    functions: Mapping[Key, ListExport] = field(default_factory=lambda: MappingProxyType({}))
    names: frozenset[str] = frozenset()
    reason: str = ""


def export_by_address(wasm: bytes) -> WithExports:
    """Export functions once more, so that their lists of numbers cross by address."""
    if not is_component(wasm):
        return WithExports(wasm)
    try:
        parts = sections(wasm)
        served = Served(wasm, parts, indices(wasm, parts))
        types = _Types(served)
        lifts = {key: lift for key, index in exported_functions(served) if (lift := _lift(types, index)) is not None}
        if not lifts:
            return WithExports(wasm)
        check_memory(served)
        _check_names(served.found)
        return _extended(types, lifts)
    except (InvalidComponent, Obstacle) as error:
        return WithExports(wasm, reason=str(error))


def _check_names(found: Indices) -> None:
    for _, each in found.all:
        if each.origin in (Origin.EXPORT, Origin.IMPORT) and each.name.lower().startswith(_PREFIX):
            raise Obstacle(f"the component has the name `{each.name.decode(errors='replace')}`")


# --- what can be called with addresses ---


@dataclass(frozen=True, slots=True)
class _Lift:
    """A core function to be lifted once more.

    A parameter without a type is a list of numbers. If `is_read`, the host reads the result in the guest's memory.
    """

    core: int
    memory: int
    allocator: int | None
    after: int | None
    encoding: int | None
    parameters: tuple[tuple[bytes, Part | None], ...]
    result: Part | None
    is_read: bool


class _Types:
    """The types of a component, and the properties of each that decide whether values of it can cross by address."""

    def __init__(self, served: Served) -> None:
        self.served = served
        self.named = NamedTypes(served.wasm, served.found, _PREFIX)
        self._are_readable: list[bool] = []
        self._hold_numbers: list[bool] = []
        self._hold_text: list[bool] = []
        for _, each in served.found.indexed(Space.TYPE):
            self._add(each.type)

    def _add(self, type_: Type | None) -> None:
        parts = () if type_ is None else type_.parts
        is_readable = type_ is not None and (type_.kind in _READABLE or not parts)
        self._are_readable.append(is_readable and all(self._is(self._are_readable, part, True) for part in parts))
        is_list = type_ is not None and self._is_numbers(type_)
        self._hold_numbers.append(is_list or any(self._is(self._hold_numbers, part, False) for part in parts))
        self._hold_text.append(any(self._holds_text(part) for part in parts))

    def _is(self, known: Sequence[bool], part: Part, primitive: bool) -> bool:
        return primitive if part.primitive else part.value < len(known) and known[part.value]

    def _holds_text(self, part: Part) -> bool:
        return part.value == STRING if part.primitive else self._is(self._hold_text, part, False)

    def _is_numbers(self, type_: Type) -> bool:
        return type_.kind == LIST and type_.parts[0].primitive and type_.parts[0].value in _NUMBERS

    def is_list(self, part: Part) -> bool:
        """Whether a type is a list of numbers."""
        type_ = self.named.definition(part)
        return type_ is not None and self._is_numbers(type_)

    def is_read(self, part: Part, encoding: int | None) -> bool:
        """Whether the host reads this result in the guest's memory: it has lists of numbers, and can be read."""
        if part.primitive or not self._is(self._hold_numbers, part, False):
            return False
        return self._are_readable[part.value] and (encoding in (None, UTF8) or not self._holds_text(part))


def _lift(types: _Types, function: int) -> _Lift | None:
    """Return how the function with this index is lifted with addresses; None if it has no lists that could cross so."""
    lift = source(types.served.found, Reference(Space.FUNC, function, 0, 0, Role.ITEM))
    if lift is None or lift.origin != Origin.LIFT or lift.options is None or lift.options.asynchronous:
        return None
    roles = {each.role: each.index for each in lift.references}
    type_ = types.named.definition(Part(0, 0, roles[Role.TYPE]))
    if type_ is None or type_.kind != FUNCTION or Role.MEMORY not in roles:
        return None
    encoding = None if lift.options.encoding is None else lift.options.encoding.value
    parameters = [None if types.is_list(part) else part for part in type_.parts[: len(type_.labels)]]
    [result] = type_.parts[len(type_.labels) :] or [None]
    is_read = result is not None and types.is_read(result, encoding)
    others = [part for part in (*parameters, None if is_read else result) if part is not None]
    if not (is_read or None in parameters) or not all(map(types.named.can_be_named, others)):
        return None
    return _Lift(
        roles[Role.LIFTED],
        roles[Role.MEMORY],
        roles.get(Role.REALLOC),
        roles.get(Role.POST_RETURN),
        encoding,
        tuple(zip(type_.labels, parameters, strict=True)),
        result,
        is_read,
    )


# --- the exports that are added ---


def _extended(types: _Types, lifts: Mapping[Key, _Lift]) -> WithExports:
    """Add the exports for these functions."""
    named, all_lifts = types.named, lifts.values()
    allocators = _helpers(b"realloc", [each.allocator for each in all_lifts])
    afters = _helpers(b"return", [each.after for each in all_lifts if each.is_read])
    functions = {key: b"%scall%d" % (_PREFIX, number) for number, key in enumerate(lifts)}
    pair, allocator_type, after_type = named.add(_PAIR), named.add(_ALLOCATOR), named.add(_AFTER)
    canons = [
        *(_lifted(core, [], allocator_type) for core in allocators),
        *(_lifted(core, [], after_type) for core in afters),
        *(_lifted(each.core, _options(each), named.add(_function_type(each, named, pair))) for each in all_lifts),
    ]
    names = [*allocators.values(), *afters.values(), *functions.values()]
    first = len(types.served.found.space(Space.FUNC))
    exports = [PLAIN + name(each) + b"\x01" + encoded(first + number) + b"\x00" for number, each in enumerate(names)]
    added = [*named.sections, section(CANON, vector(canons)), section(EXPORT, vector(exports))]
    found = {
        key: ListExport(
            functions[key].decode(),
            None if each.allocator is None else allocators[each.allocator].decode(),
            None if each.after is None or not each.is_read else afters[each.after].decode(),
            each.is_read,
        )
        for key, each in lifts.items()
    }
    all_names = frozenset(each.decode() for each in (*names, *named.names))
    return WithExports(b"".join([types.served.wasm, *added]), found, all_names)


def _helpers(what: bytes, functions: Iterable[int | None]) -> dict[int, bytes]:
    """Return a name for each of these core functions, which may be missing."""
    different = dict.fromkeys(each for each in functions if each is not None)
    return {core: b"%s%s%d" % (_PREFIX, what, number) for number, core in enumerate(different)}


def _function_type(lift: _Lift, named: NamedTypes, pair: int) -> bytes:
    parameters = [
        name(label) + (encoded_type(pair) if part is None else named.named(part)) for label, part in lift.parameters
    ]
    if lift.result is None:
        return bytes([FUNCTION]) + vector(parameters) + b"\x01\x00"
    result = bytes([_U32]) if lift.is_read else named.named(lift.result)
    return bytes([FUNCTION]) + vector(parameters) + b"\x00" + result


def _options(lift: _Lift) -> list[bytes]:
    options = [bytes([MEMORY]) + encoded(lift.memory)]
    if lift.allocator is not None:
        options.append(bytes([REALLOC]) + encoded(lift.allocator))
    if lift.encoding is not None:
        options.append(bytes([lift.encoding]))
    if lift.after is not None and not lift.is_read:
        options.append(bytes([POST_RETURN]) + encoded(lift.after))
    return options


def _lifted(core: int, options: Sequence[bytes], type_: int) -> bytes:
    return b"\x00\x00" + encoded(core) + vector(options) + encoded(type_)
