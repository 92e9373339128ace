"""The one error of this package.

In: a span, a message, and in most cases a hint. Out: `WitError`, whose text is

    wit/shapes.wit:5:20: error: type `colour` is not defined
      5 |     paint: func(c: colour);
        |                    ^^^^^^ did you mean `color`?

`parse` and `resolver` raise nothing else for faults in the text or the files that they are given. Several
independent faults are gathered in `Errors` and raised as one `WitError`: the first in the text, which carries the
others.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from itertools import islice
from operator import itemgetter

from witgen.show import shown
from witgen.syntax import Span

MOST = 20  # errors that are reported together
LONGEST_NAME_TO_COMPARE, MOST_NAMES_TO_COMPARE = 60, 1000


class WitError(Exception):
    """A fault in WIT text, or in the files that it is in.

    `message` is one lower-case sentence; `hint` says what to do; `source_line` is the text of line `line`, once known.
    `others` are further errors, which come later in the text; if `is_cut`, there may be more of them.
    """

    def __init__(
        self,
        message: str,
        span: Span,
        hint: str | None = None,
        source_line: str | None = None,
        others: tuple[WitError, ...] = (),
        is_cut: bool = False,
    ) -> None:
        super().__init__(message, span, hint, source_line, others, is_cut)
        self.message = _readable(message)
        self.span = span
        self.hint = _readable(hint) if hint else None
        self.source_line = source_line
        self.others = others
        self.is_cut = is_cut

    @property
    def file(self) -> str:
        """The file, as the caller named it."""
        return self.span.file

    @property
    def line(self) -> int:
        """The line, from 1; 0 in a binary file."""
        return self.span.line

    @property
    def column(self) -> int:
        """The column in characters, from 1; in a binary file the offset of a byte, from 0."""
        return self.span.column

    def in_text(self, text: str | bytes) -> WitError:
        """The same error, with the line of `text` that it is about."""
        return self.in_texts({self.file: text})

    def in_texts(self, texts: Mapping[str, str | bytes]) -> WitError:
        """The same error and the others, each with its line of the file it is in; files that are missing are fine."""
        lines = {file: _lines(texts[file]) for file in {error.file for error in (self, *self.others)} & texts.keys()}

        def with_line(error: WitError, others: tuple[WitError, ...] = ()) -> WitError:
            of_file = lines.get(error.file, [])
            line = of_file[error.line - 1] if 0 < error.line <= len(of_file) else error.source_line
            return WitError(error.message, error.span, error.hint, line, others, error.is_cut)

        return with_line(self, tuple(map(with_line, self.others)))

    def __str__(self) -> str:
        return self.shown()

    def shown(self, *, colour: bool = False) -> str:
        """This error and the others, each with its source line, and how many they are."""
        every = [shown(error.span, error.message, error.hint, error.source_line, colour) for error in self._all()]
        if self.others:
            every.append(f"{len(every)} errors" + (", and perhaps more" if self.is_cut else ""))
        return "\n\n".join(every)

    def _all(self) -> tuple[WitError, ...]:
        return (self, *self.others)


class Errors:
    """Gathers independent errors: one for each place, the first that was found there.

    They are raised as soon as there are `most` of them.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._found: dict[tuple[str, int, int], WitError] = {}

    def add(self, error: WitError) -> None:
        """Keep an error and those that it carries; raises them all as soon as there are `most`."""
        for one in error._all():
            self._found.setdefault((one.file, one.line, one.column), one)
        if self._enough():
            self.check()

    @contextmanager
    def caught(self) -> Iterator[None]:
        """Keep the error that the body raises, and go on after the body."""
        try:
            yield
        except WitError as error:
            if self._enough():
                raise
            self.add(error)

    def check(self) -> None:
        """Raise everything that was found, if anything was."""
        if self._found:
            raise self.together()

    def together(self) -> WitError:
        """The errors as one; there has to be at least one."""
        first, *others = (
            WitError(error.message, error.span, error.hint, error.source_line)
            for _, error in sorted(self._found.items(), key=itemgetter(0))[: self._most]
        )
        first.others, first.is_cut = tuple(others), self._enough()
        return first

    def __len__(self) -> int:
        return len(self._found)

    def _enough(self) -> bool:
        return len(self._found) >= self._most


def whole_file(file: str) -> Span:
    """The place of an error that concerns a file as a whole: its first character."""
    return Span(file, 1, 1, 1, 1)


def clipped(text: str, most: int = 60) -> str:
    """The text, or its beginning if it is too long for a message."""
    return text if len(text) <= most else text[: most - 1] + "…"


def did_you_mean(name: str, known: Iterable[str]) -> str | None:
    """A hint with the known name that is nearest to `name`, if one is near."""
    near = nearest(name, known)
    return f"did you mean `{near}`?" if near else None


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that is nearest to `name`, if one is near.

    Comparing takes time, so names of absurd length, and all after the first thousand, are ignored.
    """
    if len(name) > LONGEST_NAME_TO_COMPARE:
        return None
    comparable = (other for other in known if len(other) <= LONGEST_NAME_TO_COMPARE)
    near = get_close_matches(name, sorted(islice(comparable, MOST_NAMES_TO_COMPARE)), n=1)
    return near[0] if near else None


def _readable(message: str) -> str:
    """The message with the names in it clipped, since they can have any length."""
    return re.sub("`[^`]+`", lambda name: f"`{clipped(name[0][1:-1], 100)}`", message)


def _lines(text: str | bytes) -> list[str]:
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    return text.removeprefix("\ufeff").replace("\r\n", "\n").split("\n")
