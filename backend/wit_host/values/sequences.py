"""Lists, tuples, maps and records: values that consist of others."""

from __future__ import annotations

import dataclasses
import reprlib
import sys
from array import array
from collections.abc import Iterable, Mapping, Sequence
from itertools import repeat
from typing import Any

from .. import capi
from ..capi import Kind, Value, ValueType
from ..crossing import transport
from ..crossing.state import HostState
from ..crossing.transport import Crossing
from ..misfits import Misfit, wrong_class, wrong_type, wrong_value
from .codec import Codec, Comparison, check_kind, check_names, check_optional, other_type
from .scalars import U8, Float, Integer


class ByteList:
    """`list<u8>`, as a buffer that is valid during the call; by address or as a string if it was rewritten to."""

    def lift(self, state: HostState, value: Value) -> memoryview | bytes:
        """Return a read-only buffer, valid during the call."""
        return transport.lift(state.memory, value)

    def lower(self, state: HostState, value: Value, item: object) -> None:
        """Take a C-contiguous buffer or a `ByteSource`."""
        transport.lower(value, item)

    def check(self, theirs: ValueType, comparison: Comparison) -> None:
        """Accept `list<u8>`, or its form in the parameters of a rewritten function."""
        if comparison.crossing is Crossing.LIST:
            _check_element(U8, theirs, comparison)
        elif comparison.crossing is Crossing.STRING:
            if theirs.kind != "string":
                raise other_type("list", theirs.kind)
        elif theirs.kind != "tuple" or [part and part.kind for _, part in theirs.parts] != ["u32", "u32"]:
            raise other_type("list", theirs.kind)


class CopiedByteList(ByteList):
    """`list<u8>`, as bytes that stay valid."""

    def lift(self, state: HostState, value: Value) -> bytes:
        """Return the bytes."""
        return bytes(transport.lift(state.memory, value))


class List:
    """`list<T>`."""

    def __init__(self, element: Codec) -> None:
        self.element = element
        #: The codec of elements that are numbers, which cross all at once.
        self.number = element if isinstance(element, Integer | Float) else None

    def lift(self, state: HostState, value: Value) -> list[object]:
        """Return a `list`."""
        if self.number is not None:
            state.count_elements(capi.list_size(value))
            return capi.read_numbers(value, self.number.code)
        state.count_elements(capi.list_size(value))
        lift = self.element.lift
        return [lift(state, element) for element in capi.elements(value)]

    def lower(self, state: HostState, value: Value, item: object) -> None:
        """Take a `list`, or any other sequence except text and bytes; for numbers also a buffer of such numbers."""
        if self.number is not None:
            numbers = _numbers(self.number, item)
            capi.new_list(value, len(numbers))
            capi.fill_numbers(value, self.number.kind, numbers, self.number.code)
        else:
            items = _items(item)
            capi.new_list(value, len(items))
            _lower_all(state, value, repeat(self.element), items)

    def packed(self, item: object) -> tuple[memoryview, int]:
        """Return what `lower` takes as bytes in a guest's memory, and the size of a number; only for numbers."""
        if self.number is None:
            raise TypeError("a list of numbers is needed")
        numbers = _numbers(self.number, item)
        if sys.byteorder == "big":
            numbers = array(self.number.code, numbers)
            numbers.byteswap()
        return memoryview(numbers).cast("B") if len(numbers) else memoryview(b""), numbers.itemsize

    def made(self, stored: memoryview) -> Any:  # noqa: ANN401  # as `lift` returns it
        """Return numbers that a guest has stored as `lift` returns them; only for numbers."""
        return self.native(stored).tolist()

    def native(self, stored: memoryview) -> array[Any]:
        """Copy numbers that a guest has stored, in the order of the bytes of this machine; only for numbers."""
        if self.number is None:
            raise TypeError("a list of numbers is needed")
        numbers: array[Any] = array(self.number.code)
        numbers.frombytes(stored)
        if sys.byteorder == "big":
            numbers.byteswap()
        return numbers

    def check(self, theirs: ValueType, comparison: Comparison) -> None:
        """Accept a list whose elements fit."""
        _check_element(self.element, theirs, comparison)


