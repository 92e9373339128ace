"""Trailers of requests and of answers, as a real guest and a raw client see them."""

from __future__ import annotations

import json
import logging
import threading
from contextlib import contextmanager

import pytest
import uvicorn

from tests.conftest import built
from tests.wasi_host.helpers.peers import echoing, peer
from tests.wasi_nn_torch.helpers.models import Add
from tests.wasi_nn_torch.helpers.serving import Connection, infer, served, until
from wasi_host import Outgoing
from wasi_nn_torch import Engine
from wasi_nn_torch.http import ComponentSettings, create_app

# The engine computes on the CPU.
pytestmark = pytest.mark.cpu


@pytest.fixture(scope="module")
def echo():
    """A server that sends back what it gets, with its trailers."""
    with peer(echoing) as echo:
        yield echo


@pytest.fixture(scope="module")
def app(echo):
    outgoing = Outgoing([f"http://127.0.0.1:{echo.port}"])
    guest = ComponentSettings(built("build/tests/http_python.wasm"), concurrency=2, outgoing=outgoing)
    with Engine("cpu", guest_models="none", async_threads=4) as engine:
        engine.register("net", Add())
        app = create_app(engine, components={"py": guest})
        yield app
        app.close()


@pytest.fixture(scope="module")
def at(app):
    with served(app) as at:
        yield at


def chunked(path, *trailers, headers="", body=b"hello"):
    """A request whose body has one chunk, and trailers."""
    head = f"POST {path} HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n{headers}\r\n".encode()
    end = b"0\r\n" + b"".join(each + b"\r\n" for each in trailers) + b"\r\n"
    return head + b"%x\r\n%b\r\n" % (len(body), body) + end


TE = "TE: trailers\r\nConnection: te\r\n"


def answer(connection):
    """The status, the header lines, the body and the trailer lines of an answer that is sent in chunks."""
    received = connection.until(b"\r\n\r\n")
    while b"\r\n0\r\n" not in received or not received.endswith(b"\r\n\r\n"):
        received += connection.until(b"\r\n")
    head, _, rest = received.partition(b"\r\n\r\n")
    body, _, trailers = rest.rpartition(b"\r\n0\r\n")
    status, *headers = head.decode().split("\r\n")
    content = b""
    rest = body + b"\r\n"
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        content, rest = content + rest[: int(size, 16)], rest[int(size, 16) + 2 :]
    return int(status.split()[1]), headers, content, trailers.decode().split("\r\n")[:-2]


