"""WASI 0.2 in Python, on generated bindings: for worlds that a test looks into, and for interfaces with streams.

`World` has all that a guest gets. Its definitions take the place of the engine's WASI, so that interfaces of one's own
can use the streams and pollables of WASI.

    world            all together
    http, cli, clocks, randomness, sockets, files    the packages of WASI
    streams, pipes, polling    `wasi:io`, and where bytes come from and go to
    limits           the most that a guest may have
"""

from __future__ import annotations

import wasi_bindings
import wasi_http_bindings

from .clocks import Clock, SystemClock, TestClock
from .files import Files, Folder
from .http import Destination, Outgoing
from .limits import Limits
from .pipes import Pipe
from .streams import InputStream, OutputStream, Sink, Source
from .world import World, add_to_linker

#: The interfaces with `list<u8>` in them, for `Engine.compile`.
BUFFERS: tuple[str, ...] = (*wasi_bindings.BUFFERS, *wasi_http_bindings.BUFFERS)

__all__ = [
    "BUFFERS",
    "Clock",
    "Destination",
    "Files",
    "Folder",
    "InputStream",
    "Limits",
    "Outgoing",
    "OutputStream",
    "Pipe",
    "Sink",
    "Source",
    "SystemClock",
    "TestClock",
    "World",
    "add_to_linker",
]
