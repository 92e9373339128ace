"""Booleans, numbers, characters and strings."""

from __future__ import annotations

from numbers import Real
from operator import index
from typing import cast

from .. import capi
from ..capi import Kind, Value, ValueType
from ..crossing.state import HostState
from ..crossing.transport import Crossing
from ..misfits import wrong_type, wrong_value
from .codec import Comparison, check_kind, other_type


class Bool:
    """`bool`."""

    def lift(self, state: HostState, value: Value) -> bool:
        """Return a `bool`."""
        return bool(value.of.boolean)

    def lower(self, state: HostState, value: Value, item: object) -> None:
        """Take `True` or `False` only."""
        if not isinstance(item, bool):
            raise wrong_type("bool", item)
        value.of.boolean = item
        value.kind = Kind.BOOL

    def check(self, theirs: ValueType, comparison: Comparison) -> None:
        """Accept `bool`."""
        check_kind("bool", theirs)


#: The formats of numbers in memory, as in `struct`, `array` and `memoryview`.
_CODES = {
    "u8": "B", "s8": "b", "u16": "H", "s16": "h", "u32": "I", "s32": "i", "u64": "Q", "s64": "q", "f32": "f", "f64": "d"
}  # fmt: skip


class Integer:
    """`u8` … `s64`; `name` is the name in WIT and of the field in the engine's union, `code` the format in memory."""

    def __init__(self, name: str, kind: int) -> None:
        bits = int(name[1:])
        self.name = name
        self.kind = kind
        self.code = _CODES[name]
        self.lowest = -(1 << (bits - 1)) if name[0] == "s" else 0
        self.highest = self.lowest + (1 << bits) - 1

    def lift(self, state: HostState, value: Value) -> int:
        """Return an `int`."""
        return cast(int, getattr(value.of, self.name))

    def lower(self, state: HostState, value: Value, item: object) -> None:
        """Take an `int` in range, or what stands for one (`__index__`), but not a `bool`."""
        setattr(value.of, self.name, self.number(item))
        value.kind = self.kind

    def number(self, item: object) -> int:
        """Return `item` if it is a number that fits; otherwise raises `Misfit`."""
        if isinstance(item, bool) or not hasattr(item, "__index__"):
            raise wrong_type("int", item)
        if not isinstance(item, int):
            try:
                item = index(item)
            except TypeError:  # a tensor has `__index__`, but stands for an integer only if it has one
                raise wrong_type("int", item) from None
        if not self.lowest <= item <= self.highest:
            raise wrong_value(f"{_digits(item)} does not fit {self.name} ({self.lowest} to {self.highest})")
        return item

    def check(self, theirs: ValueType, comparison: Comparison) -> None:
        """Accept the integer of the same size and sign."""
        check_kind(self.name, theirs)


#: What is taken as a float: those of Python first, which are found at once.
_REAL = (float, int, Real)
_INFINITY = float("inf")
#: The smallest number that is rounded to infinity: half a unit in the last place above the largest finite one.
_BEYOND = {"f32": float.fromhex("0x1.ffffffp+127"), "f64": _INFINITY}


class Float:
    """`f32` and `f64`."""

    def __init__(self, name: str, kind: int) -> None:
        self.name = name
        self.kind = kind
        self.code = _CODES[name]
        self.beyond = _BEYOND[name]

    def lift(self, state: HostState, value: Value) -> float:
        """Return a `float`."""
        return cast(float, getattr(value.of, self.name))

    def lower(self, state: HostState, value: Value, item: object) -> None:
        """Take a `float`, an `int` or another real number that is not too large; NaN and the infinities cross."""
        setattr(value.of, self.name, self.number(item))
        value.kind = self.kind

    def number(self, item: object) -> float:
        """Return `item` as a `float` if it is a number that fits; otherwise raises `Misfit`."""
        if not isinstance(item, _REAL) or isinstance(item, bool):
            raise wrong_type("float", item)
        try:
            number = float(item)
        except OverflowError:
            raise wrong_value(f"{_kind(item)} is too large for {self.name}") from None
        if self.beyond <= abs(number) < _INFINITY:
            raise wrong_value(f"{number!r} is too large for {self.name}")
        if abs(number) == _INFINITY and item != number:  # a finite number of a wider type
            raise wrong_value(f"{_kind(item)} is too large for {self.name}")
        return number

    def check(self, theirs: ValueType, comparison: Comparison) -> None:
        """Accept the float of the same size."""
        check_kind(self.name, theirs)


class Char:
    """`char`: one Unicode scalar value."""

    def lift(self, state: HostState, value: Value) -> str:
        """Return a `str` of one character."""
        return chr(value.of.character)

    def lower(self, state: HostState, value: Value, item: object) -> None:
        """Take a `str` of one character that is not a surrogate."""
        if not isinstance(item, str):
            raise wrong_type("str", item)
        if len(item) != 1 or 0xD800 <= ord(item) < 0xE000:
            raise wrong_value(f"{_start(item)} is not one Unicode scalar value")
        value.of.character = ord(item)
        value.kind = Kind.CHAR

    def check(self, theirs: ValueType, comparison: Comparison) -> None:
        """Accept `char`."""
        check_kind("char", theirs)


class String:
    """`string`."""

    def lift(self, state: HostState, value: Value) -> str:
        """Return a `str`."""
        state.count_text(capi.text_size(value))
        return capi.read_text(value)

    def lower(self, state: HostState, value: Value, item: object) -> None:
        """Take a `str` without lone surrogates."""
        if not isinstance(item, str):
            raise wrong_type("str", item)
        try:
            content = item.encode()
        except UnicodeEncodeError as error:
            raise wrong_value(f"the string has a lone surrogate at index {error.start}") from None
        capi.write_text(value, Kind.STRING, content)

    def check(self, theirs: ValueType, comparison: Comparison) -> None:
        """Accept `string`, but not one that was a `list<u8>`."""
        check_kind("string", theirs)
        if comparison.crossing is Crossing.STRING:  # functions with other strings are never rewritten this way
            raise other_type("string", "list")


def _digits(number: int) -> str:
    """Return the number in digits, or its size if it is so long that Python may refuse to print it."""
    return str(number) if number.bit_length() <= 256 else f"an integer of {number.bit_length()} bits"


def _kind(item: object) -> str:
    return f"an integer of {item.bit_length()} bits" if isinstance(item, int) else f"this {type(item).__name__}"


def _start(text: str) -> str:
    return repr(text) if len(text) <= 20 else f"{text[:20]!r}…"


BOOL = Bool()
U8, U16, U32, U64 = (Integer(f"u{bits}", getattr(Kind, f"U{bits}")) for bits in (8, 16, 32, 64))
S8, S16, S32, S64 = (Integer(f"s{bits}", getattr(Kind, f"S{bits}")) for bits in (8, 16, 32, 64))
F32 = Float("f32", Kind.F32)
F64 = Float("f64", Kind.F64)
CHAR = Char()
STRING = String()
