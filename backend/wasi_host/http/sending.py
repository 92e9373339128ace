"""What is sent for a guest, and what it gets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .fields import Entry
from .flows import Inflow, Outflow
from .policy import Destination, Outgoing


@dataclass(frozen=True)
class Times:
    """The seconds for a connection, for the head of a response, and between two pieces of its body."""

    connect: float
    first_byte: float
    between_bytes: float


@dataclass(frozen=True)
class Sending:
    """A request: where it goes, what it says, and what its guest and the host allow it."""

    method: str
    path: str
    destination: Destination
    headers: Sequence[Entry]
    body: Outflow | None
    times: Times
    policy: Outgoing


@dataclass(frozen=True)
class Head:
    """The head of a response, and its body, which arrives."""

    status: int
    headers: tuple[Entry, ...]
    body: Inflow
