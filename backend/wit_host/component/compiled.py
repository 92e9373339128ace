"""A compiled component, and the ways in which its bytes cross."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import wasmtime
from wasmtime import component

from .. import capi
from ..crossing.memory_image import MemoryImage
from ..lazy import lazy
from ..rewrite import ListExport

#: The interface that a command exports.
_RUN = re.compile(r"wasi:cli/run@0\.2\.\d+$")


@dataclass(frozen=True)
class Component:
    """A compiled component, made by `Engine.compile`. It belongs to that engine; any number of its stores may run it.

    `by_address` has the imported interfaces whose `list<u8>` cross as addresses in the guest's memory, each with the
    functions whose result does too. `as_strings` has interfaces with the functions that receive bytes as strings, and
    `no_addresses` the reasons why these do not cross by address. `as_lists` has the reasons for bytes that cross as
    lists, by interface, or by `interface#function` for functions of interfaces in `as_strings`. `helpers` is the number
    of components with a memory that start before the guest, and `image` is the first content of the guest's own memory,
    unless the guest fills it itself. `list_exports` has the exported functions whose lists of numbers cross by address,
    by interface, or None for the world, and name; `added` are the names of the exports that were added for them.
    """

    name: str
    engine: wasmtime.Engine
    compiled: component.Component
    by_address: Mapping[str, frozenset[str]] = field(default_factory=dict)
    as_strings: Mapping[str, frozenset[str]] = field(default_factory=dict)
    as_lists: Mapping[str, str] = field(default_factory=dict)
    no_addresses: Mapping[str, str] = field(default_factory=dict)
    helpers: int = 0
    image: MemoryImage | None = None
    list_exports: Mapping[tuple[str | None, str], ListExport] = field(default_factory=dict)
    added: frozenset[str] = frozenset()

    @lazy
    def imports(self) -> Mapping[str, capi.Extern]:
        """The imports, by name; read once, since every store compares them with its host."""
        return capi.externs(self.compiled.type.imports(self.engine), self.engine)

    @lazy
    def exports(self) -> Mapping[str, capi.Extern]:
        """The exports, by name."""
        exports = capi.externs(self.compiled.type.exports(self.engine), self.engine)
        return {name: each for name, each in exports.items() if name not in self.added}

    @lazy
    def imports_wasi(self) -> bool:
        """Whether it imports an interface of WASI, under any name."""
        return any((each.implements or name).startswith("wasi:") for name, each in self.imports.items())

    @lazy
    def command(self) -> str | None:
        """The name of the `wasi:cli/run` that it exports, whose version differs between guests; None without one."""
        return next((export for export in self.exports if _RUN.match(export)), None)

    @property
    def transport(self) -> str:
        """The ways in which bytes cross, for people: `pointer`, or `latin-1` or `list` with the reason."""
        return ", ".join(self._transports()) or "list"

    def _transports(self) -> Iterator[str]:
        if self.by_address:
            yield "pointer"
        if self.as_strings:
            yield f"latin-1{_of(self.as_strings, self.by_address)} ({_joined(self.no_addresses.values())})"
        if self.as_lists:
            others = {**self.by_address, **self.as_strings}
            yield f"list{_of(self.as_lists, others)} ({_joined(self.as_lists.values())})"


def _of(names: Iterable[str], others: Mapping[str, object]) -> str:
    """Return the names that a way applies to, unless it applies to all."""
    return f" for {', '.join(names)}" if others else ""


def _joined(reasons: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(reasons))
