"""Values without a counterpart in Python: the sides of a nested `result`, and the content of a nested `option`.

They have no slots, because in Python 3.11 `Ok[int](1)` fails if the class has them and is frozen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Ok(Generic[T]):
    """The `ok` side of a `result` inside another type; `value` is None if that side has no type."""

    value: T


@dataclass(frozen=True)
class Err(Generic[T]):
    """The `err` side of a `result` inside another type; `value` is None if that side has no type."""

    value: T


@dataclass(frozen=True)
class Some(Generic[T]):
    """The content of an `option` of another `option`."""

    value: T
