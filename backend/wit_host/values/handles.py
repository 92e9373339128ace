"""Handles of resources, which the host or a guest implements."""

from __future__ import annotations

from typing import TypeGuard

import wasmtime

from .. import capi
from ..capi import Value, ValueType
from ..crossing.guest_resources import GuestResource, GuestResourceType
from ..crossing.resources import Droppable, Resource
from ..crossing.state import HostState
from ..errors import GuestTrap
from ..misfits import Misfit, wrong_type, wrong_value
from .codec import Comparison, check_kind, other_type

#: The engine's error for a store that has as many handles as it may, 100,000 of them.
_EXHAUSTED = "handle limit exceeded"


class Own:
    """`own<R>` of a resource that the host implements: the object changes hands."""

    def __init__(self, resource: Resource[object]) -> None:
        self.resource = resource

    def lift(self, state: HostState, value: Value) -> object:
        """Return the object, which is taken out of the table once everything is lifted."""
        representation = capi.read_resource(state.context, value)
        state.taken.append(representation)
        return state.table.borrow(representation)

    def lower(self, state: HostState, value: Value, item: object) -> None:
        """Take the object that implements the resource; the guest owns it afterwards."""
        if state.outgoing is not None:
            _check_pass(state, item, is_owned=True)
        _give(state, value, self.resource, item)
        if state.outgoing is not None:
            state.outgoing.given.append(value)

    def check(self, theirs: ValueType, comparison: Comparison) -> None:
        """Accept `own` of this resource."""
        _check_host("own", self.resource, theirs, comparison)


class Borrow:
    """`borrow<R>` of a resource that the host implements, as a parameter: the object keeps its owner."""

    def __init__(self, resource: Resource[object]) -> None:
        self.resource = resource

    def lift(self, state: HostState, value: Value) -> object:
        """Return the object, still in the table."""
        return state.table.borrow(capi.read_resource(state.context, value))

    def lower(self, state: HostState, value: Value, item: object) -> None:
        """Take the object that implements the resource, and lend it to the guest for the call."""
        if state.outgoing is None:
            raise Misfit(TypeError, f"a borrow of resource {self.resource.name} cannot be returned")
        _check_pass(state, item, is_owned=False)
        representation = _give(state, value, self.resource, item)
        state.outgoing.lent.append((value, representation))

    def check(self, theirs: ValueType, comparison: Comparison) -> None:
        """Accept `borrow` of this resource."""
        _check_host("borrow", self.resource, theirs, comparison)


class GuestOwn:
    """`own<R>` of a resource that a guest implements."""

    def __init__(self, resource: GuestResourceType[GuestResource]) -> None:
        self.resource = resource

    def lift(self, state: HostState, value: Value) -> GuestResource:
        """Return an object of the bindings' class, which owns the resource."""
        if state.outgoing is None:
            raise RuntimeError(f"resource {self.resource.name} of a guest came from outside a call of that guest")
        return self.resource.cls(state.outgoing.instance, capi.ResourceHandle(value))

    def lower(self, state: HostState, value: Value, item: object) -> None:
        """Take such an object, which cannot be used once the guest has it."""
        if state.outgoing is None:
            raise Misfit(TypeError, f"resource {self.resource.name} of a guest can only be passed to that guest")
        resource, handle = _held(state, self.resource, item)
        if any(resource is other for other in state.outgoing.borrowed):
            raise wrong_value(f"this {type(item).__name__} is borrowed in the same call")
        handle.store(value)
        state.outgoing.moved.append((resource, resource._give_up()))

    def check(self, theirs: ValueType, comparison: Comparison) -> None:
        """Accept `own` of the resource that the guest exports."""
        _check_guest("own", self.resource, theirs, comparison)


class GuestBorrow:
    """`borrow<R>` of a resource that a guest implements, as a parameter."""

    def __init__(self, resource: GuestResourceType[GuestResource]) -> None:
        self.resource = resource

    def lift(self, state: HostState, value: Value) -> object:
        """Never called: WIT has no `borrow` in results, and imports cannot use resources of a guest."""
        raise RuntimeError(f"a borrow of resource {self.resource.name} came from the guest that implements it")

    def lower(self, state: HostState, value: Value, item: object) -> None:
        """Take an object of the bindings' class, which stays as it is."""
        if state.outgoing is None:
            raise Misfit(TypeError, f"resource {self.resource.name} of a guest can only be passed to that guest")
        resource, handle = _held(state, self.resource, item)
        handle.store(value)
        state.outgoing.borrowed.append(resource)

    def check(self, theirs: ValueType, comparison: Comparison) -> None:
        """Accept `borrow` of the resource that the guest exports."""
        _check_guest("borrow", self.resource, theirs, comparison)


def _give(state: HostState, value: Value, resource: Resource[object], item: object) -> int:
    """Add `item` to the table, store a handle of it, and return its number in the table."""
    if not _is_droppable(item):
        text = f"{type(item).__name__} does not implement resource {resource.name}: it has no drop()"
        raise Misfit(TypeError, text)
    representation = state.table.give(item)
    try:
        capi.write_resource(state.context, value, representation, state.type_ids[resource])
    except wasmtime.WasmtimeError as error:
        if _EXHAUSTED not in str(error):
            raise
        held = len(state.table) - 1
    else:
        return representation
    raise GuestTrap(
        f"the guest holds {held} resources, the most that the engine permits beside its other handles; this limit of "
        "the engine cannot be raised: let the guest drop what it does not need, or run it in several sessions"
    )


def _check_pass(state: HostState, item: object, is_owned: bool) -> None:
    """Ask the host whether `item` may be passed to the guest."""
    if state.on_pass is None:
        return
    try:
        state.on_pass(item, is_owned and state.table.has(item))
    except ValueError as error:
        misfit = wrong_value(str(error))
    else:
        return
    raise misfit


def _is_droppable(item: object) -> TypeGuard[Droppable]:
    """Return whether `item` has `drop`; `isinstance` of a Protocol takes longer than the rest of a small call."""
    return callable(getattr(item, "drop", None))


def _held(
    state: HostState, resource: GuestResourceType[GuestResource], item: object
) -> tuple[GuestResource, capi.ResourceHandle]:
    """Return `item` and its handle, if it is a resource that can be passed to this guest."""
    if not isinstance(item, resource.cls):
        raise wrong_type(resource.cls.__name__, item)
    if item._instance.state is not state:
        raise wrong_value(f"this {type(item).__name__} belongs to another guest")
    handle = item._handle
    if handle is None:
        raise wrong_value(f"this {type(item).__name__} was dropped or passed to the guest, and cannot be used any more")
    return item, handle


def _check_host(kind: str, resource: Resource[object], theirs: ValueType, comparison: Comparison) -> None:
    check_kind(kind, theirs)
    if not comparison.resources.is_host(resource, theirs.resource):
        raise other_type(f"{kind} of resource {resource.name}", f"{kind} of another resource")


def _check_guest(
    kind: str, resource: GuestResourceType[GuestResource], theirs: ValueType, comparison: Comparison
) -> None:
    check_kind(kind, theirs)
    if not comparison.resources.is_guest(resource, theirs.resource):
        raise other_type(f"{kind} of resource {resource.name}", f"{kind} of another resource")
