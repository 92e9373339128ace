"""The types of one package while they are listed: with ids that are not final yet.

In: kinds, in the order in which they are written. Out: a list of `Listed` types. A *draft id* continues the ids of the
arena, so a reference below `base` is a finished type of an earlier package and one from `base` on is an entry of
`types`. Entries that a feature hides are listed as well, since hidden things may refer to each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from witgen import model, syntax
from witgen.diagnostics import Errors
from witgen.kinds import references
from witgen.model import Alias, Kind, Owner, Primitive, Resource, Stability, TypeId, TypeRef, WorldId
from witgen.resolver.arena import Arena
from witgen.resolver.gates import Gates
from witgen.resolver.plan import Plan
from witgen.syntax import Name, Span

NOWHERE: TypeId = -1
"""The target of an alias that was not looked up."""


@dataclass(frozen=True, slots=True)
class Listed:
    """One type with its draft kind.

    A named type without an owner is in an interface or world that is hidden. `places` are those of its parts, if they
    are known more precisely than the type as a whole.
    """

    name: str | None
    kind: Kind
    owner: Owner | None
    docs: str | None
    stability: Stability | None
    external_id: str | None
    span: Span
    places: tuple[Span, ...] = ()


@dataclass(frozen=True, slots=True)
class ListedInterface:
    """One interface: the draft ids of its types, and its functions over draft ids. An id of `None` is hidden."""

    id: model.InterfaceId | None
    written: syntax.Interface
    types: dict[str, TypeId]
    functions: dict[str, model.Function]


@dataclass(frozen=True, slots=True)
class ListedItem:
    """An import or export of a world, over draft ids, and its place."""

    key: model.WorldKey
    item: model.WorldItem
    span: Span


@dataclass(slots=True)
class Draft:
    """A package on its way from syntax to model."""

    arena: Arena
    plan: Plan
    gates: Gates
    errors: Errors
    base: TypeId
    """The first draft id."""
    types: list[Listed] = field(default_factory=list)
    interfaces: dict[str, ListedInterface] = field(default_factory=dict)
    """The named interfaces that were listed so far."""
    broken: set[WorldId] = field(default_factory=set)
    """Worlds with errors; a world that includes one is not looked at."""
    _anonymous: dict[Kind, TypeId] = field(default_factory=dict)
    _resources: list[TypeId | None] = field(default_factory=list)

    def add(self, listed: Listed) -> TypeId:
        """List a type."""
        new, kind = self.base + len(self.types), listed.kind
        self.types.append(listed)
        self._resources.append(
            new if isinstance(kind, Resource) else self.resource(kind.target) if isinstance(kind, Alias) else None
        )
        return new

    def add_unknown(self, listed: Listed) -> TypeId:
        """List a hidden alias whose target was not looked up; it passes for a resource, as it might be one."""
        new = self.base + len(self.types)
        self.types.append(listed)
        self._resources.append(new)
        return new

    def stand_in(self, name: Name) -> TypeId:
        """List a substitute for a type that was refused, so that its users are not refused because of it."""
        return self.add_unknown(Listed(name.text, Alias(NOWHERE), None, None, None, None, name.span))

    def anonymous(self, kind: Kind, gate: Stability | None, span: Span) -> TypeId:
        """The one unnamed type of this kind; it has `gate`, or the first gate among the types that it refers to."""
        if kind not in self._anonymous:
            gate = gate or next((g for g in map(self.stability, references(kind)) if g), None)
            self._anonymous[kind] = self.add(Listed(None, kind, None, None, gate, None, span))
        return self._anonymous[kind]

    def resource(self, reference: TypeRef) -> TypeId | None:
        """The resource that the reference is, perhaps by way of aliases."""
        if isinstance(reference, Primitive) or reference < self.base:
            return self.arena.resource(reference)
        return self._resources[reference - self.base]

    def stability(self, reference: TypeRef) -> Stability | None:
        """The gate of a type."""
        if isinstance(reference, Primitive):
            return None
        finished: Sequence[model.TypeDef | Listed] = self.arena.types
        return finished[reference].stability if reference < self.base else self.types[reference - self.base].stability


@dataclass(slots=True)
class TypeScope:
    """The names inside one interface or world: types by name, and the sort of thing that every other name is."""

    owner: Owner | None
    types: dict[str, TypeId] = field(default_factory=dict)
    others: dict[str, str] = field(default_factory=dict)
    declared: dict[str, Name] = field(default_factory=dict)
    """Every name, by the part that has to be distinct."""
    doubtful: dict[str, Name] = field(default_factory=dict)
    """The names that were declared twice."""
