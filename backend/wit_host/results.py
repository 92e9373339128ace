"""Values that Python has no word of its own for: the sides of a nested `result`, and what a nested `option` holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Ok(Generic[T]):
    """The `ok` side of a `result` inside another type; `value` is None where that side has no type."""

    value: T


@dataclass(frozen=True, slots=True)
class Err(Generic[T]):
    """The `err` side of a `result` inside another type; `value` is None where that side has no type."""

    value: T


@dataclass(frozen=True, slots=True)
class Some(Generic[T]):
    """What is there, where an `option` holds another `option`."""

    value: T
