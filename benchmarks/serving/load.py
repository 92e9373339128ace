"""A load generator: clients that keep their connections and send one request after the other, in one thread."""

from __future__ import annotations

import selectors
import socket
import statistics
import time
from contextlib import suppress
from dataclasses import dataclass

_PATIENCE = 60.0


@dataclass(frozen=True)
class Load:
    """The requests a second, and the quantiles of the latency in seconds."""

    rate: float
    p50: float
    p99: float


class _Client:
    """One connection: sends the request whenever the answer to the one before is complete."""

    def __init__(self, address: tuple[str, int], request: bytes) -> None:
        self.socket = socket.create_connection(address)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.seconds: list[float] = []
        self._request = memoryview(request)
        self._buffer = bytearray(1 << 20)
        self.start()

    def start(self) -> None:
        self._sent = self._received = 0
        self._expected: int | None = None
        self._began = time.perf_counter()

    def send(self) -> bool:
        """Send what the socket takes; return whether all was sent."""
        with suppress(BlockingIOError):
            self._sent += self.socket.send(self._request[self._sent :])
        return self._sent == len(self._request)

    def receive(self) -> bool:
        """Receive what has arrived; return whether the answer is complete."""
        got = self.socket.recv_into(memoryview(self._buffer)[self._received :])
        if not got:
            raise ConnectionError("the server closed the connection")
        self._received += got
        if self._expected is None:
            end = self._buffer.find(b"\r\n\r\n", 0, self._received)
            if end < 0:
                return False
            head = bytes(self._buffer[:end]).lower()
            if not head.startswith(b"http/1.1 200"):
                raise RuntimeError(bytes(self._buffer[: self._received]).decode("latin-1")[:500])
            length = head.partition(b"\r\ncontent-length: ")[2].partition(b"\r\n")[0]
            self._expected = end + 4 + int(length)
        if self._received < self._expected:
            return False
        self.seconds.append(time.perf_counter() - self._began)
        return True


def load(address: tuple[str, int], request: bytes, clients: int, seconds: float, warm_up: float = 0.5) -> Load:
    """Send a request again and again from some clients for some seconds, after a time that does not count."""
    selector = selectors.DefaultSelector()
    for _ in range(clients):
        client = _Client(address, request)
        selector.register(client.socket, selectors.EVENT_WRITE, client)
    _run(selector, time.perf_counter() + warm_up)
    every: list[_Client] = [key.data for key in selector.get_map().values()]
    for client in every:
        client.seconds.clear()
    started = time.perf_counter()
    _run(selector, started + seconds)
    while sum(len(client.seconds) for client in every) < clients:  # a server that is slow takes longer
        if time.perf_counter() - started > _PATIENCE:
            raise TimeoutError(f"the server has not answered {clients} requests within {_PATIENCE:g} s")
        _run(selector, time.perf_counter() + seconds)
    taken = time.perf_counter() - started
    for client in every:
        client.socket.close()
    latencies = sorted(second for client in every for second in client.seconds)
    return Load(len(latencies) / taken, statistics.median(latencies), latencies[int(len(latencies) * 0.99)])


def _run(selector: selectors.BaseSelector, end: float) -> None:
    while time.perf_counter() < end:
        for key, _ in selector.select(0.1):
            client: _Client = key.data
            if key.events == selectors.EVENT_WRITE:
                if client.send():
                    selector.modify(client.socket, selectors.EVENT_READ, client)
            elif client.receive():
                client.start()
                if not client.send():
                    selector.modify(client.socket, selectors.EVENT_WRITE, client)
