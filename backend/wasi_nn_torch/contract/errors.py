"""What can go wrong, and who is told.

Exception
├── NnError          a guest is told: one of the nine codes of wasi-nn, and a text
└── ModelError       the operator is told: a model that cannot be used, and what to do
    └── ModelTooLarge    it is a model, but there is not enough memory for it

A text is one line that names the tensor, the numbers and what to do. What a guest reads never holds a path of the host
or a traceback; those go to the log.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

_LONGEST_NAME = 64
_MOST_NAMES = 16


class ErrorCode(Enum):
    """The `error-code` of wasi-nn; the values are spelled as WIT spells them."""

    INVALID_ARGUMENT = "invalid-argument"
    INVALID_ENCODING = "invalid-encoding"
    TIMEOUT = "timeout"
    RUNTIME_ERROR = "runtime-error"
    UNSUPPORTED_OPERATION = "unsupported-operation"
    TOO_LARGE = "too-large"
    NOT_FOUND = "not-found"
    SECURITY = "security"
    UNKNOWN = "unknown"


class NnError(Exception):
    """Reaches the guest as an `error` resource (`errors.error`): `code` and `text` are all that it sees."""

    def __init__(self, code: ErrorCode, text: str) -> None:
        super().__init__(f"{code.value}: {text}")
        self.code = code
        self.text = text


class ModelError(Exception):
    """A model that the operator or a guest offers cannot be used; the text says which one, why, and what to do."""


class ModelTooLarge(ModelError):
    """The memory of the device or of the host does not hold the model."""


def quote(name: str) -> str:
    """Return a guest's string in backticks: on one line and never long, whatever the guest wrote."""
    return f"`{printable(name, _LONGEST_NAME)}`"


def printable(text: str, longest: int | None = None) -> str:
    """Return a text with every unprintable character replaced, cut after `longest` characters and "…" added."""
    shown = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text[:longest])
    return shown if len(shown) == len(text) else f"{shown}…"


def quote_all(names: Iterable[str]) -> str:
    """Return names as one bounded list for an error text: "`a`, `b`", or "none"."""
    every = list(names)
    listed = ", ".join(quote(name) for name in every[:_MOST_NAMES])
    rest = len(every) - _MOST_NAMES
    return (f"{listed} and {rest} more" if rest > 0 else listed) or "none"


def why_unreadable(error: OSError, wanted: str) -> str:
    """Return, for the operator, why a file could not be read and what to do; `wanted` is what to name in a folder."""
    if isinstance(error, FileNotFoundError):
        return "does not exist; check the path"
    if isinstance(error, IsADirectoryError):
        return f"is a directory; name {wanted}"
    return f"cannot be read ({error.strerror}); check its permissions"
