"""The image that the memories of one compiled guest begin with: the host has it once, and each memory maps it.

In: the content of an image. Out: mappings of it. A guest that writes to such a mapping gets a copy of the page that it
writes to, which nothing else can see.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import weakref

from .. import sealed_files
from ..rewrite import Image

#: `PROT_READ | PROT_WRITE`.
_OPEN = 3
#: `MAP_FIXED`, for which Python has no name.
_FIXED = 0x10
#: `MAP_FAILED`.
_FAILED = ctypes.c_void_p(-1).value

if os.name == "posix":
    _mmap = ctypes.CDLL(None, use_errno=True).mmap
    _mmap.restype = ctypes.c_void_p
    _mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]


class MemoryImage:
    """The first content of memories that begin with `minimum` bytes, in a file that nothing can change.

    The file only has the pages from the first to the last byte of the content. Raises OSError if it cannot be made.
    """

    def __init__(self, content: Image) -> None:
        self.minimum = content.minimum
        #: The address in a guest where the pages of the file begin, and their size in bytes.
        self.start = content.start // mmap.PAGESIZE * mmap.PAGESIZE
        self.size = -(-content.end // mmap.PAGESIZE) * mmap.PAGESIZE - self.start
        self._file = sealed_files.new_file("memory image")
        weakref.finalize(self, os.close, self._file).atexit = False
        os.ftruncate(self._file, self.size)
        for address, piece in content.pieces:
            self._write(address, piece)
        sealed_files.seal(self._file)

    def map(self, base: int, flags: int) -> None:
        """Map the image into the memory at `base`, which has at least `minimum` bytes; raises OSError.

        `flags` are further flags of the mapping.
        """
        flags |= mmap.MAP_PRIVATE | _FIXED
        if _mmap(base + self.start, self.size, _OPEN, flags, self._file, 0) in (None, _FAILED):
            number = ctypes.get_errno()
            raise OSError(number, f"its first content cannot be mapped: {os.strerror(number)}")

    def _write(self, address: int, piece: memoryview) -> None:
        while piece:
            written = os.pwrite(self._file, piece, address - self.start)
            address, piece = address + written, piece[written:]
