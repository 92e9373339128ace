"""Locks in the child of a fork: one that another thread of the parent held would stay locked there for ever."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable

#: The owners that still exist, each with the name of its lock, and what makes a new one.
_renewed: dict[tuple[int, str], tuple[weakref.ref[object], Callable[[], object]]] = {}


def renew_in_child(owner: object, name: str, make: Callable[[], object]) -> None:
    """Replace the attribute `name` of `owner` by what `make` makes in the child of each fork."""
    key = id(owner), name
    _renewed[key] = weakref.ref(owner, lambda _: _renewed.pop(key, None)), make


def _after_fork() -> None:
    for (_, name), (reference, make) in list(_renewed.items()):
        owner = reference()
        if owner is not None:
            object.__setattr__(owner, name, make())  # also of a frozen dataclass


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
