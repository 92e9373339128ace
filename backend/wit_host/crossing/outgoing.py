"""The resources that one call passes to a guest, some of which return when the call is over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import capi
from .guest_resources import GuestResource

if TYPE_CHECKING:
    from ..component.exports import Instance
    from .state import HostState


class Outgoing:
    """The resources that one call passes to a guest, so that it can be settled whether or not the call succeeds.

    `given` and `lent` are the values with owned and borrowed handles of the host's objects. `moved` are the guest's own
    resources that return to it, `borrowed` those that it only borrows. `is_over` says that the guest has received them.
    """

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self.given: list[capi.Value] = []
        self.lent: list[tuple[capi.Value, int]] = []
        self.moved: list[tuple[GuestResource, capi.ResourceHandle]] = []
        self.borrowed: list[GuestResource] = []
        self.is_over = False

    def settle(self, state: HostState) -> None:
        """Take back the lent objects, or all resources if the guest was never called; none is dropped."""
        for value, representation in self.lent:
            state.table.take(representation)
            # After a trap the handle stays lent, and ends with the store.
            capi.forget_resource(state.context, value)
        if self.is_over:
            for _, handle in self.moved:
                handle.close()
        else:
            for value in self.given:
                state.table.take(capi.read_resource(state.context, value))
            for resource, handle in self.moved:
                resource._take_back(handle)
