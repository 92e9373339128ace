"""Requests that ask for another protocol, as `Upgrade: h2c` does: they are answered in this one, as HTTP allows.

Clients of Java ask so with their first request, and `curl --http2` does. The parser takes what follows such headers for
the other protocol, so it is given those headers once more that say how long the body is.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Protocol

import httptools

_FRAMING = (b"content-length", b"transfer-encoding")


class Framed(Protocol):
    """Takes the events of a parser; `go_on` is called after a request that asks for another protocol."""

    def go_on(self) -> None:
        """Let the parser read the body of that request, if it has one."""
        ...


class Parser(httptools.HttpRequestParser):
    """A parser that reads on after a request that asks for another protocol."""

    def __init__(self, protocol: Framed) -> None:
        super().__init__(protocol)
        self._protocol = protocol

    def feed_data(self, data: bytes | bytearray | memoryview[int] | array[int]) -> None:
        """Read what has arrived; raises `httptools.HttpParserError`."""
        while True:
            try:
                super().feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                data = bytes(data[upgrade.args[0] :])
                self._protocol.go_on()
            else:
                return


def frame_of(headers: Sequence[tuple[bytes, bytes]]) -> bytes:
    """The head of a request with the same body; empty if it has none."""
    lines = [b"%b: %b\r\n" % (name, value) for name, value in headers if name in _FRAMING]
    return b"".join([b"POST / HTTP/1.1\r\n", *lines, b"\r\n"]) if lines else b""
