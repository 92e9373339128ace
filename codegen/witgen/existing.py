"""The interfaces of a world that an existing package of bindings has, so that they are not generated again.

In: a world, and the mappings of a user. Out: for each interface that one of them fits, the module that it is. Nothing
is imported: that the module exists, and that witgen generated it from the same WIT, shows when the generated package is
imported or type-checked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from witgen import naming
from witgen.diagnostics import WitError, did_you_mean
from witgen.mappings import InterfaceMapping
from witgen.model import Alias, InterfaceId, InterfaceItem, InterfaceOwner, PackageName, Primitive, Resolved, WorldId

_MOST = 10  # interfaces in a hint


def existing_modules(
    resolved: Resolved, world_id: WorldId, mappings: Iterable[InterfaceMapping]
) -> dict[InterfaceId, str]:
    """The modules of the interfaces that a world imports or exports and one of the mappings fits.

    Raises `WitError` for a mapping that fits none, for an interface that two of them fit, and for one whose types need
    an interface that none fits: its types would exist twice.
    """
    found = _World(resolved, world_id)
    chosen: dict[InterfaceId, InterfaceMapping] = {}
    for mapping in mappings:
        for interface in found.fitting(mapping):
            if interface in chosen:
                hint = f"`{chosen[interface].key}` and `{mapping.key}` both fit it; keep one of them"
                raise found.error(f"`{found.names[interface]}` is mapped twice", hint)
            chosen[interface] = mapping
    modules = _named(found, chosen)
    for interface in modules:
        found.check_uses(interface, modules)
    return modules


class _World:
    """The interfaces of one world by their ids, with their full names."""

    def __init__(self, resolved: Resolved, world_id: WorldId) -> None:
        self.resolved = resolved
        self.world = resolved.worlds[world_id]
        items = (*self.world.imports.values(), *self.world.exports.values())
        ids = dict.fromkeys(item.interface for item in items if isinstance(item, InterfaceItem))
        self.names = {id: self.package(id).of(self.name(id)) for id in ids if resolved.interfaces[id].name}

    def package(self, interface: InterfaceId) -> PackageName:
        return self.resolved.packages[self.resolved.interfaces[interface].package].name

    def name(self, interface: InterfaceId) -> str:
        return self.resolved.interfaces[interface].name or ""

    def fitting(self, mapping: InterfaceMapping) -> list[InterfaceId]:
        """The interfaces that a mapping fits, all of one version."""
        found = [interface for interface in self.names if self._fits(mapping, interface)]
        exact = [interface for interface in found if self.package(interface).version == mapping.package.version]
        if not found:
            raise self.error(
                f"no interface of the world `{self.world.name}` fits `{mapping.key}`", self._advice(mapping)
            )
        if len({self.package(interface).version for interface in found}) > 1 and not exact:
            raise self.error(f"`{mapping.key}` fits more than one version", f"name one of {self._listed(found)}")
        return exact or found

    def check_uses(self, interface: InterfaceId, modules: Mapping[InterfaceId, str]) -> None:
        """Check that each interface whose types this one uses is mapped as well."""
        for type_id in self.resolved.interfaces[interface].types.values():
            definition = self.resolved.types[type_id]
            kind = definition.kind
            if not isinstance(kind, Alias) or isinstance(kind.target, Primitive):
                continue
            owner = self.resolved.types[kind.target].owner
            if isinstance(owner, InterfaceOwner) and owner.interface not in (interface, *modules):
                used = self.package(owner.interface).of(self.name(owner.interface))
                message = f"`{self.names[interface]}` is mapped to `{modules[interface]}`, but `{used}` is not mapped"
                hint = "map it as well: the existing package has its types, which would be generated a second time"
                raise WitError(message, definition.span, hint)

    def error(self, message: str, hint: str | None) -> WitError:
        return WitError(message, self.world.span, hint)

    def _fits(self, mapping: InterfaceMapping, interface: InterfaceId) -> bool:
        package, wanted = self.package(interface), mapping.package
        return (
            (package.namespace, package.name) == (wanted.namespace, wanted.name)
            and wanted.version in (None, package.version)
            and mapping.interface in (None, self.name(interface))
        )

    def _advice(self, mapping: InterfaceMapping) -> str:
        """What to write in place of a mapping that fits nothing."""
        everywhere = (id for id, interface in enumerate(self.resolved.interfaces) if interface.name)
        if any(self._fits(mapping, id) for id in everywhere):
            return f"the world neither imports nor exports it, but {self._listed(self.names) or 'no interface at all'}"
        known = {*self.names.values(), *(self.package(id).of("*") for id in self.names)}
        if mapping.package.version is None:
            known = {name.partition("@")[0] for name in known}
        return did_you_mean(mapping.key, known) or f"it has {self._listed(self.names) or 'no interface at all'}"

    def _listed(self, interfaces: Iterable[InterfaceId]) -> str:
        names = [f"`{self.names[interface]}`" for interface in interfaces]
        return ", ".join(names[:_MOST]) + (" and others" if len(names) > _MOST else "")


def _named(world: _World, chosen: Mapping[InterfaceId, InterfaceMapping]) -> dict[InterfaceId, str]:
    """The module of each interface; those of one existing package are named together, as witgen named them there."""
    modules = {id: mapping.value for id, mapping in chosen.items() if mapping.interface}
    for package in dict.fromkeys(mapping.value for mapping in chosen.values() if not mapping.interface):
        ids = [id for id, mapping in chosen.items() if not mapping.interface and mapping.value == package]
        spellings = [naming.spellings(world.package(id), world.name(id)) for id in ids]
        names = naming.modules(naming.package(), spellings)
        modules |= {id: f"{package}.{name}" for id, name in zip(ids, names, strict=True)}
    taken: dict[str, InterfaceId] = {}
    for id, module in modules.items():
        if taken.setdefault(module, id) != id:
            both = f"`{world.names[taken[module]]}` and `{world.names[id]}`"
            raise world.error(f"{both} are both mapped to `{module}`", "a module has one interface; name that of each")
    return modules
