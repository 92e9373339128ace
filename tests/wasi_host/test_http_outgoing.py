"""Requests that a real guest makes: what is refused, what is sent, and what the guest gets."""

from __future__ import annotations

import shutil
import socket
import subprocess
import threading
import time

import pytest

from tests.conftest import built
from tests.wasi_host.helpers.answering import Answering
from tests.wasi_host.helpers.peers import certificate, echoing, peer, saying
from tests.wit_host.test_waits import SOON
from wasi_host import Outgoing
from wasi_host.http import connecting
from wit_host import GuestTimeout

HELLO = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nx-test: 1\r\n\r\nhello"


@pytest.fixture(scope="module")
def guest(engine):
    return Answering(engine, built("build/tests/http_python.wasm"))


def at(server, *, scheme="http", host="localhost", networks=("127.0.0.0/8",)):
    """The policy that allows a server of this machine."""
    return Outgoing(["@".join([f"{scheme}://{host}:{server.port}", *networks])])


def code(guest, url, outgoing, path="/code"):
    """The name of the error that the guest gets for a URL."""
    status, _, body = guest.ask(f"{path}?{url}", outgoing=outgoing)
    assert status == 200
    return body.decode()


def nothing_runs():
    """Whether all requests of guests have ended."""
    return not any(thread.name == "wasi-http-request" for thread in threading.enumerate())


@pytest.fixture(autouse=True)
def nothing_is_left():
    yield
    end = time.monotonic() + SOON
    while not nothing_runs():
        assert time.monotonic() < end, "a request runs on after its guest has ended"
        time.sleep(0.01)


# --- what is refused ---


def test_without_a_policy_every_request_is_denied(guest):
    with peer(saying(HELLO)) as server:
        assert code(guest, f"http://127.0.0.1:{server.port}/", None) == "HttpRequestDenied"
        assert server.connections == 0


@pytest.mark.parametrize(
    "url",
    [
        "https://localhost:{port}/",
        "http://localhost:1/",
        "http://localhost/",
        "http://localhost.:{port}/",
        "http://sub.localhost:{port}/",
        "http://127.0.0.1:{port}/",
        "http://[::1]:{port}/",
        "http://2130706433:{port}/",
    ],
)
def test_only_the_same_scheme_host_and_port_are_allowed(guest, url):
    with peer(saying(HELLO)) as server:
        assert code(guest, url.format(port=server.port), at(server)) == "HttpRequestDenied"
        assert server.connections == 0


@pytest.mark.parametrize("scheme", ["ftp", "file", "ws"])
def test_other_schemes_than_http_are_not_valid(guest, scheme):
    with peer(saying(HELLO)) as server:
        assert code(guest, f"{scheme}://localhost:{server.port}/", at(server)) == "HttpRequestUriInvalid"


def test_the_host_is_compared_without_regard_to_case(guest):
    with peer(saying(HELLO)) as server:
        assert code(guest, f"http://LOCALHOST:{server.port}/", at(server)) == "5 bytes"


def test_a_name_that_leads_to_this_machine_is_prohibited(guest):
    with peer(saying(HELLO)) as server:
        assert code(guest, f"http://localhost:{server.port}/", at(server, networks=())) == "DestinationIpProhibited"
        assert server.connections == 0


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.1.2.3", "169.254.169.254", "192.168.0.1", "100.64.0.1", "0.0.0.0", "::1", "::ffff:127.0.0.1"],
)
def test_a_name_that_is_allowed_cannot_be_pointed_at_a_network_of_the_host(guest, address, monkeypatch):
    connected = watch_connections(monkeypatch)
    resolve_to(monkeypatch, [[address]])
    assert code(guest, "http://api.example:80/", Outgoing(["http://api.example"])) == "DestinationIpProhibited"
    assert connected == []


def test_the_address_that_was_checked_is_the_one_that_is_connected_to(guest, monkeypatch):
    connected = watch_connections(monkeypatch)
    lookups = resolve_to(monkeypatch, [["93.184.216.34"], ["127.0.0.1"]])
    assert code(guest, "http://api.example/", Outgoing(["http://api.example"])) == "ConnectionRefused"
    assert connected == [("93.184.216.34", 80)]
    assert lookups == ["api.example"]


def test_of_several_addresses_only_those_that_are_allowed_are_tried(guest, monkeypatch):
    connected = watch_connections(monkeypatch)
    resolve_to(monkeypatch, [["127.0.0.1", "93.184.216.34", "10.0.0.1"]])
    code(guest, "http://api.example/", Outgoing(["http://api.example"]))
    assert connected == [("93.184.216.34", 80)]


