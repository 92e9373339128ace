"""The imports of a component, which it gets after their types were compared.

In: the definitions of a host and a component. Out: a linked component, whose linker has all imports under the names
that the component uses. The engine itself accepts host functions of any type, and would confuse values.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches

from wasmtime import component
from wasmtime.component import LinkerInstance, ResourceType

from .. import capi, versions
from ..crossing.resources import Resource
from ..crossing.transport import Crossing
from ..errors import LinkError
from ..values import ByteList
from ..values.placed import begins_with_bytes
from .compiled import Component
from .host_functions import BridgedFunction, HostFunction, PlacedFunction, ResourceDefinition, StringFunction
from .linked import LinkedComponent
from .linker import FunctionDefinition, InstanceLinker, Linker
from .resource_identities import ComponentIdentities
from .signatures import Answer, check_signature

_Items = Mapping[str, capi.Extern]


def link(host: Linker, guest: Component, name: str) -> LinkedComponent:
    """Link `guest`, whose name in messages is `name`; raises `LinkError` if its imports do not fit the definitions."""
    identities = ComponentIdentities()
    _require_wasi(host, guest, name)
    scopes = _scopes(host, guest)
    for scope in scopes:
        scope.find_resources(identities, name)
    for scope in scopes:
        scope.check_functions(identities, name)
    type_ids: dict[Resource[object], int] = {}
    linker = component.Linker(guest.engine)
    if host.has_wasi:
        linker.add_wasip2()
    linker.allow_shadowing = True
    with capi.Disposing(linker.root()) as root:
        for scope in scopes:
            scope.define(root, type_ids)
    traps = {label: reason for scope in scopes for label, reason in scope.traps().items()}
    if traps:
        _require_rest(host, guest, scopes, name)
        linker.define_unknown_imports_as_traps(guest.compiled)
    return LinkedComponent(guest, name, linker, identities, type_ids, tuple(host.instances), traps)


def _require_rest(host: Linker, guest: Component, scopes: Iterable[_Scope], name: str) -> None:
    """Raise `LinkError` for an import that nobody defines, which the engine would let trap as well."""
    defined = {imported for scope in scopes for imported in scope.names()}
    for imported in guest.imports:
        if imported not in defined and not (host.has_wasi and _WASI_0_2.match(imported)):
            hint = missing_hint(imported, host.instances)
            raise LinkError(f"{name} imports {imported}, which this host does not provide{hint}")


def _require_wasi(host: Linker, guest: Component, name: str) -> None:
    """Raise `LinkError` if WASI is missing; the engine's report would only name one of its resources."""
    for imported in guest.imports:
        if _WASI.match(imported) and not host.has_wasi and versions.find(imported, host.instances) is None:
            raise LinkError(
                f"{name} imports {imported}, which belongs to WASI; call `linker.add_wasi()` to offer WASI to it"
            )


#: The interfaces of WASI that the engine implements.
_WASI = re.compile(r"wasi:(cli|clocks|filesystem|io|random|sockets)/")
_WASI_0_2 = re.compile(rf"{_WASI.pattern}[^@]+@0\.2\.")


def missing_hint(name: str, offered: Iterable[str]) -> str:
    """Return a hint for a message about the unknown `name`: a similar name that is offered, or how to do without."""
    if name.startswith("wasi:http/"):
        return (
            "; offer it by `wasi_host.add_to_linker`, or build the guest without HTTP, with componentize-js by "
            "`--disable http fetch-event`"
        )
    near = get_close_matches(name, set(offered) - {name}, n=1, cutoff=0.8)
    return f"; it provides {near[0]}" if near else ""


