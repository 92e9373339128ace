"""The finished parts of the model, collected while packages are resolved one after the other.

In: finished types, interfaces, worlds and packages, in the order of their ids. Out: `model.Resolved`. Tables of their
properties make walks through the types unnecessary: a type refers to lower ids only, so its properties follow from
those of its parts when it is added.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from witgen import model
from witgen.kinds import parts
from witgen.model import (
    Alias,
    Borrow,
    InterfaceId,
    InterfaceOwner,
    Owner,
    PackageId,
    Primitive,
    Resource,
    TypeId,
    TypeRef,
)


@dataclass(slots=True)
class Arena:
    """Grows only at its ends."""

    packages: list[model.Package] = field(default_factory=list)
    interfaces: list[model.Interface] = field(default_factory=list)
    worlds: list[model.World] = field(default_factory=list)
    types: list[model.TypeDef] = field(default_factory=list)
    hidden: set[tuple[PackageId, str]] = field(default_factory=set)
    """The interfaces and worlds that a feature hides."""
    implied: int = 0
    """The number of items that worlds include or imply, and of types that they copy."""
    _resources: list[TypeId | None] = field(default_factory=list)
    _borrows: list[bool] = field(default_factory=list)
    _used: dict[InterfaceId, tuple[InterfaceId, ...]] = field(default_factory=dict)

    def add(self, definition: model.TypeDef) -> TypeId:
        """Append a type; its kind refers to types that are here."""
        kind, new = definition.kind, len(self.types)
        self.types.append(definition)
        is_resource = isinstance(kind, Resource)
        self._resources.append(new if is_resource else self.resource(kind.target) if isinstance(kind, Alias) else None)
        self._borrows.append(isinstance(kind, Borrow) or any(map(self.borrows, parts(kind))))
        return new

    def owner(self, alias: TypeId) -> Owner | None:
        """The owner of an alias's target; nothing for any other type."""
        kind = self.types[alias].kind
        return self.types[kind.target].owner if isinstance(kind, Alias) and isinstance(kind.target, TypeId) else None

    def used_by(self, interface: InterfaceId) -> tuple[InterfaceId, ...]:
        """The interfaces whose types an interface uses, in the order of its types."""
        if interface not in self._used:
            owners = map(self.owner, self.interfaces[interface].types.values())
            used = (owner.interface for owner in owners if isinstance(owner, InterfaceOwner))
            self._used[interface] = tuple(dict.fromkeys(other for other in used if other != interface))
        return self._used[interface]

    def resource(self, reference: TypeRef) -> TypeId | None:
        """The resource that the reference is, perhaps by way of aliases."""
        return None if isinstance(reference, Primitive) else self._resources[reference]

    def borrows(self, reference: TypeRef) -> bool:
        """Whether the type contains a borrowed handle, however deep."""
        return not isinstance(reference, Primitive) and self._borrows[reference]

    def result(self, main: PackageId) -> model.Resolved:
        """Everything, with `main` as the main package."""
        return model.Resolved(tuple(self.packages), tuple(self.interfaces), tuple(self.worlds), tuple(self.types), main)