def ask(at, request):
    with Connection(at) as connection:
        found = answer(connection.send(request))
        connection.send(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
        assert answer(connection)[2] == b"hello from Python", "the connection cannot be used for another request"
        return found


# --- those of answers ---


def test_a_client_that_takes_trailers_gets_them(at):
    status, headers, body, trailers = ask(at, chunked("/trailers?x-sum=17&x-more=a", headers=TE))
    assert (status, body) == (200, b"[]")
    assert trailers == ["x-sum: 17", "x-more: a"]
    assert "transfer-encoding: chunked" in headers


def test_trailers_that_an_answer_declares_are_sent_to_everybody(at):
    _, headers, _, trailers = ask(at, chunked("/declared?x-sum=17"))
    assert "trailer: x-sum" in headers
    assert trailers == ["x-sum: 17"]


def test_trailers_that_nobody_expects_are_left_out(at, caplog):
    caplog.set_level(logging.DEBUG, "wasi_nn_torch.http")
    assert ask(at, chunked("/trailers?x-sum=17"))[3] == []
    assert "the trailers of the component py are not sent: the client did not ask for them" in caplog.text


@pytest.mark.parametrize(
    "name",
    ["content-length", "Content-Type", "content-encoding", "set-cookie", "authorization", "trailer", "cache-control"],
)
def test_what_a_message_is_cannot_be_said_after_it(at, name, caplog):
    caplog.set_level(logging.DEBUG, "wasi_nn_torch.http")
    assert ask(at, chunked(f"/trailers?{name}=1&x-sum=17", headers=TE))[3] == ["x-sum: 17"]
    assert f"`{name.lower()}` cannot be a trailer" in caplog.text


def test_trailers_that_are_too_long_are_left_out(at, caplog):
    caplog.set_level(logging.DEBUG, "wasi_nn_torch.http")
    query = "&".join(f"x-{number}={'a' * 50}" for number in range(300))
    assert ask(at, chunked(f"/trailers?{query}", headers=TE))[3] == []
    assert "they are too long" in caplog.text


@pytest.mark.parametrize("request_", ["HEAD /declared?x=1 HTTP/1.1\r\nHost: test\r\n\r\n"])
def test_an_answer_without_a_body_has_no_trailers(at, request_):
    with Connection(at) as connection:
        assert connection.send(request_.encode()).answer()[::2] == (200, b"")
        connection.send(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
        assert answer(connection)[2] == b"hello from Python"


def test_a_client_of_http_1_0_gets_no_trailers(at):
    with Connection(at) as connection:
        connection.send(b"POST /declared?x-sum=17 HTTP/1.0\r\nTE: trailers\r\nContent-Length: 0\r\n\r\n")
        received = b""
        while part := connection.socket.recv(1 << 16):
            received += part
    assert b"trailer: x-sum" in received
    assert b"x-sum: 17" not in received


def test_a_server_that_does_not_offer_trailers_gets_none(app, caplog):
    """As uvicorn without our protocol is, and most others."""
    caplog.set_level(logging.DEBUG, "wasi_nn_torch.http")

    async def without(scope, receive, send):
        del scope["extensions"]
        await app(scope, receive, send)

    without.stop, without.metrics = lambda: None, app.metrics
    with served(without) as at:
        assert ask(at, chunked("/trailers?x-sum=17", headers=TE))[3] == []
    assert "the trailers of the component py are not sent: the server cannot send any" in caplog.text


# --- those of requests ---


def test_a_component_gets_the_trailers_of_a_request(at):
    body = ask(at, chunked("/trailers?x=1", b"X-Sum: 17", b"X-Empty:"))[2]
    assert json.loads(body) == [["x-sum", "17"], ["x-empty", ""]]


def test_a_component_does_not_get_what_is_no_trailer(at):
    fields = (b"Host: other", b"Keep-Alive: 1", b"Content-Type: a/b", b"TE: trailers", b"Trailer: x", b"X-Sum: 17")
    assert json.loads(ask(at, chunked("/trailers?x=1", *fields))[2]) == [["x-sum", "17"]]


def test_trailers_of_a_request_are_not_headers(at):
    fields = (b"X-Request-Id: theirs", b"X-Tenant: other", b"X-Request-Timeout: -1")
    _, headers, body, _ = ask(at, chunked("/request", *fields, headers="X-Request-Id: mine\r\nX-Tenant: a\r\n"))
    assert "x-request-id: mine" in headers
    assert json.loads(body)["headers"] == [["x-request-id", "mine"], ["x-tenant", "a"]]


def test_trailers_of_a_request_to_a_model_are_not_headers(at):
    content = infer("net", ("x", "FP32", [1], bytes(4))).partition(b"\r\n\r\n")[2]
    length = f"Inference-Header-Content-Length: {len(content) - 4}\r\n"
    fields = (b"Content-Encoding: br", b"X-Request-Id: theirs", b"Inference-Header-Content-Length: 1")
    with Connection(at) as connection:
        connection.send(
            chunked("/v2/models/net/infer", *fields, headers=f"X-Request-Id: mine\r\n{length}", body=content)
        )
        status, headers, _ = connection.answer()
    assert (status, headers["x-request-id"]) == (200, "mine")


@pytest.mark.parametrize("field", [b"X y: 1", b"X: a\0b", b"no colon", b"Content-Length: 5", b"Transfer-Encoding: a"])
def test_trailers_that_are_not_valid_end_the_connection(at, field):
    with Connection(at) as connection:
        connection.send(chunked("/trailers?x=1", field))
        try:
            assert b'"a' not in connection.until(b"\r\n\r\n")
        except (EOFError, ConnectionResetError):
            return


@pytest.mark.parametrize("path", ["/trailers?x=1", "/"])
@pytest.mark.parametrize("field", [b"Connection: close", b"Connection: upgrade\r\nUpgrade: h2c"])
def test_trailers_that_end_the_connection_do_not_leave_it_open(at, path, field):
    with Connection(at) as connection:
        status, _, body, _ = answer(connection.send(chunked(path, field)))
        assert (status, body) in ((200, b"[]"), (200, b"hello from Python"))
        connection.send(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
        try:
            assert answer(connection)[2] == b"hello from Python"
        except (EOFError, ConnectionResetError):
            return


@pytest.mark.parametrize("fields", [[b"X: " + b"a" * 70_000], [b"X: 1"] * 250], ids=["long", "many"])
def test_trailers_of_a_request_that_are_too_long_end_the_connection(at, fields, caplog):
    caplog.set_level(logging.INFO, "wasi_nn_torch.http.access")
    with Connection(at) as connection:
        connection.send(chunked("/trailers?x=1", *fields))
        assert connection.is_closed()
    assert any("failure=long-headers" in message for message in caplog.messages)


# --- those of requests that a component makes ---


def test_trailers_go_through_a_component_to_another_server_and_back(at, echo):
    path = f"/through?http://127.0.0.1:{echo.port}/"
    _, _, body, trailers = ask(at, chunked(path, b"X-Sum: 17", b"Content-Type: a/b", headers=TE))
    assert (body, trailers) == (b"hello", ["x-sum: 17"])


# --- on a server that takes trailers for headers ---


@contextmanager
def plain_uvicorn(app):
    """The host and the port where uvicorn serves `app` with a protocol of its own."""
    config = uvicorn.Config(app, port=0, http="httptools", lifespan="off", log_config=None)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        until(lambda: server.started)
        yield "{}:{}".format(*server.servers[0].sockets[0].getsockname())
    finally:
        server.should_exit = True
        thread.join(30)


def test_a_trailer_that_uvicorn_takes_for_a_header_names_no_tenant(app):
    message = json.dumps({"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [1]}]}).encode()
    path = "/v2/models/net/infer"
    text = "a request in chunks cannot have the header x-tenant here; send a Content-Length"
    with plain_uvicorn(app) as at, Connection(at) as connection:
        for request in (
            chunked(path, b"X-Tenant: other", body=message),
            chunked(path, headers="X-Tenant: other\r\n", body=message),
            chunked("/", b"X-Tenant: other"),
        ):
            assert connection.send(request).error() == (411, text)
        assert connection.send(chunked(path, b"X-Sum: 1", body=message)).answer()[0] == 200
        assert connection.send(infer("net", ("x", "FP32", [1], bytes(4)), headers="X-Tenant: a\r\n")).answer()[0] == 200
