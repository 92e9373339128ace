"""What one call of a guest hands over to it, and takes back when the call is over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import capi
from .guest_resources import GuestResource

if TYPE_CHECKING:
    from ..component.exports import Instance
    from .state import HostState


class Outgoing:
    """What one call of a guest hands over, so that it can be settled however the call goes.

    In `given` and `lent` are the values with the handles of the host's objects, in `moved` the guest's own resources
    that it gets back, in `borrowed` those that it is shown. `is_over` says that the guest has what it was given.
    """

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self.given: list[capi.Value] = []
        self.lent: list[tuple[capi.Value, int]] = []
        self.moved: list[tuple[GuestResource, capi.ResourceHandle]] = []
        self.borrowed: list[GuestResource] = []
        self.is_over = False

    def settle(self, state: HostState) -> None:
        """Take back what was lent, and all of it where the guest was never called; nothing is dropped."""
        for value, representation in self.lent:
            state.table.take(representation)
            # After a trap the handle is lent for ever, and goes with the store.
            capi.forget_resource(state.context, value)
        if self.is_over:
            for _, handle in self.moved:
                handle.close()
        else:
            for value in self.given:
                state.table.take(capi.read_resource(state.context, value))
            for resource, handle in self.moved:
                resource._take_back(handle)
