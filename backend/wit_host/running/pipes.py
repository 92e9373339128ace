"""Writing to pipes and sockets whose reader may never read.

In: a file descriptor. Out: a function that writes everything, and stops as soon as the guest has to stop. It does not
change the descriptor, which the program shares with others.
"""

from __future__ import annotations

import os
import select
import socket
import stat
from collections.abc import Callable

#: The milliseconds between two checks.
_INTERVAL = 20


def is_pipe(descriptor: int) -> bool:
    """Return whether this is a pipe or a socket, which `Pipe` can write to; False for a closed descriptor."""
    if os.name != "posix":
        return False
    try:
        mode = os.fstat(descriptor).st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


class Pipe:
    """Writes to `descriptor`; before that, it calls `prepare`."""

    def __init__(self, descriptor: int, prepare: Callable[[], object] = bool) -> None:
        self._descriptor = descriptor
        self._prepare = prepare
        #: Raises if the guest has to stop.
        self.check: Callable[[], object] = bool

    def __call__(self, data: bytes) -> None:
        """Write all of `data`. Raises OSError, and the exceptions of `check`."""
        self._prepare()
        poll = select.poll()
        poll.register(self._descriptor, select.POLLOUT)
        write = _send if stat.S_ISSOCK(os.fstat(self._descriptor).st_mode) else _write
        rest = memoryview(data)
        while rest:
            self.check()
            if poll.poll(_INTERVAL):
                rest = rest[write(self._descriptor, rest) :]


def _write(descriptor: int, data: memoryview) -> int:
    """Write no more than fits into a pipe that has room, so that it does not wait; return the number of bytes."""
    try:
        return os.write(descriptor, data[: select.PIPE_BUF])
    except BlockingIOError:
        return 0


def _send(descriptor: int, data: memoryview) -> int:
    with socket.socket(fileno=os.dup(descriptor)) as connection:
        try:
            return connection.send(data, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return 0
