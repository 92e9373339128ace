"""WASI 0.2 in Python, on generated bindings: for worlds that a test looks into, and for interfaces with streams.

`World` has all that a guest gets. Its definitions take the place of the engine's WASI, so that interfaces of one's own
can use the streams and pollables of WASI.

    world            all together
    cli, clocks, randomness, sockets, files    the packages of WASI
    streams, pipes, polling    `wasi:io`, and where bytes come from and go to
    limits           the most that a guest may have
"""

from __future__ import annotations

from wasi_bindings import BUFFERS

from .clocks import Clock, SystemClock, TestClock
from .files import Files, Folder
from .limits import Limits
from .pipes import Pipe
from .streams import InputStream, OutputStream, Sink, Source
from .world import World, add_to_linker

__all__ = [
    "BUFFERS",
    "Clock",
    "Files",
    "Folder",
    "InputStream",
    "Limits",
    "OutputStream",
    "Pipe",
    "Sink",
    "Source",
    "SystemClock",
    "TestClock",
    "World",
    "add_to_linker",
]
