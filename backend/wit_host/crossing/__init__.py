"""What crosses between a guest and the host: bytes in memory, and resources.

    memory              the linear memories of guests
    transport           `list<u8>`, in one of three ways
    resources           resources of the host, by their numbers
    guest_resources     resources of a guest, as objects
    outgoing            what one call hands over to a guest
    state               what the host functions of one store share

Nothing here knows how a guest is linked or run.
"""

from __future__ import annotations