class _Scope:
    """The imports of a guest from one instance of the host, or from the world; `imported` is the guest's name for it.

    The ways in which its bytes cross were chosen when `guest` was compiled.
    """

    def __init__(self, imported: str | None, items: _Items, ours: InstanceLinker, guest: Component) -> None:
        self.imported = imported
        self.items = items
        self.ours = ours
        self._guest = guest
        self._by_address = imported in guest.by_address
        self._bridged = guest.by_address.get(imported or "", frozenset())
        self._as_strings = guest.as_strings.get(imported or "", frozenset())

    def find_resources(self, identities: ComponentIdentities, guest: str) -> None:
        for name, extern in self.items.items():
            theirs = extern.type
            ours = self.ours.resources.get(name)
            if isinstance(theirs, ResourceType):
                if ours is not None:
                    identities.add_host(ours, theirs)
                elif not identities.is_imported(theirs):  # `use` repeats in one interface what another one defines
                    raise self._missing_resource(name, theirs, guest)

    def check_functions(self, identities: ComponentIdentities, guest: str) -> None:
        for name, extern in self.items.items():
            theirs = extern.type
            if isinstance(theirs, capi.InstanceType):
                raise self._missing(name, guest)
            if isinstance(theirs, capi.FunctionType) and name not in self.ours.traps:
                ours = self.ours.functions.get(name)
                if ours is None:
                    raise self._missing(name, guest)
                text = f"{guest} imports {self._label(name)} with another type"
                answer = Answer.VALUE
                if self._is_bridged(name, ours):
                    answer = Answer.ADDRESS
                elif self._is_placed(name, ours):
                    answer = Answer.PLACED
                crossing = self._crossing(name)
                check_signature(theirs, ours.parameters, ours.result, identities, text, crossing, answer)

    def define(self, root: LinkerInstance, type_ids: dict[Resource[object], int]) -> None:
        """Define the imports; `type_ids` gets the engine's numbers of the resource types."""
        if self.imported is None:
            self._define_in(root, type_ids)
        else:
            with capi.Disposing(root.add_instance(self.imported)) as instance:
                self._define_in(instance, type_ids)

    def _define_in(self, instance: LinkerInstance, type_ids: dict[Resource[object], int]) -> None:
        for name, extern in self.items.items():
            theirs = extern.type
            if isinstance(theirs, capi.FunctionType) and name not in self.ours.traps:
                ours = self.ours.functions[name]
                capi.add_function(instance, name, self._kind(name, ours)(ours))
            elif isinstance(theirs, ResourceType) and name in self.ours.resources:
                resource = self.ours.resources[name]
                type_id = type_ids.setdefault(resource, len(type_ids) + 1)
                capi.add_resource(instance, name, type_id, ResourceDefinition(self.ours.label(name)))

    def traps(self) -> dict[str, str]:
        """Return the functions of the guest that are to trap, by the engine's names for them, each with the reason."""
        return {self._label(name): self.ours.traps[name] for name in self.items if name in self.ours.traps}

    def names(self) -> Iterable[str]:
        """Return the guest's names of the imports."""
        return self.items if self.imported is None else [self.imported]

    def _kind(self, name: str, ours: FunctionDefinition) -> type[HostFunction]:
        if self._crossing(name) is Crossing.STRING:
            return StringFunction
        if self._is_placed(name, ours):
            return PlacedFunction
        return BridgedFunction if self._is_bridged(name, ours) else HostFunction

    def _crossing(self, name: str) -> Crossing:
        if self._by_address:
            return Crossing.ADDRESS
        return Crossing.STRING if name in self._as_strings else Crossing.LIST

    def _is_bridged(self, name: str, ours: FunctionDefinition) -> bool:
        return name in self._bridged and isinstance(ours.result, ByteList)

    def _is_placed(self, name: str, ours: FunctionDefinition) -> bool:
        return name in self._bridged and begins_with_bytes(ours.result)

    def _label(self, name: str) -> str:
        return name if self.imported is None else f"{self.imported}#{name}"

    def _missing(self, name: str, guest: str) -> LinkError:
        return LinkError(f"{guest} imports {self._label(name)}, which this host does not provide")

    def _missing_resource(self, name: str, theirs: ResourceType, guest: str) -> LinkError:
        """Return the error for a resource, which may belong to an interface that the host does not define at all."""
        for imported, extern in self._guest.imports.items():
            types = [each.type for each in _items(extern).values()]
            if imported != self.imported and any(isinstance(each, ResourceType) and each == theirs for each in types):
                return LinkError(
                    f"{guest} imports {self._label(name)}, a resource of {imported}, which this host does not provide"
                )
        return self._missing(name, guest)


def _scopes(host: Linker, guest: Component) -> list[_Scope]:
    """Return the imports that the host defines. The others may be of WASI; if not, the engine reports them."""
    scopes: list[_Scope] = []
    bare: dict[str, capi.Extern] = {}
    root = host.root()
    for name, extern in guest.imports.items():
        found = versions.find(name, host.instances) or _implemented(extern, host)
        if found is not None:
            scopes.append(_Scope(name, _items(extern), host.instances[found], guest))
        elif name in root.functions or name in root.resources or name in root.traps:
            bare[name] = extern
    return [_Scope(None, bare, root, guest), *scopes]


def _implemented(extern: capi.Extern, host: Linker) -> str | None:
    """Return the instance for an import under a label of the guest: the one of the interface that it is a label for.

    The engine would find that instance too, without a comparison of types.
    """
    interface = extern.implements
    return None if interface is None else versions.find(interface, host.instances)


def _items(extern: capi.Extern) -> _Items:
    return extern.type.exports if isinstance(extern.type, capi.InstanceType) else {}
