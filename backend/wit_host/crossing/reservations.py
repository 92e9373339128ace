"""The requests of the engine for memories of guests, and the address space of the whole process.

In: the engine's requests. Out: memories, each of the guest that the thread is starting, within the guest's budget.

A memory reserves more than 4 GiB of address space and some mappings, of which a process has a limited number. A few
guests with many memories could use up both, so that no other guest could start. So all memories of the process together
may reserve a part of its address space; the last quarter of it is for guests with few memories.
"""

from __future__ import annotations

import errno
import threading
import weakref
from types import TracebackType
from typing import Final

from ..errors import GuestTrap
from .memory import GuestMemory, LinearMemory
from .memory_image import MemoryImage

#: The most address space of all memories in this process: a quarter of what 47 bits address, or 8,000 usual memories.
#: Each of them has at most four mappings, the image and what is around it, so all have 32,000; Linux permits 65,530 by
#: default.
MOST_RESERVED: Final = 32 << 40
#: The part of it that guests with several memories may use.
_MOST_FOR_MORE: Final = MOST_RESERVED // 4 * 3
#: The memories that almost every guest has: one of its own, and the heap of its garbage collector.
_FEW: Final = 2
#: The address space of each memory in this process. The process has one address space.
_reserved: dict[weakref.ref[LinearMemory], int] = {}

#: The memory of an unknown guest.
_UNKNOWN = GuestMemory()


def reserved() -> int:
    """Return the address space that all memories of guests reserve now, in bytes."""
    return sum(list(_reserved.values()))


class _Thread(threading.local):
    """The guest that a thread is starting, which owns the memories that are made on it."""

    guest = _UNKNOWN


_thread = _Thread()


class Starting:
    """The block in which one guest is started: the memories that the engine requests on this thread belong to it.

    The first `others` of them belong to parts of the host; the others begin with `image`. Any exception may pass it,
    even one without settable attributes.
    """

    def __init__(self, guest: GuestMemory, others: int = 0, image: MemoryImage | None = None) -> None:
        self._guest = guest
        guest.others, guest.image = others, image

    def __enter__(self) -> None:
        self._before = _thread.guest
        _thread.guest = self._guest

    def __exit__(
        self, kind: type[BaseException] | None, exception: BaseException | None, traceback: TracebackType | None
    ) -> None:
        _thread.guest = self._before


#: What to do when the system refuses memory.
NO_SPACE = (
    "each memory of a guest reserves 4 GiB of address space: raise the limit of the process (`ulimit -v`), or run "
    "fewer guests at a time"
)


class Reservations:
    """Makes the memories of the guests of one engine."""

    thread = _thread

    def create(self, minimum: int, reserved: int, guard: int) -> LinearMemory:
        """Make a memory for the guest that this thread is starting.

        Raises GuestLimit if it is beyond the guest's budget, GuestTrap if there is no room for it in the process.
        """
        guest = self.thread.guest
        _require_space(max(minimum, reserved) + guard, has_few=len(guest.parts) < _FEW)
        if not guest.budget.take(minimum):
            raise guest.budget.exceeded(minimum)
        image = guest.image_of(minimum)
        try:
            memory = LinearMemory(minimum, reserved, guard, guest.ending, guest.budget, image)
        except (OSError, OverflowError, ValueError) as error:
            if isinstance(error, OSError) and error.errno is None:  # raised by other code, as TimeoutError is
                raise
            refused = isinstance(error, OSError) and error.errno == errno.ENOMEM
            reason = f"{error}; {NO_SPACE}" if refused else str(error)
        else:
            _count(memory)
            if guest is not _UNKNOWN:
                guest.add(memory)
            return memory
        raise GuestTrap(f"a memory of {minimum} bytes could not be made: {reason}")


def _require_space(size: int, *, has_few: bool) -> None:
    """Raise GuestTrap if `size` more bytes of address space are too much for this process."""
    most = MOST_RESERVED if has_few else _MOST_FOR_MORE
    used = reserved()
    if used + size > most:
        raise GuestTrap(
            f"a memory of the guest needs {size >> 30} GiB of address space, of which the memories of all guests in "
            f"this process already reserve {used >> 30} GiB (limit {most >> 30} GiB); run fewer guests at a time, or "
            "guests with fewer memories, or run them in several processes"
        )


def _count(memory: LinearMemory) -> None:
    _reserved[weakref.ref(memory, _reserved.pop)] = memory.reserved
