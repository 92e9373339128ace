"""The memory and the resources that guests and the host share.

    memory              the linear memories of guests
    transport           `list<u8>`, in one of three ways
    resources           resources of the host, by their numbers
    guest_resources     resources of a guest, as objects
    outgoing            the resources that one call passes to a guest
    state               the state that the host functions of one store share

No module here depends on the way in which a guest is linked or run.
"""

from __future__ import annotations
