"""The type of an imported instance, rewritten so that bytes cross as addresses.

In: an instance type. Out: its binary form with each `list<u8>` in a parameter as a pair of `u32`, address and length,
which has the same core values and the same layout. Functions that return `list<u8>` take the place of the result as one
more `u32`, which the guest passes anyway.

No type that another part of the component may refer to changes: `list<u8>` and types that contain it stay where they
are, and parameters refer to new definitions next to them. Only records and variants, which functions can use under
their names alone, change in place, if nothing else uses them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from .binary import encoded, encoded_type
from .function_types import parameters, result, unused
from .instance_types import InstanceType, Local
from .obstacles import Obstacle
from .parts import Extern, Part
from .shapes import I32, MOST_FLAT, flattened, of_part
from .types import BORROW, FUNCTION, INSTANCE, OWN, TUPLE, Declaration, Type

#: Encoded parts of types: `u32`, the pair for bytes, the start of a type declaration, and the absence of a result.
_U32 = b"\x79"
_PAIR = b"\x01" + bytes([TUPLE]) + b"\x02" + _U32 + _U32
_TYPE_DECLARATION = b"\x01"
_NO_RESULT = b"\x01\x00"


@dataclass(frozen=True, slots=True)
class Retyped:
    """The definition of the rewritten type, and the functions that have no result any more.

    For each of these: the core value types of its parameters, the place of the result included.
    """

    definition: bytes
    bridged: Mapping[bytes, bytes]


def retyped(data: bytes, found: InstanceType, kept: Collection[bytes]) -> Retyped | None:
    """Rewrite an instance type; None if bytes do not cross. Raises `Obstacle`.

    `kept` are the names of types that other parts of the component refer to.
    """
    if found.unfamiliar is not None:
        raise Obstacle(found.unfamiliar)
    bridges = {index: core for index in set(found.functions.values()) if (core := _bridge(found, index)) is not None}
    wanted = _wanted(found, bridges, kept)
    if not bridges and not any(wanted):
        return None
    definition = _Rewriting(data, found, bridges, wanted).definition()
    return Retyped(definition, {name: bridges[index] for name, index in found.functions.items() if index in bridges})


def _bridge(found: InstanceType, index: int) -> bytes | None:
    """Return the core values that a function takes without its result; None if it keeps its result.

    A function without its result is called twice, so it must not take anything from the guest; and the place of the
    result must fit beside the parameters, since together they would go through memory otherwise.
    """
    function = found.function(index)
    taken = [of_part(part, found.shapes) for part in parameters(function)]
    returned = result(function)
    if returned is None or not of_part(returned, found.shapes).is_bytes or any(each.moves for each in taken):
        return None
    flat = flattened(taken)
    return flat + I32 if flat is not None and len(flat) < MOST_FLAT else None


# --- the form that each type is needed in ---


def _wanted(found: InstanceType, bridges: Collection[int], kept: Collection[bytes]) -> bytearray:
    """Return for each type whether parameters need it rewritten. Raises `Obstacle` if one would need both forms."""
    wanted, stays = bytearray(len(found.types)), bytearray(len(found.types))
    names = {index: name for name, index in found.exports.items()}
    for name in kept:
        if name in found.exports:
            stays[found.exports[name]] = True
    for index in reversed(range(len(found.types))):  # types refer to types before them
        each = found.types[index]
        if each.definition is not None and each.definition.kind == FUNCTION:
            _uses_of_function(found, each.definition, index in bridges, wanted, stays)
            continue
        if wanted[index]:
            _check(each, bool(stays[index]), names.get(index, b""))
        if each.names is not None:
            names.setdefault(each.names, names.get(index, b""))
            wanted[each.names] |= wanted[index]
            stays[each.names] |= stays[index]
        elif each.definition is not None:
            for part in each.definition.type_parts():
                wanted[part.value] |= wanted[index] and found.shapes[part.value].holds_bytes
                stays[part.value] |= stays[index] or each.shape.unfamiliar
    return wanted


def _uses_of_function(found: InstanceType, function: Type, bridged: bool, wanted: bytearray, stays: bytearray) -> None:
    for part in parameters(function):
        if part.primitive:
            continue
        shape = found.types[part.value].shape
        if shape.unfamiliar:
            raise Obstacle("a parameter has an unfamiliar type")
        wanted[part.value] |= shape.holds_bytes
    returned = result(function)
    if returned is not None and not returned.primitive and not bridged:
        stays[returned.value] = True


def _check(each: Local, stays: bool, name: bytes) -> None:
    if each.shape.is_bytes:
        return
    if each.foreign:
        raise Obstacle(f"its type {_shown(name)} with bytes in it comes from another interface")
    if each.nominal and stays:
        raise Obstacle(f"its type {_shown(name)} with bytes in it is used outside of parameters too")


def _shown(name: bytes) -> str:
    return f"`{name.decode(errors='replace')}`"


# --- the rewritten bytes ---


class _Rewriting:
    """The new declarations, while they are written; `plain` and `passed` are the new indices for each type index.

    `passed` is the form for parameters, which differs if bytes are in the type.
    """

    def __init__(self, data: bytes, found: InstanceType, bridges: Collection[int], wanted: bytearray) -> None:
        self._data = data
        self._found = found
        self._bridges = bridges
        self._wanted = wanted
        self._pair: int | None = None
        self._types = 0
        self._declarations: list[bytes] = []
        self._plain: list[int] = []
        self._passed: list[int] = []

    def definition(self) -> bytes:
        """Return the whole definition."""
        for declaration, index in self._found.steps:
            if index is None:
                self._function(declaration)
            else:
                self._type(declaration, index)
        return bytes([INSTANCE]) + encoded(len(self._declarations)) + b"".join(self._declarations)

    def _function(self, declaration: Declaration) -> None:
        if not isinstance(declaration.content, Extern) or declaration.content.type is None:
            raise Obstacle("it declares something unfamiliar")
        self._declarations.append(self._pointing(declaration, declaration.content.type, self._plain))

    def _type(self, declaration: Declaration, index: int) -> None:
        each, content = self._found.types[index], declaration.content
        if isinstance(content, Extern) and content.type is not None:
            target = content.type.value
            plain = self._add(self._pointing(declaration, content.type, self._plain))
            passed = self._passed[target] if self._wanted[index] and not each.nominal else plain
        elif not isinstance(content, Type):
            plain = self._add(self._data[declaration.start : declaration.end])
            passed = self._bytes() if each.shape.is_bytes and self._wanted[index] else plain
        elif content.kind == FUNCTION:
            plain = passed = self._add(self._function_type(content, index in self._bridges))
        elif not self._wanted[index]:
            plain = passed = self._add(self._defined(content, self._plain))
        elif each.shape.is_bytes:
            plain, passed = self._add(self._defined(content, self._plain)), self._bytes()
        elif each.nominal:
            plain = passed = self._add(self._defined(content, self._passed))
        else:
            plain = self._add(self._defined(content, self._plain))
            passed = self._add(self._defined(content, self._passed))
        self._plain.append(plain)
        self._passed.append(passed)

    def _bytes(self) -> int:
        """Return the index of the pair that stands for bytes."""
        if self._pair is None:
            self._pair = self._add(_PAIR)
        return self._pair

    def _add(self, declaration: bytes) -> int:
        self._declarations.append(declaration)
        self._types += 1
        return self._types - 1

    def _pointing(self, declaration: Declaration, target: Part, indices: Sequence[int]) -> bytes:
        """Return a declaration with its one index changed."""
        data = self._data
        return (
            data[declaration.start : target.start] + encoded(indices[target.value]) + data[target.end : declaration.end]
        )

    def _defined(self, content: Type, indices: Sequence[int]) -> bytes:
        """Return a definition with all its indices changed."""
        code = encoded if content.kind in (OWN, BORROW) else encoded_type
        result, at = [_TYPE_DECLARATION], content.start
        for part in content.type_parts():
            result += [self._data[at : part.start], code(indices[part.value])]
            at = part.end
        return b"".join([*result, self._data[at : content.end]])

    def _function_type(self, function: Type, bridged: bool) -> bytes:
        labels, returned = list(function.labels), result(function)
        values = [self._value(part, self._passed) for part in parameters(function)]
        if bridged:
            labels.append(unused(labels, b"ret"))
            values.append(_U32)
        taken = b"".join(encoded(len(label)) + label + value for label, value in zip(labels, values, strict=True))
        ending = _NO_RESULT if bridged or returned is None else b"\x00" + self._value(returned, self._plain)
        return _TYPE_DECLARATION + bytes([FUNCTION]) + encoded(len(labels)) + taken + ending

    def _value(self, part: Part, indices: Sequence[int]) -> bytes:
        return bytes([part.value]) if part.primitive else encoded_type(indices[part.value])
