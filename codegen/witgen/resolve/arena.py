"""Where the finished parts of the model gather while packages are resolved one after the other.

In: finished types, interfaces, worlds and packages, in the order of their ids. Out: `model.Resolved`. Two tables beside
the types answer what would otherwise mean walking through them: a type refers to lower ids only, so one look at its
parts is enough when it is added.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from witgen import model
from witgen.model import Alias, Borrow, Own, PackageId, Primitive, Resource, TypeId, TypeRef
from witgen.resolve.kinds import parts


@dataclass(slots=True)
class Arena:
    """Grows only at its ends."""

    packages: list[model.Package] = field(default_factory=list)
    interfaces: list[model.Interface] = field(default_factory=list)
    worlds: list[model.World] = field(default_factory=list)
    types: list[model.TypeDef] = field(default_factory=list)
    hidden: set[tuple[PackageId, str]] = field(default_factory=set)
    """The interfaces and worlds that a feature hides."""
    _resources: list[TypeId | None] = field(default_factory=list)
    _lends: list[bool] = field(default_factory=list)

    def add(self, definition: model.TypeDef) -> TypeId:
        """Append a type; its kind refers to types that are here."""
        kind, new = definition.kind, len(self.types)
        self.types.append(definition)
        is_resource = isinstance(kind, Resource)
        self._resources.append(new if is_resource else self.resource(kind.target) if isinstance(kind, Alias) else None)
        self._lends.append(
            isinstance(kind, Borrow) or (not isinstance(kind, Own) and any(self.lends(part) for part in parts(kind)))
        )
        return new

    def resource(self, reference: TypeRef) -> TypeId | None:
        """The resource that the reference is, perhaps by way of aliases."""
        return None if isinstance(reference, Primitive) else self._resources[reference]

    def lends(self, reference: TypeRef) -> bool:
        """Whether a borrowed handle is in the type, however deep."""
        return not isinstance(reference, Primitive) and self._lends[reference]

    def result(self, main: PackageId) -> model.Resolved:
        """Everything, with `main` as the package that was asked for."""
        return model.Resolved(tuple(self.packages), tuple(self.interfaces), tuple(self.worlds), tuple(self.types), main)
