"""Durations as people write and read them: `2s`, `500ms`, `1.5min`."""

from __future__ import annotations

import re
from fractions import Fraction

from wasi_nn_torch.contract.arguments import require_number

_UNITS: dict[str, Fraction] = {
    "": Fraction(1),
    "ms": Fraction(1, 1000),
    "s": Fraction(1),
    "min": Fraction(60),
    "h": Fraction(3600),
}
_DURATION = re.compile(r"(?P<number>[0-9]{1,15}(?:\.[0-9]{1,15})?) ?(?P<unit>[A-Za-z]*)", re.ASCII)
#: In seconds; clocks and timers of the system support no more than a few hundred years.
_LEAST, _MOST = 0.001, 1e9


def parse_duration(text: str) -> float:
    """The seconds that a text stands for: a number, with or without one of the units ms, s, min, h in any case.

    Raises ValueError for anything else, for less than a millisecond and for more than 10⁹ seconds.
    """
    match = _DURATION.fullmatch(text.strip())
    unit = None if match is None else _UNITS.get(match["unit"].lower())
    if match is None or unit is None:
        raise ValueError(
            f"`{text}` is not a duration; give seconds, or a number with one of the units ms, s, min, h, such as 1.5s"
        )
    seconds = float(Fraction(match["number"]) * unit)
    if not _LEAST <= seconds <= _MOST:
        raise ValueError(f"the duration `{text}` is out of range; give at least 1ms and at most 277777h")
    return seconds


def require_duration(name: str, seconds: float | None) -> None:
    """Raise ValueError unless `seconds`, which error texts call `name`, is a duration within range, or None.

    NaN and infinity are refused too. Raises TypeError if it is not a number.
    """
    if seconds is not None and not 0 < require_number(name, seconds, "seconds, or None for no limit") <= _MOST:
        raise ValueError(
            f"{name} is {seconds!r}; give seconds, more than 0 and at most {_MOST:g}, or None for no limit"
        )
