"""Which resource type of one component is which of the bindings'.

A component names its resource types by its own means; two of the same shape are still two. Imported ones are known by
where they are imported from. Exported ones are known by their first use in a signature: all others must agree with it.
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
        """The component imports `resource`, and calls it `theirs`; it may do so under several compatible versions."""
        self._host.append((resource, theirs))

    def is_host(self, resource: Resource[object], theirs: ResourceType) -> bool:
        """Whether `theirs` is `resource`, as the component imports it."""
        return any(known is resource and same == theirs for known, same in self._host)

    def is_imported(self, theirs: ResourceType) -> bool:
        """Whether `theirs` is any resource of the host's."""
        return any(same == theirs for _, same in self._host)

    def is_guest(self, resource: GuestResourceType[GuestResource], theirs: ResourceType) -> bool:
        """Whether `theirs` is `resource`, as the component exports it."""
        known = self._guest.get(resource)
        if known is not None:
            return known == theirs
        if self.is_imported(theirs) or theirs in self._guest.values():
            return False
        self._guest[resource] = theirs
        return True
