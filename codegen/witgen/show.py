"""How an error looks.

In: its place, its message, and the line that it is about. Out: text, with colours for a terminal if they are wanted;
and whether they are wanted.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TextIO
from unicodedata import combining, east_asian_width

from witgen.syntax import Span

WIDEST = 120  # columns of a source line that are shown

_BOLD, _RED, _GREEN, _CYAN, _PLAIN = "\033[1m", "\033[1;31m", "\033[1;32m", "\033[36m", "\033[0m"


def shown(span: Span, message: str, hint: str | None, source_line: str | None, colour: bool) -> str:
    """The error in two or three lines: the message, and below it the source with a caret and the hint."""

    def paint(style: str, text: str) -> str:
        return f"{style}{text}{_PLAIN}" if colour and text else text

    place = paint(_BOLD, f"{_printable(str(span))}:")
    heading = f"{place} {paint(_RED, 'error:')} {paint(_BOLD, _printable(message))}"
    advice = paint(_CYAN, _printable(hint or ""))
    if not source_line:
        return f"{heading}\n  {advice}" if advice else heading
    source, offset, width = _window(source_line, span)
    number = str(span.line)
    before, below = source[:offset], source[offset : offset + width]
    carets = " " * _columns(before) + paint(_GREEN, "^" * max(1, _columns(below))) + (f" {advice}" if advice else "")
    return f"{heading}\n  {number} | {source}\n  {' ' * len(number)} | {carets}"


def wants_colour(stream: TextIO, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether to colour output to `stream`: on a terminal, unless `NO_COLOR` or `FORCE_COLOR` say otherwise."""
    if environment.get("NO_COLOR"):
        return False
    if environment.get("FORCE_COLOR"):
        return True
    return stream.isatty() and environment.get("TERM") != "dumb"


def _window(line: str, span: Span) -> tuple[str, int, int]:
    """The part of a line to show, the position of the fault in it, and how many characters of it are inside."""
    start = min(span.column - 1, len(line))
    end = span.end_column - 1 if span.end_line == span.line else len(line)
    width = max(1, min(end, len(line)) - start)
    left = 0 if len(line) <= WIDEST else max(0, min(start - WIDEST // 3, len(line) - WIDEST))
    window = line[left : left + WIDEST]
    if left:
        window = "…" + window[1:]
    if left + WIDEST < len(line):
        window = window[:-1] + "…"
    return _printable(window), start - left, min(width, max(1, WIDEST - (start - left)))


def _columns(text: str) -> int:
    """The columns that a terminal has for some text: two for each wide character, none for an accent by itself."""
    return sum(0 if combining(each) else 2 if east_asian_width(each) in "WF" else 1 for each in text)


def _printable(line: str) -> str:
    """The line without what moves the cursor, so that the caret below is at its place."""
    return "".join(character if character.isprintable() else " " if character == "\t" else "�" for character in line)
