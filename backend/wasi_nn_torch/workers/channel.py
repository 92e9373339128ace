"""Messages between a host and its workers: bytes, with file descriptors beside them, over a socket."""

from __future__ import annotations

import array
import select
import socket
import struct
from collections.abc import Callable, Sequence

#: How long to wait before asking again, in seconds; raises an exception if the wait must end.
Patience = Callable[[], float]

_HEADER = struct.Struct("<I")
#: The most descriptors of one message.
_MOST_DESCRIPTORS = 8
_DESCRIPTOR = array.array("i").itemsize


class ChannelClosed(Exception):
    """The process at the other end is gone."""


class InvalidMessage(Exception):
    """The process at the other end sent something that is not a message."""


class Channel:
    """One end of a connection. It owns its socket; used by one thread at a time.

    A message is its length, as a little-endian number of 32 bits, and its bytes.
    """

    def __init__(self, connection: socket.socket, most_bytes: int = 1 << 32) -> None:
        connection.setblocking(False)
        self._connection = connection
        self._most_bytes = most_bytes

    @classmethod
    def pair(cls, most_bytes: int) -> tuple[Channel, socket.socket]:
        """A channel that refuses messages of more than `most_bytes`, and the socket for the other end."""
        here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        return cls(here, most_bytes), there

    def send(
        self, content: bytes | bytearray, *, descriptors: Sequence[int] = (), patience: Patience | None = None
    ) -> None:
        """Send a message; raises ChannelClosed, and the exceptions of `patience`."""
        pending = [memoryview(_HEADER.pack(len(content))), memoryview(content)]
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
        while pending:
            try:
                sent = self._connection.sendmsg(pending, ancillary)
            except BlockingIOError:
                self._wait(select.POLLOUT, patience)
                continue
            except OSError:
                sent = -1
            if sent < 0:
                raise ChannelClosed
            ancillary = []
            while pending and sent >= len(pending[0]):
                sent -= len(pending.pop(0))
            if sent:
                pending[0] = pending[0][sent:]

    def receive(self, patience: Patience | None = None) -> bytearray:
        """The next message; descriptors beside it are discarded.

        Raises ChannelClosed, InvalidMessage for a message that is too long, and the exceptions of `patience`.
        """
        (length,) = _HEADER.unpack(self._exactly(_HEADER.size, patience))
        return self._exactly(self._checked(length), patience)

    def receive_with_descriptors(self) -> tuple[bytearray, list[int]]:
        """The next message, and the descriptors beside it, which the caller owns; raises ChannelClosed."""
        self._wait(select.POLLIN, None)
        try:
            head, ancillary, _, _ = self._connection.recvmsg(
                _HEADER.size, socket.CMSG_SPACE(_MOST_DESCRIPTORS * _DESCRIPTOR), socket.MSG_CMSG_CLOEXEC
            )
        except OSError:
            raise ChannelClosed from None
        descriptors = array.array("i")
        for level, kind, data in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                descriptors.frombytes(data[: len(data) - len(data) % _DESCRIPTOR])
        if not head:
            raise ChannelClosed
        head += self._exactly(_HEADER.size - len(head), None)
        (length,) = _HEADER.unpack(head)
        return self._exactly(self._checked(length), None), list(descriptors)

    def fileno(self) -> int:
        """The descriptor of the socket, for waiting."""
        return self._connection.fileno()

    def close(self) -> None:
        """Close this end; a second call does nothing."""
        self._connection.close()

    def _checked(self, length: int) -> int:
        if length > self._most_bytes:
            raise InvalidMessage(f"a message of {length} bytes was announced; at most {self._most_bytes} are allowed")
        return length

    def _exactly(self, size: int, patience: Patience | None) -> bytearray:
        content = bytearray(size)
        rest = memoryview(content)
        while rest:
            try:
                received = self._connection.recv_into(rest)
            except BlockingIOError:
                self._wait(select.POLLIN, patience)
                continue
            except OSError:
                received = 0
            if not received:
                raise ChannelClosed
            rest = rest[received:]
        return content

    def _wait(self, event: int, patience: Patience | None) -> None:
        waiting = select.poll()
        try:
            waiting.register(self._connection, event)
        except ValueError:  # it was closed
            raise ChannelClosed from None
        while True:
            seconds = None if patience is None else patience()
            if waiting.poll(None if seconds is None else max(seconds, 0.001) * 1000):
                return
