"""Properties that are computed once, without the lock that those of Python 3.11 share.

A thread that computes such a property would leave that lock locked for ever in the child of a process that forks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, Self, TypeVar, cast, overload

T = TypeVar("T")


class lazy(Generic[T]):  # it is used like `property`
    """A property whose first value stays; threads that ask for it at the same time may compute it several times."""

    def __init__(self, compute: Callable[[Any], T]) -> None:
        self._compute = compute
        self._name = compute.__name__
        self.__doc__ = compute.__doc__

    @overload
    def __get__(self, item: None, owner: type) -> Self: ...

    @overload
    def __get__(self, item: object, owner: type) -> T: ...

    def __get__(self, item: object | None, owner: type) -> Self | T:
        """Compute the value, which hides this property from then on."""
        if item is None:
            return self
        return cast("T", item.__dict__.setdefault(self._name, self._compute(item)))
