"""The most that one guest may have of the system that it sees; the counts that are compared with it."""

from __future__ import annotations

from dataclasses import dataclass

from wit_host import GuestLimit


@dataclass(frozen=True)
class Limits:
    """The most that the guest of one `World` may have.

    `descriptors` is the number of open files and directories, `handles` that of its streams, pollables and listings of
    directories. `output` is in bytes, for the standard output and the standard error together. `file` is the size of
    the largest file that it may make, in bytes. `random` is the most random bytes of one call, `read` the most bytes of
    one read. `fields` is in bytes, for all headers and trailers of HTTP, and the paths and names of requests, together.
    `bodies` is the number of bodies of HTTP, each of which may hold 64 KiB that are on their way.
    """

    descriptors: int = 1_000
    handles: int = 10_000
    output: int = 64 << 20
    file: int = 1 << 30
    random: int = 16 << 20
    read: int = 1 << 20
    fields: int = 1 << 20
    bodies: int = 256


class Count:
    """The number of things of one kind that a guest has."""

    def __init__(self, name: str, most: int) -> None:
        self._name = name
        self._most = most
        self.used = 0

    @property
    def is_full(self) -> bool:
        """Whether the guest may have no more."""
        return self.used >= self._most

    def require_room(self) -> None:
        """Raise GuestLimit if the guest may have no more."""
        if self.is_full:
            raise exceeded(self._name, f"the guest holds {self._most} {self._name}, and may hold no more")

    def add(self) -> None:
        """Count one more; raises GuestLimit if they are too many."""
        self.require_room()
        self.used += 1

    def remove(self) -> None:
        """Count one less."""
        self.used -= 1


def exceeded(name: str, problem: str) -> GuestLimit:
    """Return the trap for a guest that goes beyond the limit `name`."""
    return GuestLimit(f"{problem}; raise the limit `{name}` of `wasi_host.Limits`", name)
