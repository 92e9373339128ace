"""The bounds of one guest, and the counts that are compared with them.

A message about a bound names it, and ends with `advice`, which says how to raise it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

from ..errors import GuestLimit


def _advice(name: str) -> str:
    """Return the advice for a host that passes bounds by their names."""
    return f"raise the limit `{name}`"


@dataclass(frozen=True)
class Bounds:
    """The most that one guest may have, apart from its memory, time and resources; None means no bound.

    `memories`, `tables` and `instances` are numbers, each for the whole guest; `table_elements` is for each table.
    `output` is in bytes, for the standard output and the standard error together. `fuel` is for each call, about one
    unit for each instruction that the guest executes; the engine has to count it (`Engine(fuel=True)`). `elements` and
    `text` are for the arguments of one call: the number of elements of all lists, and the bytes of all strings. They
    are checked before Python objects are made of them; a `list<u8>` that is not rewritten has no elements in this
    sense.

    `advice` returns the end of a message about a bound, given the name of the bound.
    """

    memories: int | None = None
    tables: int | None = None
    table_elements: int | None = None
    instances: int | None = None
    output: int | None = None
    fuel: int | None = None
    elements: int = sys.maxsize
    text: int = sys.maxsize
    advice: Callable[[str], str] = _advice

    def exceeded(self, name: str, problem: str) -> GuestLimit:
        """Return the trap for a guest that goes beyond the bound `name`."""
        return GuestLimit(f"{problem}; {self.advice(name)}", name)


#: No bounds.
UNBOUNDED = Bounds()


class MemoryBudget:
    """The bytes of all memories of one guest together, of which it may have `most`; None means no bound."""

    def __init__(self, most: int | None = None, bounds: Bounds = UNBOUNDED) -> None:
        self.most = most
        self.used = 0
        #: The reason why memory could not grow the last time; empty if it always could.
        self.refusal = ""
        #: Called with the reason whenever memory cannot grow.
        self.on_refusal: Callable[[str], None] | None = None
        self._bounds = bounds

    def take(self, size: int) -> bool:
        """Count `size` more bytes; return whether there was room for them."""
        if self.most is not None and self.used + size > self.most:
            return False
        self.used += size
        return True

    def give_back(self, size: int) -> None:
        """Stop counting `size` bytes."""
        self.used -= size

    def refuse_growth(self, size: int) -> None:
        """Remember that a memory could not grow by `size` bytes, which the guest is only told by a number."""
        self.refusal = f"its memory could not grow by {_spell(size)}: {self._rest()}"
        if self.on_refusal is not None:
            self.on_refusal(self.refusal)

    def exceeded(self, minimum: int) -> GuestLimit:
        """Return the trap for a guest whose next memory begins with `minimum` bytes."""
        text = f"a memory of the guest begins with {_spell(minimum)}, which is more than it may have: {self._rest()}"
        return GuestLimit(text, "memory")

    def _rest(self) -> str:
        limit = "none" if self.most is None else _spell(self.most)
        return f"the guest's memories already take {_spell(self.used)} (limit {limit}); {self._bounds.advice('memory')}"


def _spell(size: int) -> str:
    for name, unit in (("MiB", 1 << 20), ("KiB", 1 << 10)):
        if size >= unit:
            return f"{size / unit:g} {name}"
    return f"{size} B"
