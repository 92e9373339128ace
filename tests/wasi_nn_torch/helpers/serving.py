"""An application on a port of this machine, on another thread; and raw connections to it."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Self

from wasi_nn_torch.http.server import Listening, Server


@contextmanager
def served(app, beside=None, port: int = 0, **options: object) -> Iterator[str]:
    """The host and the port where `app` answers in the block; `options` are those of `Listening`."""
    ports: list[int] = []
    is_ready = threading.Event()

    def start(port: int) -> None:
        ports.append(port)
        is_ready.set()

    server = Server(app, Listening(port=port, **options), start, beside)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        assert is_ready.wait(30), "the server did not start"
        yield f"127.0.0.1:{ports[0]}"
    finally:
        server.should_exit = True
        thread.join(30)
        assert not thread.is_alive(), "the server did not stop"


def infer(model: str, *inputs: tuple[str, str, list[int], bytes], headers: str = "", **message: object) -> bytes:
    """The bytes of a request with binary inputs, each a name, a datatype, a shape and data."""
    described = [
        {"name": name, "datatype": datatype, "shape": shape, "parameters": {"binary_data_size": len(data)}}
        for name, datatype, shape, data in inputs
    ]
    text = json.dumps({"inputs": described, **message}).encode()
    body = text + b"".join(data for *_, data in inputs)
    head = (
        f"POST /v2/models/{model}/infer HTTP/1.1\r\nHost: test\r\n{headers}Content-Length: {len(body)}\r\n"
        f"Inference-Header-Content-Length: {len(text)}\r\n\r\n"
    )
    return head.encode() + body


def figures(at: str) -> dict[str, float]:
    """The figures for Prometheus by their names without the prefix, and with their labels."""
    with Connection(at) as connection:
        status, headers, body = connection.send(b"GET /metrics HTTP/1.1\r\nHost: test\r\n\r\n").answer()
    assert (status, headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    rows = (line.rpartition(" ") for line in body.decode().splitlines() if not line.startswith("#"))
    return {name.removeprefix("wasi_nn_torch_"): float(number) for name, _, number in rows}


def until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "the condition does not hold"
        time.sleep(0.005)


class Connection:
    """A raw connection, which sends bytes and reads answers."""

    def __init__(self, at: str, timeout: float = 30.0) -> None:
        host, port = at.split(":")
        self.socket = socket.create_connection((host, int(port)), timeout)
        self._rest = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> Connection:
        """Send bytes."""
        self.socket.sendall(data)
        return self

    def answer(self) -> tuple[int, dict[str, str], bytes]:
        """The status, the headers and the body of the next answer; raises EOFError if the connection is closed."""
        while b"\r\n\r\n" not in self._rest:
            self._more()
        head, _, self._rest = self._rest.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        length = int(headers.get("content-length", "0"))
        while len(self._rest) < length:
            self._more()
        body, self._rest = self._rest[:length], self._rest[length:]
        return int(first.split()[1]), headers, body

    def error(self) -> tuple[int, str]:
        """The status and the text of the next answer, which is an error."""
        status, headers, body = self.answer()
        assert headers["content-type"] == "application/json"
        return status, json.loads(body)["error"]

    def until(self, end: bytes) -> bytes:
        """Read on until something has arrived; return what has, since the last call."""
        while end not in self._rest:
            self._more()
        found, self._rest = self._rest, b""
        return found

    def chunked(self) -> bytes:
        """The body of the next answer, which is sent in chunks."""
        while not self._rest.endswith(b"\r\n0\r\n\r\n"):
            self._more()
        received, self._rest = self._rest, b""
        rest, content = received.partition(b"\r\n\r\n")[2], b""
        while (size := int(rest.partition(b"\r\n")[0], 16)) > 0:
            rest = rest.partition(b"\r\n")[2]
            content, rest = content + rest[:size], rest[size + 2 :]
        return content

    def is_closed(self) -> bool:
        """Whether the server closes the connection, sooner or later, without sending more."""
        try:
            return self.socket.recv(1) == b""
        except ConnectionResetError:
            return True

    def _more(self) -> None:
        part = self.socket.recv(1 << 16)
        if not part:
            raise EOFError("the connection was closed")
        self._rest += part
