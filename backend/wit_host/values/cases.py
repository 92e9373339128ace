"""Options, results, variants, enums and flags: values that are one of several."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from typing import Any, cast

from .. import capi
from ..capi import Kind, Value, ValueType
from ..crossing.state import HostState
from ..errors import ResultError
from ..misfits import Misfit, wrong_class, wrong_type
from ..results import Err, Ok, Some
from .codec import Codec, Comparison, check_kind, check_names, check_optional


class Option:
    """`option<T>`, where `T` is not an option itself."""

    def __init__(self, some: Codec) -> None:
        self.some = some

    def lift(self, state: HostState, value: Value) -> object:
        """Return the value, or `None`."""
        pointer = value.of.option
        return self.some.lift(state, pointer.contents) if pointer else None

    def lower(self, state: HostState, value: Value, item: object) -> None:
        """Take the value, or `None`."""
        payload = _option(value, item)
        if payload is not None:
            self.some.lower(state, payload, item)

    def check(self, theirs: ValueType, comparison: Comparison) -> None:
        """Accept an option whose content fits."""
        check_kind("option", theirs)
        [(_, some)] = theirs.parts
        check_optional(self.some, some, comparison)


class NestedOption(Option):
    """`option<option<T>>`: its content may be `None` too, so it comes as `Some(content)`."""

    def lift(self, state: HostState, value: Value) -> object:
        """Return `Some` with the content, or `None`."""
        pointer = value.of.option
        return Some(self.some.lift(state, pointer.contents)) if pointer else None

    def lower(self, state: HostState, value: Value, item: object) -> None:
        """Take `Some` with the content, or `None`."""
        if item is not None and not isinstance(item, Some):
            raise wrong_type("Some or None", item)
        payload = _option(value, item)
        if item is not None and payload is not None:
            _lower_value(self.some, state, payload, item.value)


def _option(value: Value, item: object) -> Value | None:
    """Make `value` an option, and return the place for `item`, if there is one."""
    payload = None if item is None else capi.new_value()
    capi.write_option(value, payload)
    return payload


class Enum:
    """`enum`, as the Python class whose values are the names in WIT."""

    def __init__(self, cases: type[enum.Enum]) -> None:
        self.cases = cases
        self._names = {case: cast(str, case.value).encode() for case in cases}
        self._cases = {case.value: case for case in cases}

    def lift(self, state: HostState, value: Value) -> enum.Enum:
        """Return a member of the class."""
        return self._cases[capi.read_text(value)]

    def lower(self, state: HostState, value: Value, item: object) -> None:
        """Take a member of the class."""
        if not isinstance(item, self.cases):
            raise wrong_class(self.cases, item)
        capi.write_text(value, Kind.ENUM, self._names[item])

    def check(self, theirs: ValueType, comparison: Comparison) -> None:
        """Accept an enum of the same names in the same order."""
        check_kind("enum", theirs)
        check_names("cases", list(self._cases), [name for name, _ in theirs.parts])


class Flags:
    """`flags`, as the `enum.Flag` whose members are in the order of `names`, which are those of the WIT."""

    def __init__(self, cls: type[enum.Flag], names: Sequence[str]) -> None:
        self.cls = cls
        self.names = tuple(names)
        self._by_name = {name: member.value for name, member in zip(names, cls, strict=True)}
        self._bits = [(name.encode(), bit) for name, bit in self._by_name.items()]

    def lift(self, state: HostState, value: Value) -> enum.Flag:
        """Return a combination of members of the class."""
        flags = value.of.flags
        bits = 0
        for index in range(flags.size):
            bits |= self._by_name[capi.read_name(flags.data[index])]
        return self.cls(bits)

    def of_bits(self, bits: int) -> enum.Flag:
        """Return the combination of the flags whose bits, by the order of `names`, are set in a number."""
        chosen = 0
        for place, (_, bit) in enumerate(self._bits):
            if bits >> place & 1:
                chosen |= bit
        return self.cls(chosen)

    def lower(self, state: HostState, value: Value, item: object) -> None:
        """Take a combination of members of the class."""
        if not isinstance(item, self.cls):
            raise wrong_class(self.cls, item)
        names = [name for name, bit in self._bits if item.value & bit]
        capi.new_flags(value.of.flags, len(names))
        value.kind = Kind.FLAGS
        data = value.of.flags.data
        for index, name in enumerate(names):
            capi.write_name(data[index], name)

    def check(self, theirs: ValueType, comparison: Comparison) -> None:
        """Accept flags of the same names in the same order."""
        check_kind("flags", theirs)
        check_names("flags", self.names, [name for name, _ in theirs.parts])


class Variant:
    """`variant`, as one class for each case; the field of a payload is called `value`."""

    def __init__(self, cases: Mapping[str, tuple[type[Any], Codec | None]]) -> None:
        self.cases = dict(cases)
        self._by_class = {cls: (name.encode(), codec) for name, (cls, codec) in self.cases.items()}

    def lift(self, state: HostState, value: Value) -> object:
        """Return an object of the case's class."""
        cls, codec = self.cases[capi.read_text(value)]
        return cls() if codec is None else cls(codec.lift(state, value.of.variant.val.contents))

    def lower(self, state: HostState, value: Value, item: object) -> None:
        """Take an object of one of the classes."""
        case = self._by_class.get(type(item))
        if case is None:
            raise wrong_type(" or ".join(cls.__name__ for cls in self._by_class), item)
        name, codec = case
        payload = None if codec is None else capi.new_value()
        capi.write_variant(value, name, payload)
        if codec is not None and payload is not None:
            _lower_value(codec, state, payload, cast(Any, item).value)

    def check(self, theirs: ValueType, comparison: Comparison) -> None:
        """Accept a variant whose cases have the same names and order, and fit."""
        check_kind("variant", theirs)
        parts = theirs.parts
        check_names("cases", list(self.cases), [name for name, _ in parts])
        for (name, (_, codec)), (_, part) in zip(self.cases.items(), parts, strict=True):
            try:
                check_optional(codec, part, comparison)
            except Misfit as misfit:
                raise misfit.inside(f".{name}") from None


