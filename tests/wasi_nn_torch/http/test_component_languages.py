"""Components in C and in JavaScript that answer requests: what is the same in each language, and what is special."""

from __future__ import annotations

import http.client
import json

import pytest
import torch

from tests.conftest import ROOT, built
from tests.wasi_host.helpers.peers import echoing, peer, saying
from tests.wasi_nn_torch.helpers.models import Add
from tests.wasi_nn_torch.helpers.serving import Connection, served
from wasi_host import Outgoing
from wasi_nn_torch import Engine
from wasi_nn_torch.http import ComponentSettings, create_app

# The engine computes on the CPU.
pytestmark = pytest.mark.cpu

HELLO = b"HTTP/1.1 203 Some\r\ncontent-length: 5\r\n\r\nhello"


@pytest.fixture(scope="module")
def engine():
    with Engine("cpu", guest_models="none", async_threads=4) as engine:
        engine.register("net", Add())
        yield engine


@pytest.fixture(scope="module")
def peers():
    """A server that says hello, and one that echoes."""
    with peer(saying(HELLO)) as hello, peer(echoing) as echo:
        yield hello, echo


@pytest.fixture(scope="module", params=["c", "js"])
def language(request):
    if request.param == "js" and not (ROOT / "build/js/ready").exists():
        pytest.skip("there is no engine for JavaScript; `make build/js/ready` installs it, with npm")
    return request.param


@pytest.fixture(scope="module")
def at(engine, language, peers):
    outgoing = Outgoing([f"http://127.0.0.1:{each.port}" for each in peers])
    guest = ComponentSettings(built(f"build/tests/http_{language}.wasm"), concurrency=2, outgoing=outgoing)
    app = create_app(engine, components={language: guest})
    with served(app) as at:
        yield at
    app.close()


#: For what the guest in C does not have.
in_js = pytest.mark.parametrize("language", ["js"], indirect=True, scope="module")


def ask(at, path, method="GET", body=None):
    connection = http.client.HTTPConnection(at, timeout=60)
    try:
        connection.request(method, path, body)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def test_a_component_answers(at, language):
    name = {"c": b"C", "js": b"JavaScript"}[language]
    assert ask(at, "/") == (200, b"hello from " + name)


def test_a_body_is_sent_back_as_it_arrives(at):
    content = bytes(range(256)) * 4000
    assert ask(at, "/echo", "POST", content) == (200, content)
    with Connection(at) as connection:
        connection.send(b"POST /echo HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n")
        for number in range(3):
            connection.send(b"4\r\n%04d\r\n" % number)
            connection.until(b"%04d" % number)
        connection.send(b"0\r\n\r\n")
        connection.until(b"0\r\n\r\n")


def test_a_component_asks_another_server(at, language, peers):
    path = {"c": "/proxy/127.0.0.1:{}/", "js": "/fetch?http://127.0.0.1:{}/"}[language]
    assert ask(at, path.format(peers[0].port)) == (203, b"hello")
    assert ask(at, path.format(1))[0] in (500, 502)


@in_js
def test_the_engine_of_javascript_gets_the_whole_request(at):
    status, body = ask(at, "/request?a=b", "PUT")
    found = json.loads(body)
    assert (status, found["method"], found["url"]) == (201, "PUT", f"http://{at}/request?a=b")


@in_js
def test_javascript_streams(at):
    with Connection(at) as connection:
        connection.send(b"GET /stream?10 HTTP/1.1\r\nHost: test\r\n\r\n")
        assert b"9\n" not in connection.until(b"0\n")
        connection.until(b"9\n")


@in_js
def test_javascript_computes_a_graph(at):
    status, body = ask(at, "/compute", "POST", torch.tensor([1.0, 2.0]).numpy().tobytes())
    assert (status, torch.frombuffer(bytearray(body), dtype=torch.float32).tolist()) == (200, [2.0, 3.0])


@in_js
def test_javascript_posts_to_another_server(at, peers):
    assert ask(at, f"/post?http://127.0.0.1:{peers[1].port}/", "POST", b"some text") == (200, b"some text")


@in_js
def test_javascript_sees_that_a_request_is_denied(at):
    assert ask(at, "/failing?https://example.com/") == (502, b"failed")


@in_js
def test_an_exception_of_javascript_is_a_status_without_its_text(at):
    assert ask(at, "/throw") == (500, b"")


@in_js
def test_each_request_gets_an_engine_of_its_own(at):
    assert [ask(at, "/count")[1] for _ in range(3)] == [b"1"] * 3