def resolve_to(monkeypatch, answers):
    """Have each lookup give the next list of addresses; the names that were looked up are returned."""
    asked, left = [], list(answers)

    def lookup(host, port, *_, **__):
        asked.append(host)
        addresses = left.pop(0)
        kinds = [socket.AF_INET6 if ":" in each else socket.AF_INET for each in addresses]
        return [(kind, socket.SOCK_STREAM, 6, "", (each, port)) for kind, each in zip(kinds, addresses, strict=True)]

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    return asked


def watch_connections(monkeypatch):
    """Refuse all connections; where they would lead is returned."""
    tried = []

    async def refuse(made, address, port):
        tried.append((address, port))
        raise ConnectionRefusedError

    monkeypatch.setattr(connecting, "connect", refuse)
    return tried


def test_a_name_that_nobody_knows_is_an_error_of_names(guest):
    assert code(guest, "http://nobody.invalid/", Outgoing(["http://nobody.invalid"])) in ("DnsError", "DnsTimeout")


def test_a_port_that_nobody_listens_on_refuses_the_connection(guest):
    with peer(saying(HELLO)) as server:
        pass
    assert code(guest, f"http://localhost:{server.port}/", at(server)) == "ConnectionRefused"


def test_redirects_are_not_followed(guest):
    redirect = b"HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n"
    with peer(saying(redirect)) as server:
        status, headers, _ = guest.ask(f"/fetch?http://localhost:{server.port}/", outgoing=at(server))
        assert (status, headers["location"]) == (302, b"http://169.254.169.254/")
        assert server.connections == 1


def test_proxies_of_the_environment_are_not_used(guest, monkeypatch):
    with peer(saying(HELLO)) as server, peer(saying(HELLO)) as proxy:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
        assert code(guest, f"http://localhost:{server.port}/", at(server)) == "5 bytes"
        assert proxy.connections == 0


# --- what is sent, and what arrives ---


def test_a_guest_gets_a_response(guest):
    with peer(saying(HELLO)) as server:
        answer = guest.ask(f"/fetch?http://localhost:{server.port}/path?query", outgoing=at(server))
        assert answer == (200, {"x-test": b"1"}, b"hello")
        first, *headers = server.requests[0].decode().split("\r\n")
        assert first == "GET /path?query HTTP/1.1"
        assert headers == [f"host: localhost:{server.port}"]


def test_an_address_is_allowed_by_itself(guest):
    with peer(saying(HELLO)) as server:
        policy = at(server, host="127.0.0.1", networks=())
        assert code(guest, f"http://127.0.0.1:{server.port}/", policy) == "5 bytes"


def test_bodies_flow_in_both_directions_at_once(guest):
    pieces = [bytes([number]) * 10_000 for number in range(50)]
    with peer(echoing) as server:
        path = f"/post?http://localhost:{server.port}/"
        answer = guest.ask(path, method="POST", body=pieces, outgoing=at(server))
        assert answer == (200, {}, b"".join(pieces))
        assert b"transfer-encoding: chunked" in server.requests[0]


def test_a_response_is_passed_on_as_it_arrives(guest):
    arrived = threading.Event()

    def behave(server, connection):
        server.head(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\nfirst")
        arrived.wait(SOON)
        connection.sendall(b" second")

    with peer(behave) as server:
        threading.Timer(0.2, arrived.set).start()
        answer = guest.ask(f"/fetch?http://localhost:{server.port}/", outgoing=at(server))
    assert answer == (200, {}, b"first second")


def together(number):
    """Answers when `number` requests have arrived."""
    barrier = threading.Barrier(number)

    def behave(server, connection):
        server.head(connection)
        barrier.wait(SOON)
        connection.sendall(HELLO)

    return behave


def test_a_guest_makes_several_requests_at_the_same_time(guest):
    with peer(together(3)) as server:
        urls = "|".join([f"http://localhost:{server.port}/"] * 3)
        assert guest.ask(f"/all?{urls}", outgoing=at(server))[2] == b"5 5 5"


def test_a_guest_has_a_limited_number_of_connections(guest):
    with peer(together(2)) as server:
        urls = "|".join([f"http://localhost:{server.port}/"] * 3)
        policy = Outgoing([f"http://localhost:{server.port}@127.0.0.0/8"], connections=2)
        assert guest.ask(f"/all?{urls}", outgoing=policy)[2] == b"5 5 ConnectionLimitReached"
        assert server.connections == 2


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"", "HttpResponseIncomplete"),
        (b"HTTP/1.1 200 OK\r\ncontent-le", "HttpResponseIncomplete"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf", "HttpResponseIncomplete"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello", "HttpResponseIncomplete"),
        (b"this is not HTTP\r\n\r\n", "HttpProtocolError"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello", "HttpProtocolError"),
        (b"HTTP/1.1 200 OK\r\nx: a\0b\r\n\r\n", "HttpProtocolError"),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", "HttpProtocolError"),
        (b"HTTP/1.1 200 OK\r\nx: " + b"x" * 100_000 + b"\r\n\r\n", "HttpResponseHeaderSectionSize"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + HELLO, "5 bytes"),
        (b"HTTP/1.0 200 OK\r\n\r\nuntil the end", "13 bytes"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", "0 bytes"),
    ],
)
def test_an_answer_that_is_not_valid_is_an_error(guest, answer, expected):
    with peer(saying(answer)) as server:
        assert code(guest, f"http://localhost:{server.port}/", at(server)) == expected


