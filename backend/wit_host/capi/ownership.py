"""One owner for each thing of the C API's that this package has to free.

A handle that is made and freed within one host call has no owner (`read_resource`, `write_resource`): an object for it
would take about a tenth of the time of the call.
"""

from __future__ import annotations

import sys
from abc import abstractmethod
from collections.abc import Callable
from typing import Generic, Self, TypeVar

T = TypeVar("T")


class Owner(Generic[T]):
    """Owns `item` and frees it in `close`, or when the owner itself is gone.

    Closing it again does nothing. Using it after it was closed, or after `release`, raises ValueError.
    """

    __slots__ = ("_item",)

    def __init__(self, item: T) -> None:
        self._item: T | None = item

    @abstractmethod
    def _free(self, item: T) -> None:
        """Free `item`; called at most once."""

    @property
    def item(self) -> T:
        """The item, which this owner keeps."""
        if self._item is None:
            raise ValueError(f"this {type(self).__name__} is closed")
        return self._item

    def release(self) -> T:
        """Give the item to a new owner."""
        item = self.item
        self._item = None
        return item

    def close(self) -> None:
        """Free the item, if this owner still has it."""
        item, self._item = self._item, None
        if item is not None:
            self._free(item)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self, is_ending: Callable[[], bool] = sys.is_finalizing) -> None:
        # At the end of the interpreter, what it takes to free the item may be gone; the system frees it then.
        if self._item is not None and not is_ending():
            self.close()
