"""Resources that the host gave to a guest, by the numbers in the guest's handles.

In: any object with a `drop()`. Out: its *representation*, and back. One table belongs to one store.
"""

from __future__ import annotations

import itertools
from typing import Generic, Protocol, TypeVar, runtime_checkable

from ..misfits import unexpected
from .bounds import UNBOUNDED, Bounds


@runtime_checkable
class Droppable(Protocol):
    """An implementation of a resource."""

    def drop(self) -> None:
        """Release what this resource holds; called exactly once."""
        ...


T_co = TypeVar("T_co", covariant=True)


class Resource(Generic[T_co]):
    """A resource type that the host implements by objects of type `T`; `name` is that of the WIT.

    It is a constant of the bindings; each store gives it a number of its own.
    """

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"Resource({self.name!r})"


class ResourceTable:
    """The objects that one guest holds handles of, at most `limit` of them.

    A representation is never used twice.
    """

    def __init__(self, limit: int | None = None, bounds: Bounds = UNBOUNDED) -> None:
        self._limit = limit
        self._bounds = bounds
        self._objects: dict[int, Droppable] = {}
        self._numbers = itertools.count(1)

    def __len__(self) -> int:
        return len(self._objects)

    def give(self, item: Droppable) -> int:
        """Add `item`, which the guest owns from now on. Beyond the limit, raises GuestLimit and drops `item`."""
        if self._limit is not None and len(self._objects) >= self._limit:
            item.drop()
            problem = f"the guest holds {self._limit} resources, and may hold no more: let it drop what it does not use"
            raise self._bounds.exceeded("resources", problem)
        representation = next(self._numbers)
        if representation >= 1 << 32:
            raise OverflowError("a guest was given more than 4,294,967,295 resources; run it in several sessions")
        self._objects[representation] = item
        return representation

    def has(self, item: object) -> bool:
        """Whether the guest has a handle of this very object; takes longer the more objects there are."""
        return any(held is item for held in self._objects.values())

    def borrow(self, representation: int) -> Droppable:
        """Return the object for a handle that the guest keeps; raises KeyError if there is none."""
        return self._objects[representation]

    def take(self, representation: int) -> Droppable:
        """Remove the object and return it; the caller has to drop it."""
        return self._objects.pop(representation)

    def sweep(self) -> int:
        """Drop all remaining objects, the newest first, and return their number.

        Raises a group of the exceptions that the drops raised, after all of them were tried.
        """
        if not self._objects:
            return 0
        failures: list[BaseException] = []
        count = len(self._objects)
        while self._objects:
            _, item = self._objects.popitem()
            try:
                answer: object = item.drop()  # type: ignore[func-returns-value]  # it might
                if answer is not None:
                    raise unexpected(f"the drop of {type(item).__name__}", answer)
            except BaseException as failure:  # noqa: BLE001  # raised as a group below
                failures.append(failure)
        if failures:
            raise BaseExceptionGroup("dropping the remaining resources of a guest failed", failures)
        return count
