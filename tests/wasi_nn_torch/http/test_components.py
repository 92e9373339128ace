"""Components that answer requests of HTTP themselves: a real guest, behind the server."""

from __future__ import annotations

import gc
import http.client
import json
import logging
import time
from collections import Counter

import pytest
import torch
from starlette.applications import Starlette
from starlette.routing import Mount

from tests.conftest import built
from tests.wasi_host.helpers.peers import peer, saying
from tests.wasi_nn_torch.helpers.models import Add
from tests.wasi_nn_torch.helpers.pipelines import pipeline
from tests.wasi_nn_torch.helpers.serving import Connection, served
from wasi_host import Outgoing
from wasi_nn_torch import Engine, InvalidGuest, Limits
from wasi_nn_torch.http import ComponentSettings, Reuse, Settings, create_app
from wasi_nn_torch.http.mounting import _path as below
from wit_host import LinkError

# The engine computes on the CPU.
pytestmark = pytest.mark.cpu

GUEST = "build/tests/http_python.wasm"


@pytest.fixture(scope="module")
def engine():
    with Engine("cpu", guest_models="none", async_threads=8) as engine:
        engine.register("net", Add())
        yield engine


@pytest.fixture(scope="session")
def small():
    """A guest that is compiled in no time."""
    return built("build/tests/http_c.wasm")


@pytest.fixture(scope="module")
def app(engine):
    app = create_app(engine, components={"py": component()})
    yield app
    app.close()


@pytest.fixture(scope="module")
def at(app):
    with served(app) as at:
        yield at


@pytest.fixture(autouse=True)
def nothing_is_left(engine):
    """After each test no session is open."""
    yield
    until(lambda: engine.stats.running == 0)


def component(**given):
    return ComponentSettings(built(GUEST), **{"concurrency": 4, **given})


def until(condition):
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.01)


def ask(at, path, method="GET", body=None, **headers):
    """The answer to a request: its status, its headers and its body."""
    connection = http.client.HTTPConnection(at, timeout=60)
    try:
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        response = connection.getresponse()
        return response.status, dict(response.headers), response.read()
    finally:
        connection.close()


# --- requests and answers ---


def test_a_component_answers(at):
    status, headers, body = ask(at, "/", X_Request_Id="mine")
    assert (status, body) == (200, b"hello from Python")
    assert (headers["content-type"], headers["x-request-id"]) == ("text/plain", "mine")


def test_a_component_gets_the_request_without_what_belongs_to_the_connection(at):
    head = (
        "QUERY /request?a=%20b&c HTTP/1.1\r\nHost: example.com:99\r\nX-Twice: 1\r\nConnection: keep-alive\r\n"
        "X-Twice: 2\r\nKeep-Alive: timeout=5\r\nTE: trailers\r\nUpgrade: h2c\r\n\r\n"
    )
    with Connection(at) as connection:
        found = json.loads(connection.send(head.encode()).chunked())
    assert (found["method"], found["path"]) == ("QUERY", "/request?a=%20b&c")
    assert (found["scheme"], found["authority"]) == ("Scheme_Http", "example.com:99")
    assert found["headers"] == [["x-twice", "1"], ["x-twice", "2"]]


