"""Parsers for the values of the configuration of `serve`, which are those of TOML, or text from the command line.

Each raises ValueError for a value that it does not take.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Final, TypeVar

from wasi_nn_torch.contract.policy import GuestModels
from wasi_nn_torch.contract.sizes import parse_size
from wasi_nn_torch.contract.text import quote_all
from wasi_nn_torch.http.logs import LogFormat
from wasi_nn_torch.http.settings import Reuse
from wasi_nn_torch.sessions.durations import parse_duration

E = TypeVar("E", bound=Enum)

#: The word that lifts a limit, and its value.
_NONE = "none"
LIFTED: Final = object()


def text(value: object) -> str:
    """A string."""
    if not isinstance(value, str) or not value:
        raise ValueError(f"`{value}` is not a text")
    return value


def count(value: object) -> int:
    """A whole number of at least 0."""
    if isinstance(value, str) and value.isascii() and value.isdigit():
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"`{value}` is not a whole number of at least 0")
    return value


def size(value: object) -> int:
    """Bytes, as a number or with a unit."""
    return parse_size(value) if isinstance(value, str) else count(value)


def duration(value: object) -> float:
    """Seconds, as a number or with a unit."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"`{value}` is not a duration; give seconds, or a text such as 500ms")
    return parse_duration(value if isinstance(value, str) else format(value, ".15g"))


def flag(value: object) -> bool:
    """True or false; on the command line `yes` or `no`, as for options of models."""
    if value in ("yes", "no"):
        return value == "yes"
    if not isinstance(value, bool):
        raise ValueError(f"`{value}` is neither true nor false")
    return value


def names(value: object) -> tuple[str, ...]:
    """A list of names, or a text in which `+` separates them."""
    every = value.split("+") if isinstance(value, str) and value else value
    if not isinstance(every, list | tuple) or not all(isinstance(name, str) and name for name in every):
        raise ValueError(f"`{value}` is not a list of names")
    return tuple(every)


def texts(value: object) -> dict[str, str]:
    """A table of texts."""
    if not isinstance(value, dict) or not all(isinstance(each, str) for each in value.values()):
        raise ValueError(f"`{value}` is not a table of texts")
    return dict(value)


def reuse(value: object) -> Reuse:
    """Whether instances are used again."""
    return _choice(Reuse, value)


def guest_models(value: object) -> GuestModels:
    """Which models pipelines may supply."""
    return _choice(GuestModels, value)


def log_format(value: object) -> LogFormat:
    """How the log is written."""
    return _choice(LogFormat, value)


def or_none(parse: Callable[[object], object]) -> Callable[[object], object]:
    """A parser that also takes the word that lifts a limit."""

    def parsed(value: object) -> object:
        return LIFTED if value == _NONE else parse(value)

    return parsed


def _choice(kind: type[E], value: object) -> E:
    known = [each.value for each in kind]
    if value not in known:
        raise ValueError(f"`{value}` is not one of {quote_all(known)}")
    return kind(value)
