"""The one error of this package, and how it is shown.

In: a span, a message, perhaps a hint. Out: `WitError`, whose text is

    wit/shapes.wit:5:20: error: type `colour` is not defined
      5 |     paint: func(c: colour);
        |                    ^^^^^^ did you mean `color`?

`parse` and `resolve` raise nothing else for anything that is wrong with the text or the files they are given.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from witgen.syntax import Span

WIDEST = 120  # columns of a source line that are shown
LONGEST = 400  # characters of a message; a name in it may be of any length


class WitError(Exception):
    """Something in WIT text, or around it, that cannot be accepted.

    `message` is one lower-case sentence; `hint` says what to do; `source_line` is the text of line `line`, once known.
    """

    def __init__(self, message: str, span: Span, hint: str | None = None, source_line: str | None = None) -> None:
        super().__init__(message, span, hint, source_line)
        self.message = clipped(message, LONGEST)
        self.span = span
        self.hint = hint
        self.source_line = source_line

    @property
    def file(self) -> str:
        """The file, as the caller named it."""
        return self.span.file

    @property
    def line(self) -> int:
        """The line, from 1."""
        return self.span.line

    @property
    def column(self) -> int:
        """The column in characters, from 1."""
        return self.span.column

    def in_text(self, text: str | bytes) -> WitError:
        """The same error, with the line of `text` that it is about."""
        if isinstance(text, bytes):
            text = text.decode("utf-8", "replace")
        lines = text.removeprefix("\ufeff").replace("\r\n", "\n").split("\n")
        line = lines[self.line - 1] if self.line <= len(lines) else None
        return WitError(self.message, self.span, self.hint, line)

    def __str__(self) -> str:
        heading = f"{self.file}:{self.line}:{self.column}: error: {self.message}"
        if not self.source_line:
            return heading + (f"\n  {self.hint}" if self.hint else "")
        source, offset, width = _window(self.source_line, self.span)
        number = str(self.line)
        carets = " " * offset + "^" * width + (f" {self.hint}" if self.hint else "")
        return f"{heading}\n  {number} | {source}\n  {' ' * len(number)} | {carets}"


def whole_file(file: str) -> Span:
    """The place to name where a file as a whole is at fault: its first character."""
    return Span(file, 1, 1, 1, 1)


def clipped(text: str, most: int = 60) -> str:
    """The text, or its beginning if it is too long for a message."""
    return text if len(text) <= most else text[: most - 1] + "…"


def did_you_mean(name: str, known: Iterable[str]) -> str | None:
    """A hint with the known name that is nearest to `name`, if one is near."""
    near = get_close_matches(name, sorted(known), n=1)
    return f"did you mean `{near[0]}`?" if near else None


def _window(line: str, span: Span) -> tuple[str, int, int]:
    """The part of a line to show, the column of the caret in it, and how many carets stay inside it."""
    start = min(span.column - 1, len(line))
    end = span.end_column - 1 if span.end_line == span.line else len(line)
    width = max(1, min(end, len(line)) - start)
    left = 0 if len(line) <= WIDEST else max(0, min(start - WIDEST // 3, len(line) - WIDEST))
    shown = line[left : left + WIDEST]
    if left:
        shown = "…" + shown[1:]
    if left + WIDEST < len(line):
        shown = shown[:-1] + "…"
    return _printable(shown), start - left, min(width, max(1, WIDEST - (start - left)))


def _printable(line: str) -> str:
    """The line with one visible column for each character, so that a caret below finds its place."""
    return "".join(character if character.isprintable() else " " if character == "\t" else "�" for character in line)