@pytest.mark.parametrize("size", [0, 1, 65_536, 3_000_000])
def test_a_body_of_any_size_goes_through(at, size):
    content = bytes(range(256)) * (size // 256) + bytes(size % 256)
    status, headers, body = ask(at, "/echo", "POST", content, Content_Type="a/b")
    assert (status, headers["content-type"], body == content) == (200, "a/b", True)


def test_a_component_computes_a_graph(at):
    content = torch.tensor([1.0, 2.0]).numpy().tobytes()
    status, _, body = ask(at, "/compute", "POST", content)
    assert (status, torch.frombuffer(bytearray(body), dtype=torch.float32).tolist()) == (200, [2.0, 3.0])


def test_a_component_without_the_right_to_a_graph_does_not_find_it(engine):
    app = create_app(engine, components={"py": component(graphs=[])})
    with served(app) as at:
        assert ask(at, "/compute", "POST", bytes(8))[0] == 500
    app.close()


@pytest.mark.parametrize("status", [204, 304])
def test_an_answer_without_a_body_has_none(at, status):
    with Connection(at) as connection:
        connection.send(f"GET /status?{status} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
        assert connection.answer()[0] == status
        connection.send(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
        assert connection.chunked() == b"hello from Python"


def test_the_answer_to_head_has_no_body(at):
    with Connection(at) as connection:
        assert connection.send(b"HEAD / HTTP/1.1\r\nHost: test\r\n\r\n").answer()[::2] == (200, b"")
        connection.send(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
        assert connection.chunked() == b"hello from Python"


@pytest.mark.parametrize("status", ["99", "101", "100", "600", "1000"])
def test_a_component_cannot_give_a_status_that_is_not_final(at, status):
    assert ask(at, f"/status?{status}")[2] == b"refused"


def test_a_component_cannot_break_out_of_a_header(at):
    found = json.loads(ask(at, "/fields")[2])
    for way in ("from_list", "append", "set"):
        assert found[f"{way} ok"] == "ok"
        for name in ("x y", "", "x:", "x-crlf", "x-nul"):
            assert found[f"{way} {name}"] == "InvalidSyntax"
        for name in ("Connection", "Transfer-Encoding", "Host", "Keep-Alive", "Upgrade"):
            assert found[f"{way} {name}"] == "Forbidden"
    assert (found["request"], found["clone"]) == ("Immutable", ["1"])


def test_a_length_that_is_not_valid_is_not_sent(at):
    assert ask(at, "/header?content-length=1,2")[0] == 500


# --- streaming ---


def test_the_first_bytes_of_an_answer_arrive_before_it_ends(at):
    with Connection(at) as connection:
        connection.send(b"GET /stream?20 HTTP/1.1\r\nHost: test\r\n\r\n")
        assert b"19\n" not in connection.until(b"0\n")
        connection.until(b"19\n")


def test_a_body_is_read_as_it_arrives_and_answered_meanwhile(at):
    with Connection(at) as connection:
        connection.send(b"POST /echo HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n")
        for number in range(5):
            connection.send(b"4\r\n%04d\r\n" % number)
            connection.until(b"%04d" % number)
        connection.send(b"0\r\n\r\n")
        connection.until(b"0\r\n\r\n")


def test_a_body_that_nobody_reads_is_not_held(at):
    """The component answers without reading, and the client is held back before it has sent everything."""
    with Connection(at) as connection:
        connection.send(b"POST /stream?10 HTTP/1.1\r\nHost: test\r\nContent-Length: 60000000\r\n\r\n")
        connection.until(b"9\n")


def test_a_client_that_reads_slowly_holds_the_component_back(engine, at):
    content = bytes(30_000_000)
    with Connection(at) as connection:
        connection.socket.setblocking(False)
        head = f"POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: {len(content)}\r\n\r\n".encode()
        rest = memoryview(head + content)
        end = time.monotonic() + 1
        while time.monotonic() < end and rest:
            try:
                rest = rest[connection.socket.send(rest) :]
            except BlockingIOError:
                time.sleep(0.01)
        assert len(rest) > 10_000_000, "the server took the body although nobody reads the answer"


def test_a_body_that_a_component_reads_after_its_answer_ends(engine, small):
    """Nobody waits for the rest of a body that the client need not send any more."""
    app = create_app(engine, components={"c": ComponentSettings(small, limits=Limits(timeout=90))})
    with served(app) as at, Connection(at) as connection:
        connection.send(b"POST /early HTTP/1.1\r\nHost: test\r\nContent-Length: 1000000\r\n\r\n" + bytes(300_000))
        connection.until(b"hello from C")
        until(lambda: engine.stats.running == 0)
        assert ask(at, "/early", "POST", bytes(10))[2] == b"hello from C"
    app.close()


def test_what_a_component_does_after_its_answer_is_done(at, caplog):
    with caplog.at_level(logging.INFO):
        assert ask(at, "/after")[2] == b"done"
        until(lambda: "after the answer True" in caplog.text)


# --- failures ---


@pytest.mark.parametrize(
    ("path", "status", "text", "kind"),
    [
        ("/trap", 500, "`py` failed", "trap"),
        ("/silent", 500, "`py` gave no answer", "no-answer"),
        ("/grow", 500, "`py` failed", "trap"),
        ("/refuse", 502, "`py` could not answer", "error-code"),
        ("/late", 504, "`py` could not answer", "error-code"),
    ],
)
def test_a_failure_is_a_status_and_a_text_that_tells_nothing(at, path, status, text, kind):
    before = failures(at).get(kind, 0)
    got, headers, body = ask(at, path)
    assert (got, json.loads(body)) == (status, {"error": text})
    assert headers["x-request-id"]
    assert failures(at)[kind] == before + 1
    assert ask(at, "/")[0] == 200


def failures(at):
    """How many requests to the component failed, by the kind."""
    lines = ask(at, "/metrics")[2].decode().splitlines()
    found = [line.split() for line in lines if line.startswith('wasi_nn_torch_http_failures_total{kind="')]
    return {name.split('"')[1]: float(number) for name, number in found}


def test_a_component_that_takes_too_long_is_late_and_stopped(engine):
    app = create_app(engine, components={"py": component(limits=Limits(timeout=0.5))})
    with served(app) as at:
        status, _, body = ask(at, "/loop")
        assert (status, json.loads(body)["error"]) == (504, "`py` did not answer in time")
    app.close()


def test_a_client_says_how_long_it_waits(engine, at):
    status, _, body = ask(at, "/loop", X_Request_Timeout="300ms")
    assert (status, json.loads(body)["error"]) == (504, "the request was not answered in time")
    until(lambda: engine.stats.running == 0)


@pytest.mark.parametrize("path", ["half", "unfinished", "short", "long"])
def test_an_answer_that_is_not_completed_is_seen_to_be_so(at, path):
    with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
        ask(at, f"/{path}")
    assert ask(at, "/")[0] == 200


def test_a_client_that_goes_stops_the_component(engine, at):
    for path in ("/loop", "/stream?100000"):
        with Connection(at) as connection:
            connection.send(f"GET {path} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
            until(lambda: engine.stats.running == 1)
        until(lambda: engine.stats.running == 0)


def test_what_a_component_prints_is_in_the_log_only(at, caplog):
    with caplog.at_level(logging.INFO):
        status, _, body = ask(at, "/print?some%20words", X_Request_Id="the-request")
    assert (status, body) == (200, b"printed")
    assert "the component py wrote: some%20words" in caplog.text


def test_the_bytes_of_bodies_are_counted(engine, small):
    app = create_app(engine, components={"c": ComponentSettings(small)})
    with served(app) as at:
        assert ask(at, "/echo", "POST", bytes(1234))[0] == 200
        figures = ask(at, "/metrics")[2].decode()
        for name in ("received", "sent"):
            assert f'wasi_nn_torch_http_{name}_bytes_total{{model="c"}} 1234.0' in figures
        assert 'wasi_nn_torch_http_requests_total{model="c",status="200"} 1.0' in figures
    app.close()


# --- limits of requests ---


def test_a_body_that_is_too_large_is_refused(engine):
    app = create_app(engine, components={"py": component()}, settings=Settings(max_body=1000))
    with served(app) as at:
        status, _, body = ask(at, "/sum", "POST", bytes(1001))
        assert (status, json.loads(body)["error"]) == (413, "the body of the request is too large (limit 1.0 kB)")
        assert ask(at, "/sum", "POST", iter([bytes(600), bytes(600)]))[0] == 413
        assert ask(at, "/sum", "POST", bytes(1000))[2] == b"1000"
    app.close()


def test_a_body_of_which_nothing_arrives_is_not_waited_for(engine):
    app = create_app(engine, components={"py": component()}, settings=Settings(body_timeout=0.3))
    with served(app) as at, Connection(at) as connection:
        connection.send(b"POST /sum HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\nabc")
        assert connection.error() == (408, "nothing of the body of the request arrived for 0.3 s")
        assert connection.is_closed()
    app.close()


def test_requests_beyond_the_queue_are_refused(engine):
    app = create_app(engine, components={"py": component(concurrency=1, max_waiting=0)})
    with served(app) as at, Connection(at) as connection:
        connection.send(b"GET /loop HTTP/1.1\r\nHost: test\r\n\r\n")
        until(lambda: app.components["py"].gate.running == 1)
        status, headers, _ = ask(at, "/")
        assert (status, headers["retry-after"]) == (503, "1")
    app.close()


# --- instances and tenants ---


def test_each_request_gets_an_instance_of_its_own(at):
    assert [ask(at, "/count")[2] for _ in range(3)] == [b"1"] * 3


def test_instances_that_are_reused_are_those_of_one_tenant(engine):
    app = create_app(engine, components={"py": component(concurrency=1, reuse=Reuse.TENANT, max_uses=3)})
    with served(app) as at:
        assert [ask(at, "/count", X_Tenant="a")[2] for _ in range(4)] == [b"1", b"2", b"3", b"1"]
        assert ask(at, "/count", X_Tenant="b")[2] == b"1"
        assert ask(at, "/count")[2] == b"1"
    app.close()


def test_an_instance_that_failed_is_not_used_again(engine):
    app = create_app(engine, components={"py": component(concurrency=1, reuse=Reuse.TENANT)})
    with served(app) as at:
        assert ask(at, "/count")[2] == b"1"
        assert ask(at, "/trap")[0] == 500
        assert ask(at, "/count")[2] == b"1"
    app.close()


# --- paths ---


def test_components_are_found_by_their_paths(engine):
    paths = {"root": "/", "shop": "/shop", "inner": "/shop/inner"}
    app = create_app(engine, components={name: component(path=path) for name, path in paths.items()})
    with served(app) as at:
        for path, name, seen in [
            ("/request", "root", "/request"),
            ("/shop/request", "shop", "/request"),
            ("/shop/inner/request?q", "inner", "/request?q"),
        ]:
            assert json.loads(ask(at, path)[2])["path"] == seen
            assert f'model="{name}",status="200"' in ask(at, "/metrics")[2].decode()
        assert ask(at, "/shop")[2] == ask(at, "/shop/")[2] == b"hello from Python"
        assert ask(at, "/shopping")[0] == 404
        assert ask(at, "/v2")[2].startswith(b'{"name"')
        assert json.loads(ask(at, "/v2/anything")[2])["error"].startswith("there is no such path")
    app.close()


def test_a_server_without_a_component_at_the_root_has_its_page(engine):
    app = create_app(engine, components={"shop": component(path="/shop")})
    with served(app) as at:
        assert b"<html" in ask(at, "/")[2]
        assert ask(at, "/other")[0] == 404
    app.close()


@pytest.mark.parametrize("path", ["shop", "/shop/", "/a//b", "/a/../b", "/a%20b", "", "/a?b"])
def test_a_path_that_cannot_be_compared_is_refused(path):
    with pytest.raises(ValueError, match="is not the beginning of a path"):
        component(path=path)


@pytest.mark.parametrize("path", ["/v2", "/v2/models", "/metrics"])
def test_the_paths_of_the_server_are_its_own(path):
    with pytest.raises(ValueError, match="the server itself answers"):
        component(path=path)


def test_two_components_cannot_have_the_same_path(engine):
    with pytest.raises(ValueError, match="`a` and `b` have the same path `/shop`"):
        create_app(engine, components={"a": component(path="/shop"), "b": component(path="/shop")})


def test_an_application_can_be_mounted_in_another_one(app):
    whole = Starlette(routes=[Mount("/deep", app)])
    whole.stop, whole.metrics = app.stop, app.metrics  # which the server of the tests uses
    with served(whole) as at:
        assert json.loads(ask(at, "/deep/request?q")[2])["path"] == "/request?q"


# --- requests of components ---


def test_a_component_gets_what_it_is_allowed_to_fetch(engine):
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"
    with peer(saying(answer)) as allowed, peer(saying(answer)) as other:
        outgoing = Outgoing([f"http://127.0.0.1:{allowed.port}"])
        app = create_app(engine, components={"py": component(outgoing=outgoing)})
        with served(app) as at:
            assert ask(at, f"/fetch?http://127.0.0.1:{allowed.port}/")[::2] == (200, b"hello")
            assert ask(at, f"/fetch?http://127.0.0.1:{other.port}/")[::2] == (502, b"ErrorCode_HttpRequestDenied")
        app.close()
        assert other.connections == 0


# --- what is left ---


def test_reference_counting_frees_everything_of_a_request(engine, small):
    app = create_app(engine, components={"c": ComponentSettings(small, concurrency=1)})
    with served(app) as at:
        ask(at, "/")
        until(lambda: engine.stats.running == 0)
        gc.collect()
        gc.disable()
        try:
            before = Counter(type(each).__name__ for each in gc.get_objects())
            for _ in range(20):
                assert ask(at, "/echo", "POST", bytes(100_000))[0] == 200
            until(lambda: engine.stats.running == 0)
            after = Counter(type(each).__name__ for each in gc.get_objects())
        finally:
            gc.enable()
    app.close()
    kept = after - before
    assert not {name for name in ("World", "Session", "Inflow", "Outflow", "OutgoingBody", "Store") if kept[name] > 1}


def test_a_changed_component_is_used_and_a_broken_one_is_not(engine, small, tmp_path):
    file = tmp_path / "guest.wasm"
    file.write_bytes(small.read_bytes())
    app = create_app(engine, components={"c": ComponentSettings(file)})
    with served(app) as at:
        file.write_bytes(b"broken")
        with pytest.raises(InvalidGuest):
            app.components["c"].reload()
        assert ask(at, "/")[2] == b"hello from C"
        file.write_bytes(built(GUEST).read_bytes())
        app.components["c"].reload()
        assert ask(at, "/")[2] == b"hello from Python"
    app.close()


# --- setting up ---


def test_a_guest_that_answers_no_requests_is_refused(engine):
    with pytest.raises(LinkError, match="incoming-handler"):
        create_app(engine, components={"p": ComponentSettings(pipeline())})


def test_a_name_is_used_once(engine):
    with pytest.raises(ValueError, match="is the name of a model and of a component"):
        create_app(engine, components={"net": component()})


def test_a_core_module_is_not_a_component(engine):
    with pytest.raises(InvalidGuest, match="`c` is a core module; what answers HTTP is a component that exports"):
        create_app(engine, components={"c": ComponentSettings(b"\0asm\x01\0\0\0")})


@pytest.mark.parametrize(
    ("root", "path", "seen"),
    [
        ("/api", "/api/a%20b", "/a%20b"),
        ("/api/", "/api/a", "/a"),
        ("/api", "/api", "/"),
        ("/modèles", "/mod%C3%A8les/a%2Fb", "/a%2Fb"),
        ("/a b/c", "/a%20b/c/d", "/d"),
        ("/api", "/apis/a", "/apis/a"),
        ("", "/api/a", "/api/a"),
    ],
)
def test_a_component_sees_the_path_below_that_of_the_application(root, path, seen):
    assert below({"raw_path": path.encode(), "path": "", "root_path": root}) == seen


def test_without_the_spelling_of_the_client_the_path_is_spelled_anew():
    assert below({"path": "/api/a b/ü%", "root_path": "/api"}) == "/a%20b/%C3%BC%25"
