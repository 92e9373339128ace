"""Linear memories whose bytes a test can read and write: the engine asks this module for each memory that it makes."""

from __future__ import annotations

import ctypes
import mmap
from typing import Any

import wasmtime
from wasmtime import _ffi as ffi  # noqa: TID251  # a creator of memories is part of the C API alone

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
_libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
_libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]

_READ_WRITE = mmap.PROT_READ | mmap.PROT_WRITE
_UNRESERVED = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0)
_Finalizer = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class _Memory:
    def __init__(self, size: int, reserved: int, guard: int) -> None:
        self.size, self.largest, self.total = size, max(size, reserved), max(size, reserved) + guard
        self.base = _libc.mmap(None, self.total, 0, _UNRESERVED, -1, 0)
        self.grow(size)

    def grow(self, size: int) -> bool:
        if size > self.largest or _libc.mprotect(self.base, size, _READ_WRITE):
            return False
        self.size = size
        return True


class RawMemories:
    """Owns an engine and the memories of its guests; `close` after the last store. A test has one guest at a time."""

    def __init__(self) -> None:
        self._memories: dict[int, _Memory] = {}
        self._made = 0
        config = wasmtime.Config()
        ffi.wasmtime_config_memory_init_cow_set(config.ptr(), False)
        self._creator = ffi.wasmtime_memory_creator_t()
        self._callbacks = (
            ffi.wasmtime_new_memory_callback_t(self._new),
            ffi.wasmtime_memory_get_callback_t(self._get),
            ffi.wasmtime_memory_grow_callback_t(self._grow),
            _Finalizer(self._free),
        )
        self._creator.new_memory = self._callbacks[0]
        self._creator.finalizer = ctypes.cast(None, _Finalizer)
        ffi.wasmtime_config_host_memory_creator_set(config.ptr(), ctypes.byref(self._creator))
        self.engine = wasmtime.Engine(config)

    @property
    def count(self) -> int:
        """How many memories are alive."""
        return len(self._memories)

    def read(self, address: int, length: int) -> bytes:
        """What the guest has there."""
        return bytes(self._view(address, length))

    def write(self, address: int, content: bytes) -> None:
        """Put something where the guest finds it."""
        self._view(address, len(content))[:] = content

    def _view(self, address: int, length: int) -> memoryview:
        (memory,) = self._memories.values()
        if address + length > memory.size:
            raise IndexError(f"{length} bytes at {address} are not in a memory of {memory.size}")
        return memoryview((ctypes.c_uint8 * length).from_address(memory.base + address)).cast("B")

    def _new(self, env: Any, type: Any, size: int, most: int, reserved: int, guard: int, made: Any) -> int:
        self._made += 1
        self._memories[self._made] = _Memory(size, reserved, guard)
        _, made[0].get_memory, made[0].grow_memory, made[0].finalizer = self._callbacks
        made[0].env = self._made
        return 0

    def _get(self, env: int, size: Any, largest: Any) -> int:
        memory = self._memories[env]
        size[0], largest[0] = memory.size, memory.largest
        return memory.base

    def _grow(self, env: int, size: int) -> int:
        return 0 if self._memories[env].grow(size) else ffi.wasmtime_error_new(b"no more memory")

    def _free(self, env: int) -> None:
        memory = self._memories.pop(env)
        _libc.munmap(memory.base, memory.total)
