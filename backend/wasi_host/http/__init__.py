"""`wasi:http`: the requests that a guest answers, and those that it makes.

From top to bottom, each imports only those below it:

    outgoing                 requests of guests: refused, or sent
    exchanging, hosting      one request and its response, by h11; the functions of `types`
    connecting, messages     connections to checked addresses; requests and responses
    bodies, sending          bodies and trailers; what is sent for a guest
    flows, policy            bytes between a guest and an event loop; what a guest may ask for
    surroundings             what the resources of a guest share
    fields                   headers
"""

from __future__ import annotations

from .fields import FORBIDDEN, trailer_fields
from .flows import Abandoned, Inflow, Outflow
from .hosting import Types
from .messages import Request, Response, content_length
from .outgoing import OutgoingHandler
from .policy import Destination, Outgoing

__all__ = [
    "FORBIDDEN",
    "Abandoned",
    "Destination",
    "Inflow",
    "Outflow",
    "Outgoing",
    "OutgoingHandler",
    "Request",
    "Response",
    "Types",
    "content_length",
    "trailer_fields",
]
