"""Servers of HTTP that do what a test tells them, on a port of this machine."""

from __future__ import annotations

import re
import socket
import ssl
import threading
from contextlib import contextmanager, suppress


class Peer:
    """A server: its `port`, and the `requests` that arrived, each as the bytes up to the end of its head."""

    def __init__(self, behave, tls=None, family=socket.AF_INET) -> None:
        self.requests: list[bytes] = []
        self.connections = 0
        self._behave = behave
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1" if family == socket.AF_INET else "::1", 0), family=family)
        self.port = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            thread = threading.Thread(target=self._serve, args=[connection])
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection) -> None:
        with suppress(OSError), connection:
            connection.settimeout(30)
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
            self._behave(self, connection)

    def head(self, connection) -> bytes:
        """Read the head of a request; the bytes after it are returned."""
        received = b""
        while b"\r\n\r\n" not in received:
            part = connection.recv(1 << 16)
            if not part:
                raise OSError("the client has gone")
            received += part
        head, _, rest = received.partition(b"\r\n\r\n")
        self.requests.append(head)
        return rest

    def close(self) -> None:
        """Stop to listen."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(30)
            assert not thread.is_alive(), "a connection was left open"


@contextmanager
def peer(behave, **given):
    """A server that calls `behave(peer, connection)` for each connection; see `saying` for a simple one."""
    made = Peer(behave, **given)
    try:
        yield made
    finally:
        made.close()


def saying(answer: bytes):
    """Answers each request with these bytes, and closes the connection."""

    def behave(peer, connection):
        peer.head(connection)
        connection.sendall(answer)

    return behave


def echoing(peer, connection):
    """Answers with the body, as it arrives: with its chunks, or with as many bytes as its length says."""
    rest = peer.head(connection)
    length = re.search(rb"content-length: (\d+)", peer.requests[-1])
    framing = b"transfer-encoding: chunked" if length is None else length[0]
    connection.sendall(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\n" + rest)
    left = None if length is None else int(length[1]) - len(rest)
    while left != 0 and not (left is None and rest.endswith(b"0\r\n\r\n")):
        rest = connection.recv(1 << 16)
        if not rest:
            return
        connection.sendall(rest)
        left = None if left is None else left - len(rest)


def certificate(folder, run, name="localhost"):
    """Make a certificate for a name with openssl; return the contexts of a server, and of a client that trusts it."""
    key, made = folder / "key.pem", folder / "cert.pem"
    subject = ["-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}"]
    subject += ["-addext", "keyUsage=critical,digitalSignature,keyCertSign"]
    run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "3650",
         "-keyout", key, "-out", made, *subject], check=True, capture_output=True)  # fmt: skip
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(made, key)
    return server, ssl.create_default_context(cafile=made)