class FixedLengthList:
    """`list<T, N>`, which is rewritten before compilation to cross as a tuple: both have the same canonical ABI."""

    def __init__(self, element: Codec, size: int) -> None:
        self.element = element
        self.size = size

    def lift(self, state: HostState, value: Value) -> list[object]:
        """Return a `list` of that length."""
        lift = self.element.lift
        return [lift(state, element) for element in capi.elements(value)]

    def lower(self, state: HostState, value: Value, item: object) -> None:
        """Take a `list`, or any other sequence except text and bytes, of that length."""
        items = _items(item)
        if len(items) != self.size:
            raise wrong_value(f"a list of {self.size} is needed, not one of {len(items)}")
        capi.new_tuple(value, self.size)
        _lower_all(state, value, repeat(self.element), items)

    def check(self, theirs: ValueType, comparison: Comparison) -> None:
        """Accept a tuple of as many elements, each of which fits."""
        if theirs.kind != "tuple":
            raise other_type(f"list of {self.size}", theirs.kind)
        parts = theirs.parts
        if len(parts) != self.size:
            raise other_type(f"list of {self.size}", f"list or tuple of {len(parts)}")
        for index, (_, part) in enumerate(parts):
            _check_part(self.element, part, comparison, f"[{index}]")


class Tuple:
    """`tuple<A, B, …>`."""

    def __init__(self, *elements: Codec) -> None:
        self.elements = elements

    def lift(self, state: HostState, value: Value) -> tuple[object, ...]:
        """Return a `tuple`."""
        pairs = zip(self.elements, capi.elements(value), strict=True)
        return tuple([codec.lift(state, element) for codec, element in pairs])

    def lower(self, state: HostState, value: Value, item: object) -> None:
        """Take a `tuple` of the right length."""
        if not isinstance(item, tuple):
            raise wrong_type("tuple", item)
        if len(item) != len(self.elements):
            raise wrong_value(f"a tuple of {len(self.elements)} is needed, not one of {len(item)}")
        capi.new_tuple(value, len(item))
        _lower_all(state, value, self.elements, item)

    def check(self, theirs: ValueType, comparison: Comparison) -> None:
        """Accept a tuple of as many elements, each of which fits."""
        check_kind("tuple", theirs)
        parts = theirs.parts
        if len(parts) != len(self.elements):
            raise other_type(f"tuple of {len(self.elements)}", f"tuple of {len(parts)}")
        for index, (_, part) in enumerate(parts):
            _check_part(self.elements[index], part, comparison, f"[{index}]")


class Map:
    """`map<K, V>`."""

    def __init__(self, key: Codec, value: Codec) -> None:
        self.key = key
        self.value = value

    def lift(self, state: HostState, value: Value) -> dict[object, object]:
        """Return a `dict`, with the last one of several values for a key."""
        entries = value.of.map
        data, lift_key, lift_value = entries.data, self.key.lift, self.value.lift
        state.count_elements(entries.size)
        return {lift_key(state, data[index].key): lift_value(state, data[index].value) for index in range(entries.size)}

    def lower(self, state: HostState, value: Value, item: object) -> None:
        """Take a `dict`, or any other mapping."""
        if not isinstance(item, Mapping):
            raise wrong_type("dict", item)
        items = dict(item)
        capi.new_map(value.of.map, len(items))
        value.kind = Kind.MAP
        data = value.of.map.data
        for index, (key, content) in enumerate(items.items()):
            entry = data[index]
            try:
                self.key.lower(state, entry.key, key)
                self.value.lower(state, entry.value, content)
            except Misfit as misfit:
                raise misfit.inside(f"[{reprlib.repr(key)}]") from None

    def check(self, theirs: ValueType, comparison: Comparison) -> None:
        """Accept a map whose keys and values fit."""
        check_kind("map", theirs)
        (_, key), (_, value) = theirs.parts
        _check_part(self.key, key, comparison, "[key]")
        _check_part(self.value, value, comparison, "[]")


class Record:
    """`record`, as a dataclass whose fields are in the order of `fields`, which are named as in WIT."""

    def __init__(self, cls: type[Any], fields: Mapping[str, Codec]) -> None:
        self.cls = cls
        self.names = tuple(fields)
        self.codecs = tuple(fields.values())
        attributes = [field.name for field in dataclasses.fields(cls)]
        self._fields = tuple(
            (index, name.encode(), attribute, codec)
            for index, ((name, codec), attribute) in enumerate(zip(fields.items(), attributes, strict=True))
        )

    def lift(self, state: HostState, value: Value) -> object:
        """Return an object of the class."""
        data = value.of.record.data
        return self.cls(*[codec.lift(state, data[index].val) for index, _, _, codec in self._fields])

    def lower(self, state: HostState, value: Value, item: object) -> None:
        """Take an object of the class."""
        if not isinstance(item, self.cls):
            raise wrong_class(self.cls, item)
        capi.new_record(value.of.record, len(self._fields))
        value.kind = Kind.RECORD
        data = value.of.record.data
        for index, name, attribute, codec in self._fields:
            entry = data[index]
            capi.write_name(entry.name, name)
            try:
                codec.lower(state, entry.val, getattr(item, attribute))
            except Misfit as misfit:
                raise misfit.inside(f".{attribute}") from None

    def check(self, theirs: ValueType, comparison: Comparison) -> None:
        """Accept a record whose fields have the same names and order, and fit."""
        check_kind("record", theirs)
        parts = theirs.parts
        check_names("fields", self.names, [name for name, _ in parts])
        for (_, _, attribute, codec), (_, part) in zip(self._fields, parts, strict=True):
            _check_part(codec, part, comparison, f".{attribute}")


