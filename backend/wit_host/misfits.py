"""What does not fit: a value for a WIT type, or a guest's type for the host's.

Raised where it is noticed, deep inside a value or a type; whoever stands outside adds a step to the path, and the call
at the top makes an exception for people of it. No misfit leaves this package.
"""

from __future__ import annotations

from collections.abc import Coroutine


class Misfit(Exception):
    """`kind` is the exception that people get; `path` leads to the place, innermost step first."""

    def __init__(self, kind: type[Exception], text: str) -> None:
        super().__init__(text)
        self.kind = kind
        self.text = text
        self.path: list[str] = []

    def inside(self, step: str) -> Misfit:
        """The same misfit, one step further out."""
        self.path.append(step)
        return self

    def located(self, root: str) -> str:
        """The path from `root`, and what is wrong there."""
        return f"{root}{''.join(reversed(self.path))}: {self.text}"

    def error(self, function: str, root: str) -> Exception:
        """The exception that says so of a value in a call of `function`."""
        return self.kind(f"{function}: {self.located(root)}")


def wrong_type(wanted: str, item: object) -> Misfit:
    """`item` is of another Python type than the one that is `wanted`."""
    return Misfit(TypeError, f"{wanted} is needed, not {type(item).__name__}")


def wrong_class(wanted: type, item: object) -> Misfit:
    """`item` is no object of the class that is `wanted`; where both have one name, the modules tell them apart."""
    given = type(item)
    if wanted.__name__ != given.__name__:
        return wrong_type(wanted.__name__, item)
    return Misfit(TypeError, f"{_full_name(wanted)} is needed, not {_full_name(given)}")


def _full_name(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def unexpected(function: str, answer: object) -> TypeError:
    """`function` returned what it should not have: something instead of nothing, or a coroutine, which never ran."""
    if isinstance(answer, Coroutine):
        answer.close()
        return TypeError(f"{function} is a coroutine function; guests call functions that return their result at once")
    return TypeError(f"{function} returned a {type(answer).__name__}, but its type has no result; return nothing")


def wrong_value(text: str) -> Misfit:
    """A value has the right Python type and does not fit all the same."""
    return Misfit(ValueError, text)
