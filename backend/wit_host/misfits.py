"""Misfits: a value that does not fit its WIT type, or a guest's type that does not fit the host's.

A misfit is raised deep inside a value or a type; each level further out adds a step to the path, and the call at the
top converts it into an exception for people. No misfit leaves this package.
"""

from __future__ import annotations

from collections.abc import Coroutine


class Misfit(Exception):
    """Something does not fit; `kind` is the exception for people, `path` leads to the place, innermost step first."""

    def __init__(self, kind: type[Exception], text: str) -> None:
        super().__init__(text)
        self.kind = kind
        self.text = text
        self.path: list[str] = []

    def inside(self, step: str) -> Misfit:
        """Add a step to the path, and return the same misfit."""
        self.path.append(step)
        return self

    def located(self, root: str) -> str:
        """Return the path from `root`, and the problem there."""
        return f"{root}{''.join(reversed(self.path))}: {self.text}"

    def error(self, function: str, root: str) -> Exception:
        """Return the exception for a value in a call of `function`."""
        return self.kind(f"{function}: {self.located(root)}")


def wrong_type(wanted: str, item: object) -> Misfit:
    """Return the misfit for an `item` of another Python type than `wanted`."""
    return Misfit(TypeError, f"{wanted} is needed, not {type(item).__name__}")


def wrong_class(wanted: type, item: object) -> Misfit:
    """Return the misfit for an `item` of another class than `wanted`; equal names are given with their modules."""
    given = type(item)
    if wanted.__name__ != given.__name__:
        return wrong_type(wanted.__name__, item)
    return Misfit(TypeError, f"{_full_name(wanted)} is needed, not {_full_name(given)}")


def _full_name(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def unexpected(function: str, answer: object) -> TypeError:
    """Return the error for a `function` that returned something instead of None, or a coroutine, which never ran."""
    if isinstance(answer, Coroutine):
        answer.close()
        return TypeError(f"{function} is a coroutine function; guests call functions that return their result at once")
    return TypeError(
        f"{function} returned a value of type {type(answer).__name__}, but its type has no result; return nothing"
    )


def wrong_value(text: str) -> Misfit:
    """Return the misfit for a value that has the right Python type but does not fit."""
    return Misfit(ValueError, text)
