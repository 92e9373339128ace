"""Text from guests, files and libraries, made safe to show: on one line, bounded, and all of it printable."""

from __future__ import annotations

from collections.abc import Iterable

_LONGEST_NAME = 64
_MOST_NAMES = 16


def quote(name: str) -> str:
    """A string in backticks: on one line and short, whatever a guest wrote."""
    return f"`{printable(name, _LONGEST_NAME)}`"


def quote_all(names: Iterable[str]) -> str:
    """Names as one bounded list for an error text: "`a`, `b`", or "none"."""
    every = list(names)
    listed = ", ".join(quote(name) for name in every[:_MOST_NAMES])
    rest = len(every) - _MOST_NAMES
    return (f"{listed} and {rest} more" if rest > 0 else listed) or "none"


def printable(text: str, longest: int | None = None) -> str:
    """A text with unprintable characters replaced; if it is longer than `longest` characters, cut, and "…" added."""
    if text.isprintable() and (longest is None or len(text) <= longest):  # the usual case
        return text
    shown = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text[:longest])
    return shown if len(shown) == len(text) else f"{shown}…"


def one_line(text: object, longest: int | None = 300) -> str:
    """A text, or the text of an exception, on one line: whitespace folded, and otherwise as `printable` returns it."""
    return printable(" ".join(str(text).split()), longest)
