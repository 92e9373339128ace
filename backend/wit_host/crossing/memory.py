"""The memories of guests, reserved by the host so that it can address them.

In: the requests of the engine. Out: memories that the host reserved, and views of their bytes. A memory never moves:
all the address space that it may need is reserved at once, and made accessible as it grows.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import struct
import sys
import threading
from types import TracebackType

from .. import capi
from ..errors import GuestTrap
from ..misfits import Misfit

#: `PROT_NONE`, and `PROT_READ | PROT_WRITE`
_CLOSED, _OPEN = 0, 3
#: `MAP_NORESERVE`, for which some versions of Python have no name; without it, address space is counted as memory.
_NO_RESERVE = {"linux": 0x4000, "darwin": 0x40}.get(sys.platform, 0)
#: The size that the engine usually requests: the range of 32-bit addresses and the offsets in instructions.
_USUAL = (4 << 30) + (32 << 20)
#: The ending for an unknown guest.
_UNKNOWN_ENDING = capi.Ending(capi.Kept())
#: The layout of a number in a guest's memory.
_U32 = struct.Struct("<I")


if os.name == "posix":
    _mprotect = ctypes.CDLL(None, use_errno=True).mprotect
    _mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]


def unsupported() -> str:
    """Return why memories cannot be reserved on this system; empty if they can."""
    if os.name != "posix" or sys.maxsize <= 1 << 32:
        return f"memories cannot be reserved on {sys.platform} with {sys.maxsize.bit_length() + 1} bits"
    try:
        LinearMemory(0, _USUAL, 0)
    except (OSError, ValueError) as error:
        return f"address space cannot be reserved: {error}"
    return ""


class LinearMemory:
    """One linear memory of a guest: address space that is released with its last reference, views included."""

    where = "while a memory of the guest grew"

    def __init__(self, minimum: int, reserved: int, guard: int, ending: capi.Ending = _UNKNOWN_ENDING) -> None:
        self.ending = ending
        self.kept = ending.kept
        self.limit = max(minimum, reserved)
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANON | _NO_RESERVE
        self._content = mmap.mmap(-1, self.limit + guard, flags=flags, prot=mmap.PROT_READ | mmap.PROT_WRITE)
        self.base = ctypes.addressof(ctypes.c_char.from_buffer(self._content))
        if not (self._protect(self.limit + guard, _CLOSED) and self._protect(minimum, _OPEN)):
            number = ctypes.get_errno()
            raise OSError(number, f"the access to {minimum} bytes cannot be changed: {os.strerror(number)}")
        self.size = minimum
        self._unviewed = sys.getrefcount(self._content)

    def grow(self, size: int) -> bool:
        """Make `size` bytes accessible; return whether that was possible."""
        if size > self.limit or not self._protect(size, _OPEN):
            return False
        self.size = size
        return True

    def view(self, address: int, length: int) -> memoryview:
        """View the bytes at `address`; the caller releases the view. Raises `Misfit` if not all are in the memory."""
        if address + length > self.size:
            raise self._outside(address, length)
        return memoryview(self._content)[address : address + length]

    def read_u32(self, address: int) -> int:
        """Return the number at `address`; raises `Misfit` if it is not entirely in the memory."""
        if address + _U32.size > self.size:
            raise self._outside(address, _U32.size)
        number: int = _U32.unpack_from(self._content, address)[0]
        return number

    def write_u32(self, address: int, number: int) -> None:
        """Store a number at `address`; raises `Misfit` if it is not entirely in the memory."""
        if address + _U32.size > self.size:
            raise self._outside(address, _U32.size)
        _U32.pack_into(self._content, address, number)

    @property
    def is_viewed(self) -> bool:
        """Whether there are views of it that were not released."""
        return sys.getrefcount(self._content) > self._unviewed

    def _outside(self, address: int, length: int) -> Misfit:
        text = f"{length} bytes at address {address} are not all in the guest's memory of {self.size} bytes"
        return Misfit(GuestTrap, text)

    def _protect(self, size: int, access: int) -> bool:
        """Change the access to the first `size` bytes; return whether that was possible."""
        size = -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
        return not size or not _mprotect(self.base, size, access)


class GuestMemory:
    """The memory of one guest as the host sees it, and the views that an implementation borrows for one call."""

    where = "while a memory of the guest was made"

    def __init__(self, ending: capi.Ending = _UNKNOWN_ENDING) -> None:
        self.ending = ending
        self.kept = ending.kept
        self.parts: list[LinearMemory] = []
        #: The number of memories to come that are not the guest's own.
        self.others = 0
        #: The views that `take_back` has to release.
        self.lent: list[memoryview] = []

    def starting(self, others: int = 0) -> Starting:
        """Return a `with` block in which the memories that the engine requests on this thread belong to this guest.

        The first `others` of them belong to other components.
        """
        self.others = others
        return Starting(self)

    def add(self, memory: LinearMemory) -> None:
        """Add a memory that the engine requested."""
        if self.others:
            self.others -= 1
        else:
            self.parts.append(memory)

    @property
    def only(self) -> LinearMemory:
        """The only memory, which addresses refer to; raises `Misfit` if there is none, or more than one."""
        if len(self.parts) != 1:
            raise Misfit(GuestTrap, f"the guest has {len(self.parts)} memories, and one is needed")
        return self.parts[0]

    def lend(self, view: memoryview) -> memoryview:
        """Return a read-only view that is valid until `take_back`; the caller does not keep `view` itself."""
        lent = view.toreadonly()
        self.lent.append(lent)
        return lent

    def take_back(self) -> bool:
        """Release all borrowed views; return whether no view that was made from them is left."""
        if not self.lent:
            return True
        is_free = True
        for view in self.lent:
            try:
                view.release()
            except BufferError:  # another view was made from it
                is_free = False
        self.lent.clear()
        return is_free and not self.is_viewed

    @property
    def is_viewed(self) -> bool:
        """Whether there are views of the guest's memory that were not released."""
        for part in self.parts:  # noqa: SIM110  # a generator would take longer than the loop
            if part.is_viewed:
                return True
        return False

    def close(self) -> None:
        """Forget the memories, which end with their store."""
        self.take_back()
        self.parts.clear()


#: The memory of an unknown guest.
_UNKNOWN = GuestMemory()


class _Thread(threading.local):
    """The guest that a thread is starting, which owns the memories that are made on it."""

    guest = _UNKNOWN


_thread = _Thread()


class Starting:
    """The block in which one guest is started. Any exception may pass it, even one without settable attributes."""

    def __init__(self, guest: GuestMemory) -> None:
        self._guest = guest

    def __enter__(self) -> None:
        self._before = _thread.guest
        _thread.guest = self._guest

    def __exit__(
        self, kind: type[BaseException] | None, exception: BaseException | None, traceback: TracebackType | None
    ) -> None:
        _thread.guest = self._before


class Reservations:
    """Makes the memories of the guests of one engine."""

    thread = _thread

    def create(self, minimum: int, reserved: int, guard: int) -> LinearMemory:
        """Make a memory for the guest that this thread is starting. Raises GuestTrap if there is no room."""
        guest = self.thread.guest
        try:
            memory = LinearMemory(minimum, reserved, guard, guest.ending)
        except (OSError, OverflowError, ValueError) as error:
            if isinstance(error, OSError) and error.errno is None:  # raised by other code, as TimeoutError is
                raise
            reason = str(error)
        else:
            if guest is not _UNKNOWN:
                guest.add(memory)
            return memory
        raise GuestTrap(f"a memory of {minimum} bytes could not be made: {reason}")
