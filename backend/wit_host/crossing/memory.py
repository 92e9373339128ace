"""The memories of guests, where the host can address them.

In: what the engine asks for. Out: memories that the host reserved, and views of what is in them. A memory never moves:
all the address space that it may need is reserved at once, and opened as it grows.
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

_CLOSED, _OPEN = 0, 3  # PROT_NONE; PROT_READ | PROT_WRITE
#: Not every Python has a name for it; where there is none, address space is counted as memory.
_NO_RESERVE = {"linux": 0x4000, "darwin": 0x40}.get(sys.platform, 0)
#: As much as the engine asks for: all that 32-bit addresses and the offsets in instructions reach.
_USUAL = (4 << 30) + (32 << 20)
#: How a guest ends that is not known.
_NOBODYS = capi.Ending(capi.Kept())
#: A number in a guest's memory.
_U32 = struct.Struct("<I")


if os.name == "posix":
    _mprotect = ctypes.CDLL(None, use_errno=True).mprotect
    _mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]


def unsupported() -> str:
    """Why memories cannot be reserved here; empty if they can."""
    if os.name != "posix" or sys.maxsize <= 1 << 32:
        return f"memories cannot be reserved on {sys.platform} with {sys.maxsize.bit_length() + 1} bits"
    try:
        LinearMemory(0, _USUAL, 0)
    except (OSError, ValueError) as error:
        return f"address space cannot be reserved: {error}"
    return ""


class LinearMemory:
    """One linear memory of a guest: address space that is given back when nobody refers to it, views included."""

    where = "while a memory of the guest grew"

    def __init__(self, minimum: int, reserved: int, guard: int, ending: capi.Ending = _NOBODYS) -> None:
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
        """Open the memory up to `size` bytes; whether it can be so large."""
        if size > self.limit or not self._protect(size, _OPEN):
            return False
        self.size = size
        return True

    def view(self, address: int, length: int) -> memoryview:
        """The bytes at `address`, which the caller releases; raises `Misfit` if they are not all in the memory."""
        if address + length > self.size:
            raise self._outside(address, length)
        return memoryview(self._content)[address : address + length]

    def read_u32(self, address: int) -> int:
        """The number at `address`; raises `Misfit` if it is not all in the memory."""
        if address + _U32.size > self.size:
            raise self._outside(address, _U32.size)
        number: int = _U32.unpack_from(self._content, address)[0]
        return number

    def write_u32(self, address: int, number: int) -> None:
        """Store a number at `address`; raises `Misfit` if it is not all in the memory."""
        if address + _U32.size > self.size:
            raise self._outside(address, _U32.size)
        _U32.pack_into(self._content, address, number)

    @property
    def is_viewed(self) -> bool:
        """Whether somebody holds a view of it that was not released."""
        return sys.getrefcount(self._content) > self._unviewed

    def _outside(self, address: int, length: int) -> Misfit:
        text = f"{length} bytes at address {address} are not all in the guest's memory of {self.size} bytes"
        return Misfit(GuestTrap, text)

    def _protect(self, size: int, access: int) -> bool:
        """Change the access to the first `size` bytes; whether the system could."""
        size = -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
        return not size or not _mprotect(self.base, size, access)


class GuestMemory:
    """What the host reaches of the memory of one guest, and what it has lent to an implementation for one call."""

    where = "while a memory of the guest was made"

    def __init__(self, ending: capi.Ending = _NOBODYS) -> None:
        self.ending = ending
        self.kept = ending.kept
        self.parts: list[LinearMemory] = []
        #: What `take_back` has to take back.
        self.lent: list[memoryview] = []

    def starting(self) -> Starting:
        """A block, in which the memories that the engine asks for on this thread are this guest's."""
        return Starting(self)

    @property
    def only(self) -> LinearMemory:
        """The memory that addresses are in; raises `Misfit` if there is none, or more than one."""
        if len(self.parts) != 1:
            raise Misfit(GuestTrap, f"the guest has {len(self.parts)} memories, and one is needed")
        return self.parts[0]

    def lend(self, view: memoryview) -> memoryview:
        """`view`, read-only, until `take_back`; whoever has `view` itself lets go of it."""
        lent = view.toreadonly()
        self.lent.append(lent)
        return lent

    def take_back(self) -> bool:
        """Make everything that was lent unusable; whether nobody keeps a view that was made from it."""
        if not self.lent:
            return True
        is_free = True
        for view in self.lent:
            try:
                view.release()
            except BufferError:  # something else was made from it
                is_free = False
        self.lent.clear()
        return is_free and not self.is_viewed

    @property
    def is_viewed(self) -> bool:
        """Whether somebody holds a view of the guest's memory that was not released."""
        for part in self.parts:  # noqa: SIM110  # a generator takes longer than all the rest
            if part.is_viewed:
                return True
        return False

    def close(self) -> None:
        """Forget the memories, which go with their store."""
        self.take_back()
        self.parts.clear()


_NOBODY = GuestMemory()


class _Thread(threading.local):
    """Whose memories are made on a thread: those of the guest that it is starting."""

    guest = _NOBODY


_thread = _Thread()


class Starting:
    """The block in which one guest is started. Any exception may pass it, even one in which nothing can be set."""

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
        """A new memory; it belongs to the guest that this thread is starting. Raises GuestTrap if there is no room."""
        guest = self.thread.guest
        try:
            memory = LinearMemory(minimum, reserved, guard, guest.ending)
        except (OSError, OverflowError, ValueError) as error:
            if isinstance(error, OSError) and error.errno is None:  # raised by somebody else, as TimeoutError is
                raise
            reason = str(error)
        else:
            if guest is not _NOBODY:
                guest.parts.append(memory)
            return memory
        raise GuestTrap(f"a memory of {minimum} bytes could not be made: {reason}")
