"""A compiled guest: what the engine made of it, and how its bytes cross."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from wasmtime import component


@dataclass(frozen=True)
class Component:
    """A compiled component, made by `Engine.compile`. It belongs to that engine; any number of its stores may run it.

    `by_address` has the imported interfaces whose `list<u8>` cross as addresses in the guest's memory, each with the
    functions whose result does too. `as_lists` has those whose bytes cross as lists, each with the reason.
    """

    name: str
    compiled: component.Component
    by_address: Mapping[str, frozenset[str]] = field(default_factory=dict)
    as_lists: Mapping[str, str] = field(default_factory=dict)

    @property
    def transport(self) -> str:
        """How bytes cross, for people: `pointer`, or `list` with the reason."""
        reasons = "; ".join(dict.fromkeys(self.as_lists.values()))
        if self.by_address:
            return f"pointer, but list for {', '.join(self.as_lists)}: {reasons}" if reasons else "pointer"
        return f"list ({reasons})" if reasons else "list"
