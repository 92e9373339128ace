"""A component with its imports, ready to be started in any number of stores.

In: a compiled component, and the engine's linker with its imports. Out: what the guest exports, found and compared with
the types of the bindings at most once for each function.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from wasmtime import component
from wasmtime.component import ExportIndex

from .. import capi, versions
from ..crossing.resources import Resource
from ..errors import LinkError
from .compiled import Component
from .exported import Declaration, ExportedFunction, Helpers
from .resource_identities import ComponentIdentities
from .signatures import check_signature


class LinkedComponent:
    """A component whose imports were compared and defined, by `Engine.link`; any stores of its engine may start it.

    `name` is its name in messages, `type_ids` has the engine's numbers of the host's resource types, and `offered` the
    names of the instances that the host defines. `traps` are the functions that it cannot serve, each with the reason.
    """

    def __init__(
        self,
        guest: Component,
        name: str,
        linker: component.Linker,
        identities: ComponentIdentities,
        type_ids: Mapping[Resource[object], int],
        offered: Sequence[str],
        traps: Mapping[str, str],
    ) -> None:
        self.guest = guest
        self.name = name
        self.linker = linker
        self.type_ids = type_ids
        self.offered = offered
        self.traps = traps
        self._identities = identities
        self._exported: dict[tuple[str | None, Declaration], ExportedFunction] = {}
        self._interfaces: dict[str | None, _Interface] = {None: _Interface(None, guest.exports, None)}

    def __del__(self, is_ending: Callable[[], bool] = sys.is_finalizing) -> None:
        if not is_ending():
            capi.dispose(self.linker)

    def require_interface(self, interface: str | None) -> None:
        """Raise `LinkError` if the guest does not export `interface`."""
        self._interface(interface)

    def exported(self, interface: str | None, function: Declaration) -> ExportedFunction:
        """Find an exported function; raises `LinkError` if the guest does not have it, or with another type."""
        key = (interface, function)
        found = self._exported.get(key)
        if found is None:
            found = self._exported[key] = self._find(interface, function)
        return found

    def _find(self, interface: str | None, function: Declaration) -> ExportedFunction:
        exporting = self._interface(interface)
        label = function.name if interface is None else f"{interface}#{function.name}"
        extern = exporting.exports.get(function.name)
        theirs = None if extern is None else extern.type
        found = self.guest.compiled.get_export_index(function.name, exporting.index)
        if found is None or not isinstance(theirs, capi.FunctionType):
            raise LinkError(f"{self.name} does not export {label}, which this host calls")
        text = f"{self.name} exports {label} with another type"
        check_signature(
            theirs, function.parameters, function.result, self._identities, text, is_async=function.is_async
        )
        helpers = self._helpers(exporting.name, function.name)
        return ExportedFunction(label, found, function, helpers)

    def _helpers(self, interface: str | None, function: str) -> Helpers | None:
        names = self.guest.list_exports.get((interface, function))
        if names is None:
            return None
        allocator = None if names.allocator is None else self._added(names.allocator)
        after = None if names.after is None else self._added(names.after)
        return Helpers(self._added(names.function), allocator, after, names.returns_address)

    def _added(self, name: str) -> ExportIndex:
        found = self.guest.compiled.get_export_index(name)
        if found is None:
            raise RuntimeError(f"{self.name} lost the export {name}, which the host added; please report this error")
        return found

    def _interface(self, interface: str | None) -> _Interface:
        """Return the exports of an interface, or of the world."""
        known = self._interfaces.get(interface)
        if known is not None or interface is None:
            return self._interfaces[interface]
        exports = self.guest.exports
        found = versions.find(interface, exports)
        type_ = None if found is None else exports[found].type
        if found is None or not isinstance(type_, capi.InstanceType):
            raise LinkError(f"{self.name} does not export {interface}, which this host calls")
        index = self.guest.compiled.get_export_index(found)
        known = self._interfaces[interface] = _Interface(found, type_.exports, index)
        return known


@dataclass(frozen=True)
class _Interface:
    """An interface that a guest exports, under the name that it has there, or its world, which has no name."""

    name: str | None
    exports: Mapping[str, capi.Extern]
    index: ExportIndex | None
