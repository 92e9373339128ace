"""The interface of codecs, and the misfits for types of a guest that differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from wasmtime.component import ResourceType

from ..capi import Value, ValueType
from ..crossing.resources import Resource
from ..crossing.state import HostState
from ..crossing.transport import Crossing
from ..errors import LinkError
from ..misfits import Misfit

if TYPE_CHECKING:
    from ..crossing.guest_resources import GuestResource, GuestResourceType


class Identities(Protocol):
    """The correspondence between resource types of a component and those of the bindings."""

    def is_host(self, resource: Resource[object], theirs: ResourceType) -> bool:
        """Return whether `theirs` is `resource`, as the component imports it."""
        ...

    def is_guest(self, resource: GuestResourceType[GuestResource], theirs: ResourceType) -> bool:
        """Return whether `theirs` is `resource`, as the component exports it."""
        ...


@dataclass(frozen=True)
class Comparison:
    """The basis for comparing a guest's types with codecs: its resource types, and the form of `list<u8>` in them."""

    resources: Identities
    crossing: Crossing = Crossing.LIST


class Codec(Protocol):
    """Carries values of one WIT type across."""

    def lift(self, state: HostState, value: Value) -> object:
        """Return the Python object for a value that the guest passed."""
        ...

    def lower(self, state: HostState, value: Value, item: object) -> None:
        """Store `item` in `value` for the engine; raises `Misfit` if it is not a value of this type."""
        ...

    def check(self, theirs: ValueType, comparison: Comparison) -> None:
        """Raise `Misfit` if a guest's type is another one, whose values could not be lifted."""
        ...


class _NoType(ValueType):
    """Stands for a missing type of a guest; no codec fits it."""

    kind = "none"


#: The missing type.
_NO_TYPE = _NoType()

#: The most characters of a guest's names that a message quotes.
_QUOTED = 120


def other_type(ours: str, theirs: str) -> Misfit:
    """Return the misfit for a guest that has another type than this host."""
    return Misfit(LinkError, f"this host has {ours}, the guest has {theirs}")


def check_kind(kind: str, theirs: ValueType) -> None:
    """Raise `Misfit` if the guest's type is not of this kind; `kind` is WIT's word."""
    if theirs.kind != kind:
        raise other_type(kind, theirs.kind)


def check_names(what: str, ours: Sequence[str], theirs: Sequence[str]) -> None:
    """Raise `Misfit` if the guest's fields, cases or flags differ, or their order."""
    if list(ours) != list(theirs):
        raise other_type(f"the {what} {_quote(ours)}", _quote(theirs))


def check_optional(codec: Codec | None, theirs: ValueType | None, comparison: Comparison) -> None:
    """Check a type that either side may lack."""
    if codec is not None:
        codec.check(_NO_TYPE if theirs is None else theirs, comparison)
    elif theirs is not None:
        raise other_type("none", theirs.kind)


def _quote(names: Sequence[str]) -> str:
    text = ", ".join(names[:_QUOTED])
    return text if len(text) <= _QUOTED else f"{text[:_QUOTED]}…"
