"""Implementations that are looked up in the store of the guest that calls them.

A linker that many stores share has functions for all of them. In: a function from the data of a store to its host. Out:
a stand-in for that host, whose methods are found at the first call of each store.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

H = TypeVar("H")


def per_store(get: Callable[[Any], H]) -> H:
    """Return a stand-in for the host of each store, to be passed to the `add_to_linker` of bindings.

    `get` returns the host for the `data` of a store: see `Engine.store`. Use it with a `Linker` for `Engine.link`.
    """
    return cast(H, _Hosts(get))


class StoreMethod:
    """A method of the host of each store."""

    def __init__(self, get: Callable[[Any], object], name: str) -> None:
        self._get = get
        self._name = name

    def of(self, data: object) -> Callable[..., object]:
        """Return the method for a store with this data; raises AttributeError if its host has none."""
        method: Callable[..., object] = getattr(self._get(data), self._name)
        return method

    def __call__(self, *_: object) -> object:
        """Raise TypeError, because the host is not known here."""
        raise TypeError(f"{self._name} of `per_store` can only be called by a guest")


class _Hosts:
    """Stands for the hosts of all stores."""

    def __init__(self, get: Callable[[Any], object]) -> None:
        self._get = get

    def __getattr__(self, name: str) -> StoreMethod:
        if name.startswith("_"):  # of Python, such as those of copying; no function of WIT has such a name
            raise AttributeError(f"a stand-in of `per_store` has no attribute {name!r}")
        return StoreMethod(self._get, name)
