"""The memories of guests, reserved by the host so that it can address them.

In: sizes. Out: memories, and views of their bytes. A memory never moves: all the address space that it may need is
reserved at once, and made accessible as it grows.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import struct
import sys
from typing import Any

from .. import capi
from ..errors import GuestTrap
from ..misfits import Misfit
from .bounds import MemoryBudget
from .memory_image import MemoryImage

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
    """One linear memory of a guest: address space that is released with its last reference, views included.

    It begins with `image`, or with zeros. Raises OSError if the system refuses it.
    """

    where = "while a memory of the guest grew"

    def __init__(
        self,
        minimum: int,
        reserved: int,
        guard: int,
        ending: capi.Ending = _UNKNOWN_ENDING,
        budget: MemoryBudget | None = None,
        image: MemoryImage | None = None,
    ) -> None:
        self.ending = ending
        self.budget = MemoryBudget() if budget is None else budget
        self.limit = max(minimum, reserved)
        #: The address space that it takes, in bytes.
        self.reserved = self.limit + guard
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANON | _NO_RESERVE
        self._content = mmap.mmap(-1, self.reserved, flags=flags, prot=mmap.PROT_READ | mmap.PROT_WRITE)
        self.base = ctypes.addressof(ctypes.c_char.from_buffer(self._content))
        used = _whole_pages(minimum)
        if used < self.reserved and _mprotect(self.base + used, self.reserved - used, _CLOSED):
            number = ctypes.get_errno()
            raise OSError(number, f"the access to its address space cannot be changed: {os.strerror(number)}")
        if image is not None:
            image.map(self.base, _NO_RESERVE)
        #: Its smallest size, which is also the one that it begins with.
        self.minimum = self.size = minimum
        self._unviewed = sys.getrefcount(self._content)

    def grow(self, size: int) -> bool:
        """Make `size` bytes accessible; return whether that was possible, also within the guest's budget."""
        if size > self.limit:
            return False
        more = size - self.size
        if not self.budget.take(more):
            self.budget.refuse_growth(more)
            return False
        if not self._open(size):
            self.budget.give_back(more)
            return False
        self.size = size
        return True

    def view(self, address: int, length: int) -> memoryview:
        """View the bytes at `address`; the caller releases the view. Raises `Misfit` if not all are in the memory."""
        self.require(address, length)
        return memoryview(self._content)[address : address + length]

    def unpack(self, layout: struct.Struct, address: int) -> tuple[Any, ...]:
        """Return the numbers at `address`; raises `Misfit` if they are not all in the memory."""
        self.require(address, layout.size)
        return layout.unpack_from(self._content, address)

    def read_u32(self, address: int) -> int:
        """Return the number at `address`; raises `Misfit` if it is not entirely in the memory."""
        if address + _U32.size > self.size:
            raise self._outside(address, _U32.size)
        number: int = _U32.unpack_from(self._content, address)[0]
        return number

    def require(self, address: int, length: int) -> None:
        """Raise `Misfit` if not all bytes at `address` are in the memory."""
        if address + length > self.size:
            raise self._outside(address, length)

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

    def _open(self, size: int) -> bool:
        """Make the first `size` bytes accessible; return whether that was possible."""
        return not size or not _mprotect(self.base, _whole_pages(size), _OPEN)


def _whole_pages(size: int) -> int:
    """Return the size of the pages that have the first `size` bytes."""
    return -(-size // mmap.PAGESIZE) * mmap.PAGESIZE


class GuestMemory:
    """The memory of one guest as the host sees it, and the views that an implementation borrows for one call."""

    where = "while a memory of the guest was made"

    def __init__(self, ending: capi.Ending = _UNKNOWN_ENDING, budget: MemoryBudget | None = None) -> None:
        self.ending = ending
        self.budget = MemoryBudget() if budget is None else budget
        #: All its memories, and the heap of its garbage collector if it has one.
        self.parts: list[LinearMemory] = []
        #: The image that its own memories begin with.
        self.image: MemoryImage | None = None
        #: The number of memories to come that are not the guest's own.
        self.others = 0
        #: The views that `take_back` has to release.
        self.lent: list[memoryview] = []

    def image_of(self, minimum: int) -> MemoryImage | None:
        """Return the image for the next memory, which begins with `minimum` bytes; None if it begins with zeros.

        The heap of a guest's garbage collector, which begins with no bytes, has no image. Raises RuntimeError for a
        memory that the image is not of.
        """
        image = self.image
        if image is None or self.others or not minimum:
            return None
        if minimum != image.minimum:
            raise RuntimeError(
                f"a memory of the guest begins with {minimum} bytes, and its image is of {image.minimum}; please "
                "report this error of the host"
            )
        return image

    def add(self, memory: LinearMemory) -> None:
        """Add a memory that the engine requested."""
        if self.others:
            self.others -= 1
        else:
            self.parts.append(memory)

    @property
    def only(self) -> LinearMemory:
        """The only memory, which addresses refer to; raises `Misfit` if there is none, or more than one.

        The heap of a guest's garbage collector does not count. The engine requests it like a memory, but it is the only
        one that begins with no bytes: components with such a memory are not rewritten.
        """
        if len(self.parts) == 1:
            return self.parts[0]
        memories = [part for part in self.parts if part.minimum]
        if len(memories) != 1:
            raise Misfit(GuestTrap, f"the guest has {len(memories)} memories, and one is needed")
        return memories[0]

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
        for part in self.parts:  # noqa: SIM110  # a generator would take longer, and so would the property of a part
            if sys.getrefcount(part._content) > part._unviewed:
                return True
        return False

    def close(self) -> None:
        """Forget the memories, which end with their store."""
        self.take_back()
        self.parts.clear()
        self.image = None