def test_a_body_beyond_the_limit_is_an_error(guest):
    endless = b"HTTP/1.1 200 OK\r\n\r\n" + bytes(200_000)
    with peer(saying(endless)) as server:
        policy = Outgoing([f"http://localhost:{server.port}@127.0.0.0/8"], response_body=100_000)
        assert code(guest, f"http://localhost:{server.port}/", policy) == "HttpResponseBodySize"


def test_a_request_beyond_the_limit_is_an_error_for_the_guest(guest):
    with peer(echoing) as server:
        policy = Outgoing([f"http://localhost:{server.port}@127.0.0.0/8"], request_body=10_000)
        with pytest.raises(Exception, match="unreachable"):  # the guest lets its exception escape
            guest.ask(f"/post?http://localhost:{server.port}/", method="POST", body=[bytes(20_000)], outgoing=policy)


# --- time ---


def silent(server, connection):
    """Reads, and never answers."""
    server.head(connection)
    connection.recv(1)


def stalling(server, connection):
    """Begins an answer."""
    server.head(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\nhello")
    connection.recv(1)


@pytest.mark.parametrize(("behave", "expected"), [(silent, "HttpResponseTimeout"), (stalling, "ConnectionReadTimeout")])
def test_a_guest_says_how_long_a_request_may_take(guest, behave, expected):
    with peer(behave) as server:
        assert code(guest, f"http://localhost:{server.port}/", at(server), "/timeouts") == expected


def test_a_guest_cannot_have_more_time_than_the_policy_gives(guest):
    with peer(silent) as server:
        policy = Outgoing([f"http://localhost:{server.port}@127.0.0.0/8"], first_byte_timeout=0.05)
        assert code(guest, f"http://localhost:{server.port}/", policy, "/timeouts") == "HttpResponseTimeout"


def test_a_guest_that_waits_for_a_response_ends_in_time_and_so_does_the_request(guest):
    with peer(silent) as server, pytest.raises(GuestTimeout):
        guest.ask(f"/fetch?http://localhost:{server.port}/", outgoing=at(server), timeout=0.5)


# --- TLS ---


@pytest.fixture(scope="module")
def tls(tmp_path_factory):
    if shutil.which("openssl") is None:
        pytest.skip("no openssl on this machine, which makes the certificate of the test")
    return certificate(tmp_path_factory.mktemp("tls"), subprocess.run)


def test_a_server_with_a_certificate_that_is_trusted_is_asked(guest, tls):
    server_tls, trusting = tls
    with peer(saying(HELLO), tls=server_tls) as server:
        policy = Outgoing([f"https://localhost:{server.port}@127.0.0.0/8"], tls=trusting)
        assert code(guest, f"https://localhost:{server.port}/", policy) == "5 bytes"


def test_a_certificate_that_nobody_vouches_for_is_refused(guest, tls):
    with peer(saying(HELLO), tls=tls[0]) as server:
        assert code(guest, f"https://localhost:{server.port}/", at(server, scheme="https")) == "TlsCertificateError"
        assert server.requests == []


def test_a_certificate_for_another_name_is_refused(guest, tls):
    server_tls, trusting = tls
    with peer(saying(HELLO), tls=server_tls) as server:
        policy = Outgoing([f"https://127.0.0.1:{server.port}"], tls=trusting)
        assert code(guest, f"https://127.0.0.1:{server.port}/", policy) == "TlsCertificateError"
        assert server.requests == []


def test_a_server_without_tls_is_an_error_of_tls(guest):
    def behave(server, connection):
        connection.recv(1)
        connection.sendall(HELLO)

    with peer(behave) as server:
        assert code(guest, f"https://localhost:{server.port}/", at(server, scheme="https")) == "TlsProtocolError"
