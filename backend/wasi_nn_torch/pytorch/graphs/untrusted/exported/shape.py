"""Which JSON values pass, said by their shape; what passes is built anew, with nothing that was not asked for."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from typing import Any

from wasi_nn_torch.pytorch.graphs.untrusted.numbers import is_int64

#: Returns a value like the given one, made of what passed; raises Misfit.
Shape = Callable[[object], object]

_LONGEST = 200


class Misfit(Exception):
    """A value is not what it must be: what is wrong, and where inside the file."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what
        self.where: list[str] = []

    def place(self) -> str:
        """Return the way to the value, from the outside: "graph.nodes.3"."""
        return ".".join(reversed(self.where))


def parse(data: bytes | str) -> object:
    """Return the value of a JSON text, however deep: shapes bound that. Raises Misfit if it is none."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise Misfit("it is no JSON, or nested too deeply") from None


def anything_else(value: object) -> object:
    """Refuse."""
    raise _misplaced(value)


def _misplaced(value: object) -> Misfit:
    return Misfit(f"{spell(value)} does not stand there")


def boolean(value: object) -> object:
    """Pass true and false."""
    return value if isinstance(value, bool) else anything_else(value)


def integer(low: int, high: int) -> Shape:
    """Pass whole numbers in a range."""

    def shape(value: object) -> object:
        fits = isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
        return value if fits else anything_else(value)

    return shape


def int64(value: object) -> object:
    """Pass every integer that an operator can be given; the ends of a range are often the largest one."""
    if isinstance(value, int) and not isinstance(value, bool) and not is_int64(value):
        raise Misfit(f"{spell(value)} is not an integer of 64 bits")
    return value if isinstance(value, int) and not isinstance(value, bool) else anything_else(value)


def number(value: object) -> object:
    """Pass every finite number, and those that JSON cannot write as PyTorch spells them."""
    if value in ("Infinity", "-Infinity", "NaN"):
        return value
    fits = isinstance(value, int | float) and abs(value) <= sys.float_info.max
    return float(value) if fits and isinstance(value, int | float) else anything_else(value)


def text(pattern: str) -> Shape:
    """Pass texts that match as a whole."""
    compiled = re.compile(pattern, re.ASCII)

    def shape(value: object) -> object:
        return value if isinstance(value, str) and compiled.fullmatch(value) else anything_else(value)

    return shape


def one_of(*choices: object) -> Shape:
    """Pass a few values, told by type as well: true is not 1."""

    def shape(value: object) -> object:
        known = any(type(value) is type(choice) and value == choice for choice in choices)
        return value if known else anything_else(value)

    return shape


def always(result: object) -> Shape:
    """Put `result` in the place of whatever there is."""
    return lambda value: result


def absent_as(default: object, shape: Shape) -> Shape:
    """Pass a field that older versions of PyTorch do not write."""
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
    """Pass objects with these fields; a field that is not there counts as null, others are left out."""

    def of_object(value: object) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise _misplaced(value)
        return {name: _inside(shape, value.get(name), name) for name, shape in fields.items()}

    return of_object


def union(**cases: Shape) -> Shape:
    """Pass objects with one field, which is one of these."""

    def of_case(value: object) -> object:
        if not isinstance(value, dict) or len(value) != 1:
            return anything_else(value)
        ((name, item),) = value.items()
        if name not in cases:
            raise Misfit(f"{spell(name)} does not stand there")
        return {name: _inside(cases[name], item, name)}

    return of_case


def spell(value: object) -> str:
    """Return a value in backticks, on one line and never long."""
    said = repr(value) if isinstance(value, str | int | float | bool | None) else type(value).__name__
    return f"`{said[:_LONGEST]}…`" if len(said) > _LONGEST else f"`{said}`"


def _inside(shape: Shape, value: object, name: str) -> object:
    try:
        return shape(value)
    except Misfit as misfit:
        misfit.where.append(name[:_LONGEST])
        raise
