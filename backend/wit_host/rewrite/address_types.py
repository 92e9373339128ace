"""The type of an imported instance, rewritten so that bytes cross as addresses.

In: an instance type. Out: its binary form with each `list<u8>` in a parameter as a pair of `u32`, address and length,
which has the same core values and the same layout. Functions that return `list<u8>` take the place of the result as one
more `u32`, which the guest passes anyway. Functions that return a `result` with a `list<u8>` in its `ok` return an
address and a length instead, and take an address as one more `u32`.

No type that another part of the component may refer to changes: `list<u8>` and types that contain it stay where they
are, and parameters refer to new definitions next to them. Only records and variants, which functions can use under
their names alone, change in place, if nothing else uses them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from .binary import encoded, encoded_type
from .bridge_code import PlacedCode, ResultCode
from .bridges import Code
from .function_types import parameters, result, unused
from .instance_types import InstanceType, Local
from .obstacles import Obstacle
from .parts import Extern, Part
from .shapes import F64, I32, I64, MOST_FLAT, Shape, flattened, of_part
from .types import BORROW, FUNCTION, INSTANCE, OWN, RESULT, TUPLE, Declaration, Type

#: Encoded parts of types: `u32`, the pair for bytes, the start of a type declaration, and the absence of a result.
_U32 = b"\x79"
_PAIR = b"\x01" + bytes([TUPLE]) + b"\x02" + _U32 + _U32
_TYPE_DECLARATION = b"\x01"
_NO_RESULT = b"\x01\x00"


@dataclass(frozen=True, slots=True)
class Retyped:
    """The definition of the rewritten type, and the functions with other results, each with the code of its bridge."""

    definition: bytes
    bridged: Mapping[bytes, Code]


def retyped(data: bytes, found: InstanceType, kept: Collection[bytes]) -> Retyped | None:
    """Rewrite an instance type; None if bytes do not cross. Raises `Obstacle`.

    `kept` are the names of types that other parts of the component refer to.
    """
    if found.unfamiliar is not None:
        raise Obstacle(found.unfamiliar)
    bridges = {
        index: code for index in set(found.functions.values()) if (code := _bridge(data, found, index)) is not None
    }
    wanted = _wanted(found, bridges, kept)
    if not bridges and not any(wanted):
        return None
    definition = _Rewriting(data, found, bridges, wanted).definition()
    return Retyped(definition, {name: bridges[index] for name, index in found.functions.items() if index in bridges})


def _bridge(data: bytes, found: InstanceType, index: int) -> ResultCode | PlacedCode | None:
    """Return the code for a function whose result changes; None if it does not.

    A function whose result changes is called twice, so it must not take anything from the guest. Its parameters must
    leave room for one more, since too many would go through memory.
    """
    function = found.function(index)
    taken = [of_part(part, found.shapes) for part in parameters(function)]
    returned = result(function)
    if returned is None or any(each.moves for each in taken):
        return None
    flat = flattened(taken)
    if flat is None or len(flat) >= MOST_FLAT:
        return None
    if of_part(returned, found.shapes).is_bytes:
        return ResultCode(flat + I32)
    is_placed = not returned.primitive and _is_placed(data, found, returned.value)
    return PlacedCode(flat) if is_placed else None


def _is_placed(data: bytes, found: InstanceType, index: int) -> bool:
    """Return whether a type is a `result` that begins with bytes, if it is `ok`, and has no other bytes in it.

    Its content begins after 4 bytes, unless there are numbers of 64 bits in it.
    """
    definition = found.types[index].definition
    if definition is None or definition.kind != RESULT or not data[definition.start + 1]:  # it has no `ok`
        return False
    ok, *error = definition.parts
    return _begins_with_bytes(found, ok) and all(_is_narrow(of_part(part, found.shapes)) for part in error)


def _begins_with_bytes(found: InstanceType, part: Part) -> bool:
    """Return whether a type is `list<u8>`, or a tuple of it and narrow types without bytes."""
    if of_part(part, found.shapes).is_bytes:
        return True
    definition = None if part.primitive else found.types[part.value].definition
    if definition is None or definition.kind != TUPLE:
        return False
    first, *others = [of_part(each, found.shapes) for each in definition.parts]
    return first.is_bytes and all(map(_is_narrow, others))


def _is_narrow(each: Shape) -> bool:
    """Return whether a type has neither bytes nor numbers of 64 bits in it."""
    flat = each.flat
    return flat is not None and not each.holds_bytes and I64 not in flat and F64 not in flat


# --- the form that each type is needed in ---


def _wanted(found: InstanceType, bridges: Mapping[int, Code], kept: Collection[bytes]) -> bytearray:
    """Return for each type whether parameters need it rewritten. Raises `Obstacle` if one would need both forms."""
    wanted, stays = bytearray(len(found.types)), bytearray(len(found.types))
    names = {index: name for name, index in found.exports.items()}
    for name in kept:
        if name in found.exports:
            stays[found.exports[name]] = True
    for index in reversed(range(len(found.types))):  # types refer to types before them
        each = found.types[index]
        if each.definition is not None and each.definition.kind == FUNCTION:
            _uses_of_function(found, each.definition, bridges.get(index), wanted, stays)
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


def _uses_of_function(
    found: InstanceType, function: Type, code: Code | None, wanted: bytearray, stays: bytearray
) -> None:
    for part in parameters(function):
        if part.primitive:
            continue
        shape = found.types[part.value].shape
        if shape.unfamiliar:
            raise Obstacle("a parameter has an unfamiliar type")
        wanted[part.value] |= shape.holds_bytes
    returned = result(function)
    if returned is None or returned.primitive or isinstance(code, ResultCode):
        return
    if isinstance(code, PlacedCode):
        wanted[returned.value] = True
    else:
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

    def __init__(self, data: bytes, found: InstanceType, bridges: Mapping[int, Code], wanted: bytearray) -> None:
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
            plain = passed = self._add(self._function_type(content, self._bridges.get(index)))
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

    def _function_type(self, function: Type, code: Code | None) -> bytes:
        labels, returned = list(function.labels), result(function)
        values = [self._value(part, self._passed) for part in parameters(function)]
        if code is not None:
            labels.append(unused(labels, b"at" if isinstance(code, PlacedCode) else b"ret"))
            values.append(_U32)
        taken = b"".join(encoded(len(label)) + label + value for label, value in zip(labels, values, strict=True))
        ending = _NO_RESULT
        if returned is not None and not isinstance(code, ResultCode):
            indices = self._passed if isinstance(code, PlacedCode) else self._plain
            ending = b"\x00" + self._value(returned, indices)
        return _TYPE_DECLARATION + bytes([FUNCTION]) + encoded(len(labels)) + taken + ending

    def _value(self, part: Part, indices: Sequence[int]) -> bytes:
        return bytes([part.value]) if part.primitive else encoded_type(indices[part.value])
