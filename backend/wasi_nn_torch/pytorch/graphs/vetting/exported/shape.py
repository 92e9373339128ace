"""Shapes of JSON values: a shape returns a copy of a value that fits it, without anything that it does not mention."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable
from typing import Any

from wasi_nn_torch.pytorch.graphs.vetting.numbers import is_int64

#: Returns a value like the given one, built from the parts that passed; raises Misfit.
Shape = Callable[[object], object]

_LONGEST = 200
#: In arrays and objects: a graph within a graph is about eight further down.
_DEEPEST = 120


class Misfit(Exception):
    """A value does not fit its shape; says what is wrong, and where inside the file."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what
        self.where: list[str] = []

    def place(self) -> str:
        """The path to the value, from the outside: "graph.nodes.3"."""
        return ".".join(reversed(self.where))


def parse(data: bytes | str) -> object:
    """The value of a JSON text; raises Misfit for other text, and for values that are nested deeply."""
    try:
        value: object = json.loads(data)
    except (ValueError, RecursionError):
        raise Misfit("it is not JSON, or is nested too deeply") from None
    _require_shallow(value)
    return value


def _require_shallow(value: object) -> None:
    """Raise Misfit for a value that is nested deeply, whatever the recursion limit is, which libraries raise."""
    level = [value]
    for _ in range(_DEEPEST):
        level = [part for each in level for part in _parts(each)]
        if not level:
            return
    raise Misfit("it is nested too deeply")


def _parts(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def anything_else(value: object) -> object:
    """Refuse every value."""
    raise _misplaced(value)


def _misplaced(value: object) -> Misfit:
    return Misfit(f"{spell(value)} is not allowed there")


def boolean(value: object) -> object:
    """Pass true and false."""
    return value if isinstance(value, bool) else anything_else(value)


def integer(low: int, high: int) -> Shape:
    """Pass integers in a range."""

    def shape(value: object) -> object:
        fits = isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
        return value if fits else anything_else(value)

    return shape


def int64(value: object) -> object:
    """Pass every integer that an operator can take; the ends of ranges are often the largest one."""
    if isinstance(value, int) and not isinstance(value, bool) and not is_int64(value):
        raise Misfit(f"{spell(value)} is not an integer of 64 bits")
    return value if isinstance(value, int) and not isinstance(value, bool) else anything_else(value)


def number(value: object) -> object:
    """Pass all finite numbers, and others in PyTorch's spelling, since JSON cannot express them."""
    if value in ("Infinity", "-Infinity", "NaN"):
        return value
    fits = isinstance(value, int | float) and abs(value) <= sys.float_info.max
    return float(value) if fits and isinstance(value, int | float) else anything_else(value)


def text(pattern: str) -> Shape:
    """Pass strings that match as a whole."""
    compiled = re.compile(pattern, re.ASCII)

    def shape(value: object) -> object:
        return value if isinstance(value, str) and compiled.fullmatch(value) else anything_else(value)

    return shape


def one_of(*choices: object) -> Shape:
    """Pass the given values, which are compared with their types: true is not 1."""

    def shape(value: object) -> object:
        known = any(type(value) is type(choice) and value == choice for choice in choices)
        return value if known else anything_else(value)

    return shape


def always(result: object) -> Shape:
    """Replace any value by `result`."""
    return lambda value: result


def absent_as(default: object, shape: Shape) -> Shape:
    """Pass a field, with a default because older versions of PyTorch do not write it."""
    return lambda value: default if value is None else shape(value)


def nullable(shape: Shape) -> Shape:
    """Pass null as well."""
    return lambda value: None if value is None else shape(value)


def listing(shape: Shape, most: int = 1 << 16) -> Shape:
    """Pass lists of values that pass."""

    def of_list(value: object) -> object:
        if not isinstance(value, list) or len(value) > most:
            return anything_else(value)
        return [_inside(shape, item, str(index)) for index, item in enumerate(value)]

    return of_list


def mapping(key: Shape, shape: Shape, most: int = 1 << 16) -> Shape:
    """Pass objects whose names and values pass."""

    def of_object(value: object) -> object:
        if not isinstance(value, dict) or len(value) > most:
            return anything_else(value)
        return {_inside(key, name, "name"): _inside(shape, item, str(name)) for name, item in value.items()}

    return of_object


def record(**fields: Shape) -> Callable[[object], dict[str, Any]]:
    """Pass objects with these fields; a missing field counts as null, and other fields are dropped."""

    def of_object(value: object) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise _misplaced(value)
        return {name: _inside(shape, value.get(name), name) for name, shape in fields.items()}

    return of_object


def union(**cases: Shape) -> Shape:
    """Pass objects with exactly one field, which must be one of these."""

    def of_case(value: object) -> object:
        if not isinstance(value, dict) or len(value) != 1:
            return anything_else(value)
        ((name, item),) = value.items()
        if name not in cases:
            raise Misfit(f"{spell(name)} is not allowed there")
        return {name: _inside(cases[name], item, name)}

    return of_case


def spell(value: object) -> str:
    """A value in backticks, on one line and of limited length."""
    said = repr(value) if isinstance(value, str | int | float | bool | None) else type(value).__name__
    return f"`{said[:_LONGEST]}…`" if len(said) > _LONGEST else f"`{said}`"


def _inside(shape: Shape, value: object, name: str) -> object:
    try:
        return shape(value)
    except Misfit as misfit:
        misfit.where.append(name[:_LONGEST])
        raise
