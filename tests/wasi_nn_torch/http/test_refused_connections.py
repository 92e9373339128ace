"""What is refused before it is a request: it has figures and a line in the log, like other answers."""

import json
import logging

import pytest

from tests.wasi_nn_torch.helpers.serving import Connection, figures, infer, served, until
from wasi_nn_torch.http import Settings, create_app, guarding
from wasi_nn_torch.http.logs import JsonFormatter

# The engine computes on the CPU.
pytestmark = pytest.mark.cpu

GOOD = infer("net", ("x", "FP32", [1], bytes(4)))
CHUNKED = b"POST /v2/models/net/infer HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(scope="module")
def app(engine):
    app = create_app(engine, settings=Settings(body_timeout=5))
    yield app
    app.close()


@pytest.fixture(scope="module")
def at(app):
    before = guarding.HEADER_SECONDS, guarding.STALL_SECONDS
    guarding.HEADER_SECONDS, guarding.STALL_SECONDS = 0.3, 0.3
    with served(app) as at:
        yield at
    guarding.HEADER_SECONDS, guarding.STALL_SECONDS = before


@pytest.fixture
def lines(caplog, monkeypatch):
    """What the log says of answers that belong to no request: the status and the kind of failure of each."""
    caplog.set_level(logging.INFO, "wasi_nn_torch.http.access")
    monkeypatch.setattr(caplog.handler, "formatter", JsonFormatter())

    def read():
        found = [json.loads(line) for line in caplog.text.splitlines() if line.startswith("{")]
        return [(each.get("status"), each["failure"]) for each in found if "client" in each]

    return read


def failures(at):
    """How many failures belong to no model, by the kind."""
    start, end = 'http_failures_total{kind="', '",model=""}'
    found = {name: number for name, number in figures(at).items() if name.startswith(start) and name.endswith(end)}
    return {name.removeprefix(start).removesuffix(end): number for name, number in found.items()}


def answers(at, status):
    """How many answers with a status belong to no model."""
    return figures(at).get(f'http_requests_total{{model="",status="{status}"}}', 0)


@pytest.mark.parametrize(
    ("sent", "status", "kind"),
    [
        (b"NONSENSE /v2 HTTP/1.1\r\n\r\n", 400, "malformed"),
        (b"GET /v2 HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400, "malformed"),
        (b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n", 431, "long-headers"),
        (b"GET / HTTP/1.1\r\n" + b"X: 1\r\n" * 300 + b"\r\n", 431, "long-headers"),
        (b"GET /v2 HT", 408, "slow-headers"),
        (b"GET /v2 HTTP/1.1\r\nHost: ", 408, "slow-headers"),
    ],
)
def test_what_is_no_request_is_counted_and_logged_once(at, lines, sent, status, kind):
    before = failures(at).get(kind, 0), answers(at, status)
    with Connection(at) as connection:
        assert connection.send(sent).answer()[0] == status
    assert (failures(at)[kind], answers(at, status)) == (before[0] + 1, before[1] + 1)
    assert lines() == [(status, kind)]


def test_what_is_no_chunk_in_the_middle_of_a_body_is_counted(at, lines):
    before = failures(at).get("malformed", 0)
    with Connection(at) as connection:
        connection.send(CHUNKED + b"zz\r\n")
        assert connection.is_closed()
    assert failures(at)["malformed"] == before + 1
    assert lines() == [(None, "malformed")]


def test_a_body_that_is_longer_than_its_length_is_counted_as_what_follows_it(at, lines):
    before = failures(at).get("malformed", 0)
    with Connection(at) as connection:
        connection.send(GOOD + b"more\r\n\r\n")
        assert connection.is_closed()
    assert failures(at)["malformed"] == before + 1
    assert lines() == [(None, "malformed")]


def test_a_client_that_takes_nothing_of_its_answer_is_counted(at, lines):
    data = bytes(8 << 20)
    request = infer("same", ("x", "UINT8", [len(data)], data), parameters={"binary_data_output": True})
    before = failures(at).get("stalled", 0)
    with Connection(at) as connection:
        connection.socket.setsockopt(1, 8, 4096)  # SO_RCVBUF
        connection.send(request)
        until(lambda: failures(at).get("stalled", 0) == before + 1)
    assert lines() == [(None, "stalled")]


def test_a_connection_that_is_never_used_is_no_failure(at, lines):
    before = failures(at), answers(at, 408)
    with Connection(at) as connection:
        assert connection.error() == (408, "no request arrived within 0.3 s")
    assert (failures(at), answers(at, 408)) == before
    assert lines() == []


def test_a_connection_too_many_is_counted(app, lines):
    with served(app, connections=2) as at:
        before = failures(at).get("connections", 0)
        with Connection(at), Connection(at) as connection:
            assert connection.send(GOOD).answer()[0] == 503
        until(lambda: failures(at).get("connections", 0) == before + 1)
    assert (503, "connections") in lines()


def test_a_connection_too_many_that_asks_for_a_head_is_sent_no_body(app, caplog):
    caplog.set_level(logging.INFO, "wasi_nn_torch.http.access")
    with served(app, connections=2) as at, Connection(at), Connection(at) as connection:
        assert connection.send(b"HEAD /v2 HTTP/1.1\r\nHost: test\r\n\r\n").until(b"\r\n\r\n")
    assert [each for each in caplog.messages if each.endswith("status=503 failure=connections sent=0")]


def test_the_log_says_who_was_refused(at, caplog):
    caplog.set_level(logging.INFO, "wasi_nn_torch.http.access")
    with Connection(at) as connection:
        connection.send(b"NONSENSE\r\n\r\n").answer()
        host, port = connection.socket.getsockname()
    assert f"client={host}:{port} status=400 failure=malformed" in "".join(caplog.messages)
