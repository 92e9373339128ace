"""A worker for tests: it answers with JSON, and misbehaves if it is asked to."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import os
import struct
import sys

from wasi_nn_torch.workers.channel import Channel

_loaded = False


def load() -> None:
    """Called in the server, before any worker."""
    global _loaded
    _loaded = True


def fork_once() -> None:
    """Called in the server: let it fork once, as on a system without room for more processes."""
    forks = [os.fork]

    def fork() -> int:
        if not forks:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        return forks.pop()()

    os.fork = fork


def answer(channel: Channel) -> None:
    while True:
        request = bytes(channel.receive()).decode()
        if request == "crash":
            ctypes.string_at(1)
        elif request == "loop":
            while True:
                pass
        elif request == "announce":
            _raw(channel, struct.pack("<I", 0xFFFFFFFF))
        elif request == "flood":
            channel.send(bytes((1 << 20) + 1))
        elif request == "send a descriptor":
            channel.send(json.dumps("sent").encode(), descriptors=[0])
        else:
            channel.send(json.dumps(_facts(request)).encode())


def _facts(request: str) -> object:
    if request == "descriptors":
        return sum(_is_open(number) for number in range(64))
    return {
        "loaded": _loaded,
        "environment": dict(os.environ),
        "pid": os.getpid(),
        "modules": [
            name for name in ("torch", "wasi_nn_torch.engine", "wasi_nn_torch.sessions") if name in sys.modules
        ],
    }[request]


def _is_open(number: int) -> bool:
    try:
        fcntl.fcntl(number, fcntl.F_GETFD)
    except OSError:
        return False
    return True


def _raw(channel: Channel, content: bytes) -> None:
    os.write(channel.fileno(), content)