class _Sides:
    """`result<T, E>`: the common part of its two codecs."""

    def __init__(self, ok: Codec | None, err: Codec | None) -> None:
        self.ok = ok
        self.err = err

    def check(self, theirs: ValueType, comparison: Comparison) -> None:
        """Accept a result whose sides fit."""
        check_kind("result", theirs)
        for (name, part), codec in zip(theirs.parts, (self.ok, self.err), strict=True):
            try:
                check_optional(codec, part, comparison)
            except Misfit as misfit:
                raise misfit.inside(f".{name}") from None

    def _lift(self, state: HostState, value: Value) -> tuple[bool, object]:
        result = value.of.result
        codec = self.ok if result.is_ok else self.err
        return result.is_ok, None if codec is None else codec.lift(state, result.val.contents)

    def _store(self, state: HostState, value: Value, is_ok: bool, item: object) -> None:
        codec = self.ok if is_ok else self.err
        if codec is None and item is not None:
            raise wrong_type("None", item)
        payload = None if codec is None else capi.new_value()
        capi.write_result(value, is_ok, payload)
        if codec is not None and payload is not None:
            codec.lower(state, payload, item)


class NestedResult(_Sides):
    """`result<T, E>` inside another type."""

    def lift(self, state: HostState, value: Value) -> Ok[object] | Err[object]:
        """Return `Ok` or `Err`, with `None` if that side has no type."""
        is_ok, content = self._lift(state, value)
        return Ok(content) if is_ok else Err(content)

    def lower(self, state: HostState, value: Value, item: object) -> None:
        """Take `Ok` or `Err`."""
        if not isinstance(item, Ok | Err):
            raise wrong_type("Ok or Err", item)
        try:
            self._store(state, value, isinstance(item, Ok), item.value)
        except Misfit as misfit:
            raise misfit.inside(".value") from None


class Result(_Sides):
    """`result<T, E>` as a function's result: `T` is returned, `E` raised as an `error`; either side may be empty."""

    def __init__(self, ok: Codec | None, err: Codec | None, error: type[ResultError[Any]]) -> None:
        super().__init__(ok, err)
        self.error = error

    def lift(self, state: HostState, value: Value) -> tuple[bool, object]:
        """Return whether a guest answered `ok`, and its answer."""
        return self._lift(state, value)

    def lower(self, state: HostState, value: Value, item: object) -> None:
        """Answer `ok(item)`."""
        self._store(state, value, True, item)

    def lower_error(self, state: HostState, value: Value, item: object) -> None:
        """Answer `err(item)`."""
        self._store(state, value, False, item)


def _lower_value(codec: Codec, state: HostState, value: Value, item: object) -> None:
    try:
        codec.lower(state, value, item)
    except Misfit as misfit:
        raise misfit.inside(".value") from None
