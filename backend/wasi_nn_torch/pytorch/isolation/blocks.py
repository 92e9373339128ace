"""Blocks of memory that the host writes and a worker can only read, without a copy in between."""

from __future__ import annotations

import mmap
import os
import sys
from collections.abc import Callable

import torch

if sys.platform == "linux":
    import fcntl

#: `fcntl.F_SEAL_FUTURE_WRITE`, which Python does not name: nobody who gets the descriptor can write to the memory.
_F_SEAL_FUTURE_WRITE = 0x0010


class Block(mmap.mmap):
    """One block; its memory is freed with the last reference to it. `on_free` is called then, with its `number`."""

    number = 0
    on_free: Callable[[int], object] | None = None

    def __del__(self) -> None:
        if self.on_free is not None:
            self.on_free(self.number)


def new_block(size: int) -> tuple[Block, int]:
    """A block, and its descriptor, with which it can be read but not written, grown or shrunk; the caller closes it."""
    descriptor = _memory(size)
    try:
        block = Block(descriptor, size)
        fcntl.fcntl(
            descriptor,
            fcntl.F_ADD_SEALS,
            fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL | _F_SEAL_FUTURE_WRITE,
        )
    except BaseException:
        os.close(descriptor)
        raise
    return block, descriptor


def sealed(content: memoryview) -> int:
    """The descriptor of a copy of some bytes that nobody can change; the caller closes it."""
    descriptor = _memory(0)
    try:
        rest = content.cast("B")
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        fcntl.fcntl(
            descriptor,
            fcntl.F_ADD_SEALS,
            fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL | fcntl.F_SEAL_WRITE,
        )
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def storage_of(block: Block) -> torch.UntypedStorage:
    """The block as a storage of PyTorch, which keeps the block."""
    return torch.frombuffer(block, dtype=torch.uint8).untyped_storage()


def mapped(descriptor: int, size: int) -> mmap.mmap:
    """The memory of a block in the worker, for reading."""
    return mmap.mmap(descriptor, size, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ)


def _memory(size: int) -> int:
    descriptor = os.memfd_create("wasi-nn-torch", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(descriptor, size)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor
