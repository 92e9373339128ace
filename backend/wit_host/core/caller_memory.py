"""The memory of a core module for host functions: views of parts of it, valid during a call.

In: an address and a length that a guest passed. Out: a view of these bytes, after a check of the bounds. The memory may
grow and move whenever the guest runs; so it is located again in each call.
"""

from __future__ import annotations

import ctypes
import struct
import sys
from typing import Any

from .. import capi
from ..errors import GuestTrap
from ..misfits import Misfit


class NoMemory(Exception):
    """The guest exports no memory as `memory`, or only one that it shares with other threads."""


class CallerMemory:
    """The memory of one guest, for the calls of host functions, each between `begin` and `take_back`."""

    def __init__(self) -> None:
        self._caller = 0
        self._is_called = False
        self._memory: capi.ExportedMemory | None = None
        self._place = (0, 0)
        #: Whether `_place` was found in the current call.
        self._is_found = False
        self._content: ctypes.Array[ctypes.c_ubyte] = capi.array_type(ctypes.c_ubyte, 0)()
        self._lent: list[memoryview] = []
        self._unviewed = sys.getrefcount(self._content)

    def begin(self, caller: int) -> None:
        """Begin a call, for which the engine gave `caller`; the guest does not run until `take_back`."""
        self._caller = caller
        self._is_called = True

    def view(self, address: int, length: int, what: str) -> memoryview:
        """View the guest's bytes, writable until the call ends; `what` is their name in messages.

        Raises NoMemory, and `Misfit` if not all of them are in the guest's memory.
        """
        self.check(address, length, what)
        # Each view has its own reference to the content, so that a part of it that is kept can be detected.
        view = memoryview(self._content).cast("B")[address : address + length]
        self._lent.append(view)
        return view

    def read(self, address: int, length: int, what: str) -> memoryview:
        """View the guest's bytes, read-only; otherwise like `view`."""
        self.check(address, length, what)
        view = memoryview(self._content).toreadonly().cast("B")[address : address + length]
        self._lent.append(view)
        return view

    def unpack(self, layout: struct.Struct, address: int, what: str) -> tuple[Any, ...]:
        """Return the guest's values at an address; raises the same as `view`."""
        self.check(address, layout.size, what)
        return layout.unpack_from(self._content, address)

    def pack(self, layout: struct.Struct, address: int, what: str, *values: object) -> None:
        """Store values at an address in the guest's memory; raises the same as `view`."""
        self.check(address, layout.size, what)
        layout.pack_into(self._content, address, *values)

    def check(self, address: int, length: int, what: str) -> None:
        """Raise what `view` would raise for these bytes."""
        if not self._is_found:
            self._locate()
        if address + length > self._place[1]:
            text = f"{length} bytes at address {address} are not all in the guest's memory of {self._place[1]} bytes"
            raise Misfit(GuestTrap, text).inside(what)

    def take_back(self) -> bool:
        """Release all borrowed views; return whether no view that was made from them is left."""
        self._is_called = self._is_found = False
        if not self._lent:
            return True
        is_free = True
        while self._lent:
            try:
                self._lent.pop().release()
            except BufferError:  # another view was made from it
                is_free = False
        return is_free and sys.getrefcount(self._content) <= self._unviewed

    def close(self) -> None:
        """Forget the memory, which ends with its store."""
        self.take_back()
        self._memory = None
        self._open(0, 0)

    def _locate(self) -> None:
        memory = self._memory or self._find()
        place = memory.base, memory.size
        if place != self._place:
            self._open(*place)
        self._is_found = self._is_called

    def _find(self) -> capi.ExportedMemory:
        """Find the memory once, as all calls come from the one instance of the store."""
        memory = self._memory = capi.exported_memory(self._caller)
        if memory is None:
            raise NoMemory("the guest exports no `memory` of its own")
        return memory

    def _open(self, base: int, size: int) -> None:
        self._place = base, size
        self._content = capi.array_type(ctypes.c_ubyte, size).from_address(base)