def _items(item: object) -> Sequence[object]:
    """Copy a sequence, since lowering may run code of the host that changes it."""
    if isinstance(item, list | tuple):
        return tuple(item)
    if isinstance(item, Sequence) and not isinstance(item, str | bytes | bytearray | memoryview):
        return tuple(item)
    raise wrong_type("list", item)


def _lower_all(state: HostState, value: Value, codecs: Iterable[Codec], items: Sequence[object]) -> None:
    """Fill in the elements of `value`, a list or a tuple that was just made; `codecs` may have no end."""
    for index, (element, item, codec) in enumerate(zip(capi.elements(value), items, codecs)):  # noqa: B905
        try:
            codec.lower(state, element, item)
        except Misfit as misfit:
            raise misfit.inside(f"[{index}]") from None


def _numbers(codec: Integer | Float, item: object) -> array[Any] | memoryview[Any]:
    """Return the numbers in a sequence, or in a buffer, such as an array of NumPy."""
    if isinstance(item, list | tuple):
        return _packed(codec, item)
    view = _buffer(item)
    if view is not None and (_kind(view.format), view.itemsize) == (_kind(codec.code), array(codec.code).itemsize):
        return _plain(view, codec)
    if view is not None and not isinstance(item, Sequence):
        raise Misfit(TypeError, f"a list<{codec.name}> takes an array of that type, not of {view.format!r}; convert it")
    return _packed(codec, _items(item))


def _packed(codec: Integer | Float, items: Sequence[object]) -> array[Any]:
    numbers: array[Any] = array(codec.code)
    try:
        for item in items:
            numbers.append(codec.number(item))
    except Misfit as misfit:
        raise misfit.inside(f"[{len(numbers)}]") from None
    return numbers


def _buffer(item: object) -> memoryview[Any] | None:
    """Return the content of a buffer, or of something that is an array to NumPy, such as a tensor; None without any."""
    if isinstance(item, bytes | bytearray):
        return None
    try:
        return memoryview(item)  # type: ignore[arg-type]  # the call checks it
    except (TypeError, BufferError):
        as_array = getattr(item, "__array__", None)
    if as_array is None:
        return None
    try:
        return memoryview(as_array())
    except Exception as error:  # noqa: BLE001  # of a foreign library, which says what to do
        raise Misfit(TypeError, f"{type(item).__name__} has no array: {error}") from None


def _kind(code: str) -> str:
    """Return the kind of numbers in the machine's own order: signed, unsigned, or floats; others are themselves."""
    for kind in ("bhilqn", "BHILQN", "fd"):
        if code in kind:
            return kind
    return code


def _plain(view: memoryview[Any], codec: Integer | Float) -> array[Any] | memoryview[Any]:
    """Return a view of numbers one after the other."""
    if view.ndim != 1 or not view.c_contiguous:
        wanted = "an array of one dimension without gaps"
        raise Misfit(TypeError, f"a list<{codec.name}> takes {wanted}; pass a flat copy of it")
    if not view.nbytes:
        return array(codec.code)
    plain: memoryview[Any] = view.cast("B").cast(codec.code)  # type: ignore[call-overload]  # has one for each format
    return plain


def _check_element(element: Codec, theirs: ValueType, comparison: Comparison) -> None:
    check_kind("list", theirs)
    [(_, part)] = theirs.parts
    _check_part(element, part, comparison, "[]")


def _check_part(codec: Codec, part: ValueType | None, comparison: Comparison, step: str) -> None:
    try:
        check_optional(codec, part, comparison)
    except Misfit as misfit:
        raise misfit.inside(step) from None


BYTES = ByteList()
COPIED_BYTES = CopiedByteList()
