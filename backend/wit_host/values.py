"""WIT values between the engine and Python: one codec for each type.

In: a WIT type, written as an expression (`List(U32)`, `Tuple(STRING, Own(TENSOR))`). Out: an object that *lifts*
(engine to Python) and *lowers* (Python to engine). Lowering checks what it is given: `TypeError` for a value of the
wrong type, `ValueError` for one out of range.

| WIT | Python |
| --- | --- |
| `bool`, `string`, `char` | `bool`, `str`, `str` of one character |
| `u8` … `s64` | `int` |
| `f32`, `f64` | `float` |
| `list<u8>` | `memoryview` in, any buffer or `ByteSource` out |
| `list<T>`, `tuple<…>` | `list`, `tuple` |
| `option<T>` | the value or `None` |
| `enum` | `enum.Enum` whose values are the WIT's names |
| `own<R>`, `borrow<R>` | the object that implements the resource |
| `result<T, E>` as a function's result | `T` returned, or `ResultError[E]` raised |
"""

from __future__ import annotations

import enum
from typing import Any, Protocol, cast

from wit_host import capi
from wit_host.capi import Kind, Value
from wit_host.errors import ResultError
from wit_host.resources import Droppable, Resource
from wit_host.state import HostState


class Codec(Protocol):
    """How values of one WIT type cross."""

    def lift(self, state: HostState, value: Value) -> object:
        """The Python object for a value that the guest passed."""
        ...

    def lower(self, state: HostState, value: Value, item: object) -> None:
        """Store `item` where the engine will take it from."""
        ...


class Bool:
    """`bool`."""

    def lift(self, state: HostState, value: Value) -> bool:
        """A `bool`."""
        return bool(value.of.boolean)

    def lower(self, state: HostState, value: Value, item: object) -> None:
        """Takes `True` or `False`, nothing else."""
        if not isinstance(item, bool):
            raise _wrong_type("bool", item)
        value.of.boolean = item
        value.kind = Kind.BOOL


class Integer:
    """`u8` … `s64`; `name` is both the WIT's name and the field of the engine's union."""

    def __init__(self, name: str, kind: int) -> None:
        bits = int(name[1:])
        self.name = name
        self.kind = kind
        self.lowest = -(1 << (bits - 1)) if name[0] == "s" else 0
        self.highest = self.lowest + (1 << bits) - 1

    def lift(self, state: HostState, value: Value) -> int:
        """An `int`."""
        return cast(int, getattr(value.of, self.name))

    def lower(self, state: HostState, value: Value, item: object) -> None:
        """Takes an `int` in range; a `bool` is none."""
        if not isinstance(item, int) or isinstance(item, bool):
            raise _wrong_type("int", item)
        if not self.lowest <= item <= self.highest:
            raise ValueError(f"{item} does not fit {self.name} ({self.lowest} to {self.highest})")
        setattr(value.of, self.name, item)
        value.kind = self.kind


class Float:
    """`f32` and `f64`."""

    def __init__(self, name: str, kind: int) -> None:
        self.name = name
        self.kind = kind

    def lift(self, state: HostState, value: Value) -> float:
        """A `float`."""
        return cast(float, getattr(value.of, self.name))

    def lower(self, state: HostState, value: Value, item: object) -> None:
        """Takes a `float` or an `int`."""
        if not isinstance(item, float | int) or isinstance(item, bool):
            raise _wrong_type("float", item)
        setattr(value.of, self.name, item)
        value.kind = self.kind


class Char:
    """`char`: one Unicode scalar value."""

    def lift(self, state: HostState, value: Value) -> str:
        """A `str` of one character."""
        return chr(value.of.character)

    def lower(self, state: HostState, value: Value, item: object) -> None:
        """Takes a `str` of one character that is no surrogate."""
        if not isinstance(item, str):
            raise _wrong_type("str", item)
        if len(item) != 1 or 0xD800 <= ord(item) < 0xE000:
            raise ValueError(f"{item!r} is not one Unicode scalar value")
        value.of.character = ord(item)
        value.kind = Kind.CHAR


class String:
    """`string`."""

    def lift(self, state: HostState, value: Value) -> str:
        """A `str`."""
        return capi.read_name(value.of.string).decode()

    def lower(self, state: HostState, value: Value, item: object) -> None:
        """Takes a `str` without lone surrogates."""
        if not isinstance(item, str):
            raise _wrong_type("str", item)
        capi.write_name(value.of.string, item.encode())
        value.kind = Kind.STRING


class ByteList:
    """`list<u8>`, by the transport of the store."""

    def lift(self, state: HostState, value: Value) -> memoryview:
        """A read-only buffer, valid during the call."""
        return state.transport.lift(value)

    def lower(self, state: HostState, value: Value, item: object) -> None:
        """Takes a C-contiguous buffer or a `ByteSource`."""
        state.transport.lower(value, item)


class List:
    """`list<T>`."""

    def __init__(self, element: Codec) -> None:
        self.element = element

    def lift(self, state: HostState, value: Value) -> list[object]:
        """A `list`."""
        values = value.of.list
        lift = self.element.lift
        return [lift(state, values.data[index]) for index in range(values.size)]

    def lower(self, state: HostState, value: Value, item: object) -> None:
        """Takes a `list` or `tuple`."""
        if not isinstance(item, list | tuple):
            raise _wrong_type("list", item)
        capi.new_list(value.of.list, len(item))
        value.kind = Kind.LIST
        data = value.of.list.data
        for index, element in enumerate(item):
            self.element.lower(state, data[index], element)


