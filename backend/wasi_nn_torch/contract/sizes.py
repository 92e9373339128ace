"""Sizes in bytes as people write and read them: `512MiB`, `1.5GB`."""

from __future__ import annotations

import re
from fractions import Fraction

from wasi_nn_torch.contract.arguments import require_whole

_UNITS: dict[str, int] = {
    "": 1,
    "b": 1,
    **{f"{letter}b": 1000**power for power, letter in enumerate("kmgt", start=1)},
    **{f"{letter}ib": 1024**power for power, letter in enumerate("kmgt", start=1)},
}
_SIZE = re.compile(r"(?P<number>[0-9]{1,15}(?:\.[0-9]{1,15})?) ?(?P<unit>[A-Za-z]*)", re.ASCII)


def parse_size(text: str) -> int:
    """The bytes that a text stands for: a number, with or without a unit.

    `MiB` and the like are powers of 1024, `MB` and the like powers of 1000, in upper or lower case. Raises ValueError
    for anything else, and for a fraction of a byte.
    """
    match = _SIZE.fullmatch(text.strip())
    unit = None if match is None else _UNITS.get(match["unit"].lower())
    if match is None or unit is None:
        raise ValueError(
            f"`{text}` is not a size; give bytes, or a number with one of the units kB, MB, GB, TB, KiB, MiB, GiB, TiB"
        )
    size = Fraction(match["number"]) * unit
    if size.denominator != 1:
        raise ValueError(f"`{text}` is not a whole number of bytes")
    return size.numerator


def require_amount(name: str, amount: int | None) -> None:
    """Raise ValueError unless `amount`, which error texts call `name`, is 0 or more, or None.

    Raises TypeError if it is not a whole number.
    """
    if amount is not None and require_whole(name, amount, "a whole number, or None for no limit") < 0:
        raise ValueError(f"{name} is {amount}; give a whole number of at least 0, or None for no limit")


def spell_size(size: int) -> str:
    """A size in the largest unit that fits: `18.8 MB`, or `512 B`."""
    for name, unit in (("TB", 1000**4), ("GB", 1000**3), ("MB", 1000**2), ("kB", 1000)):
        if size >= unit:
            return f"{size / unit:,.1f} {name}"
    return f"{size} B"


def spell_binary_size(size: int) -> str:
    """A size in the largest unit of which it is a multiple: `64 MiB`, or `1,000 B`."""
    for name, unit in (("TiB", 1024**4), ("GiB", 1024**3), ("MiB", 1024**2), ("KiB", 1024)):
        if size >= unit and size % unit == 0:
            return f"{size // unit:,} {name}"
    return f"{size:,} B"
