"""The correspondence between the resource types of one component and those of the bindings.

A component has its own names for resource types, and types of the same form differ. An imported type is identified by
the import. An exported type is identified by its first use in a signature: all other uses must agree with it.
"""

from __future__ import annotations

from wasmtime.component import ResourceType

from ..crossing.guest_resources import GuestResource, GuestResourceType
from ..crossing.resources import Resource


class ComponentIdentities:
    """The resource types of one component."""

    def __init__(self) -> None:
        self._host: list[tuple[Resource[object], ResourceType]] = []
        self._guest: dict[GuestResourceType[GuestResource], ResourceType] = {}

    def add_host(self, resource: Resource[object], theirs: ResourceType) -> None:
        """Record that the component imports `resource` as `theirs`; it may import several compatible versions."""
        self._host.append((resource, theirs))

    def is_host(self, resource: Resource[object], theirs: ResourceType) -> bool:
        """Return whether `theirs` is `resource`, as the component imports it."""
        return any(known is resource and same == theirs for known, same in self._host)

    def is_imported(self, theirs: ResourceType) -> bool:
        """Return whether `theirs` is any resource of the host."""
        return any(same == theirs for _, same in self._host)

    def is_guest(self, resource: GuestResourceType[GuestResource], theirs: ResourceType) -> bool:
        """Return whether `theirs` is `resource`, as the component exports it."""
        known = self._guest.get(resource)
        if known is not None:
            return known == theirs
        if self.is_imported(theirs) or theirs in self._guest.values():
            return False
        self._guest[resource] = theirs
        return True