class Tuple:
    """`tuple<A, B, …>`."""

    def __init__(self, *elements: Codec) -> None:
        self.elements = elements

    def lift(self, state: HostState, value: Value) -> tuple[object, ...]:
        """A `tuple`."""
        data = value.of.tuple.data
        return tuple(element.lift(state, data[index]) for index, element in enumerate(self.elements))

    def lower(self, state: HostState, value: Value, item: object) -> None:
        """Takes a `tuple` of the right length."""
        if not isinstance(item, tuple):
            raise _wrong_type("tuple", item)
        if len(item) != len(self.elements):
            raise ValueError(f"a tuple of {len(self.elements)} is needed, not one of {len(item)}")
        capi.new_tuple(value.of.tuple, len(item))
        value.kind = Kind.TUPLE
        data = value.of.tuple.data
        for index, element in enumerate(self.elements):
            element.lower(state, data[index], item[index])


class Option:
    """`option<T>`."""

    def __init__(self, some: Codec) -> None:
        self.some = some

    def lift(self, state: HostState, value: Value) -> object:
        """The value, or `None`."""
        pointer = value.of.option
        return self.some.lift(state, pointer.contents) if pointer else None

    def lower(self, state: HostState, value: Value, item: object) -> None:
        """Takes the value, or `None`."""
        value.of.option = None
        value.kind = Kind.OPTION
        if item is not None:
            value.of.option = capi.new_value()
            self.some.lower(state, value.of.option.contents, item)


class Enum:
    """`enum`, as the Python class whose values are the WIT's names."""

    def __init__(self, cases: type[enum.Enum]) -> None:
        self.cases = cases
        self._names = {case: cast(str, case.value).encode() for case in cases}
        self._cases = {name: case for case, name in self._names.items()}

    def lift(self, state: HostState, value: Value) -> enum.Enum:
        """A member of the class."""
        return self._cases[capi.read_name(value.of.enumeration)]

    def lower(self, state: HostState, value: Value, item: object) -> None:
        """Takes a member of the class."""
        if not isinstance(item, self.cases):
            raise _wrong_type(self.cases.__name__, item)
        capi.write_name(value.of.enumeration, self._names[item])
        value.kind = Kind.ENUM


class Own:
    """`own<R>`: the object changes hands."""

    def __init__(self, resource: Resource[object]) -> None:
        self.resource = resource

    def lift(self, state: HostState, value: Value) -> object:
        """The object; it is taken out of the table once all arguments are lifted."""
        representation = capi.read_resource(state.context, value)
        state.taken.append(representation)
        return state.table.borrow(representation)

    def lower(self, state: HostState, value: Value, item: object) -> None:
        """Takes the object that implements the resource; the guest owns it afterwards."""
        if not isinstance(item, Droppable):
            raise TypeError(f"{type(item).__name__} does not implement resource {self.resource.name}: it has no drop()")
        representation = state.table.give(item)
        capi.write_resource(state.context, value, representation, state.type_ids[self.resource])


class Borrow:
    """`borrow<R>` as a parameter: the object stays the guest's."""

    def __init__(self, resource: Resource[object]) -> None:
        self.resource = resource

    def lift(self, state: HostState, value: Value) -> object:
        """The object, still in the table."""
        return state.table.borrow(capi.read_resource(state.context, value))

    def lower(self, state: HostState, value: Value, item: object) -> None:
        """Never happens: WIT has no `borrow` in results."""
        raise TypeError(f"a borrow of resource {self.resource.name} cannot be returned")


class Result:
    """`result<T, E>` as a function's result; either side may be empty."""

    def __init__(self, ok: Codec | None, err: Codec | None, error: type[ResultError[Any]]) -> None:
        self.ok = ok
        self.err = err
        self.error = error

    def lower(self, state: HostState, value: Value, item: object) -> None:
        """Answer `ok(item)`."""
        self._store(state, value, True, self.ok, item)

    def lower_error(self, state: HostState, value: Value, item: object) -> None:
        """Answer `err(item)`."""
        self._store(state, value, False, self.err, item)

    def _store(self, state: HostState, value: Value, is_ok: bool, codec: Codec | None, item: object) -> None:
        payload = None if codec is None else capi.new_value()
        value.of.result.is_ok = is_ok
        value.of.result.val = payload
        value.kind = Kind.RESULT
        if codec is not None and payload is not None:
            codec.lower(state, payload.contents, item)
        elif item is not None:
            raise _wrong_type("None", item)


def _wrong_type(wanted: str, item: object) -> TypeError:
    return TypeError(f"{wanted} is needed, not {type(item).__name__}")


BOOL = Bool()
U8, U16, U32, U64 = (Integer(f"u{bits}", getattr(Kind, f"U{bits}")) for bits in (8, 16, 32, 64))
S8, S16, S32, S64 = (Integer(f"s{bits}", getattr(Kind, f"S{bits}")) for bits in (8, 16, 32, 64))
F32 = Float("f32", Kind.F32)
F64 = Float("f64", Kind.F64)
CHAR = Char()
STRING = String()
BYTES = ByteList()
