"""Bodies that are larger than what arrives at once, which are read from the socket to where they stay."""

import json
import time

import pytest
import torch

from tests.wasi_nn_torch.helpers.serving import Connection, infer, served
from tests.wasi_nn_torch.http.test_operation import until
from wasi_nn_torch import Engine
from wasi_nn_torch.http import Settings, create_app

# The engine computes on the CPU.
pytestmark = pytest.mark.cpu

NUMBERS = torch.arange(500_000, dtype=torch.float32)
LARGE = infer("sum", ("x", "FP32", [500_000], NUMBERS.numpy().tobytes()))
SUM = float(NUMBERS.sum())


class Sum(torch.nn.Module):
    """The sum of its input."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.sum()


@pytest.fixture(scope="module")
def app():
    with Engine("cpu", guest_models="none") as engine:
        engine.register("sum", Sum())
        app = create_app(engine, settings=Settings(body_timeout=0.5, max_bodies=3_000_000))
        yield app
        app.close()


@pytest.fixture
def at(app):
    with served(app) as at:
        app.endpoints.is_ready = True
        yield at


def total(connection: Connection) -> float:
    status, _, body = connection.answer()
    assert status == 200, body
    return json.loads(body)["outputs"][0]["data"][0]


def test_large_bodies_follow_each_other_on_one_connection(at):
    with Connection(at) as connection:
        assert [total(connection.send(LARGE)) for _ in range(3)] == [SUM] * 3


def test_a_large_body_may_arrive_in_pieces(at):
    with Connection(at) as connection:
        for begin in range(0, len(LARGE), 300_000):
            connection.send(LARGE[begin : begin + 300_000])
            time.sleep(0.02)
        assert total(connection) == SUM


def test_the_next_request_may_follow_before_the_answer(at):
    small = infer("sum", ("x", "FP32", [2], torch.ones(2).numpy().tobytes()))
    with Connection(at) as connection:
        connection.send(LARGE + small + LARGE + b"GET /v2 HTTP/1.1\r\nHost: test\r\n\r\n")
        assert [total(connection) for _ in range(3)] == [SUM, 2.0, SUM]
        assert connection.answer()[0] == 200


def test_a_client_that_waits_to_be_told_to_go_on_is_told(at):
    head, _, body = LARGE.partition(b"\r\n\r\n")
    with Connection(at) as connection:
        connection.send(head + b"\r\nExpect: 100-continue\r\n\r\n")
        assert connection.answer()[0] == 100
        assert total(connection.send(body)) == SUM


def test_a_large_body_that_does_not_arrive_in_time_ends_the_connection(at):
    with Connection(at) as connection:
        status, text = connection.send(LARGE[:1_000_000]).error()
        assert (status, text) == (408, "the body of the request did not arrive within 0.5 s")
        assert connection.is_closed()
    with Connection(at) as connection:
        assert total(connection.send(LARGE)) == SUM


CHUNKS = b"POST /v2/models/sum/infer HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n"


@pytest.mark.parametrize("begun", [LARGE[:1_000_000], CHUNKS], ids=["a length", "chunks"])
@pytest.mark.parametrize(("seconds", "answer"), [("0.1", (504, "the request was not answered in time")), ("9", (408,))])
def test_a_body_that_is_late_is_answered_by_the_limit_that_comes_first(at, begun, seconds, answer):
    with Connection(at) as connection:
        found = connection.send(begun.replace(b"\r\n", f"\r\nX-Request-Timeout: {seconds}\r\n".encode(), 1)).error()
        assert found[: len(answer)] == answer
        assert connection.is_closed()


def test_clients_that_vanish_amid_a_large_body_give_their_room_back(app, at):
    for _ in range(3):  # more than there is room for at a time
        with Connection(at) as connection:
            connection.send(LARGE[:1_000_000])
            until(lambda: app.endpoints._bodies._held > 0)
        until(lambda: app.endpoints._bodies._held == 0)
    with Connection(at) as connection:
        assert total(connection.send(LARGE)) == SUM


def test_a_large_answer_is_whole_and_its_head_comes_first(app, at):
    with Connection(at) as connection:
        request = b"GET /metrics HTTP/1.1\r\nHost: test\r\n\r\n"
        assert connection.send(request).answer()[0] == 200
        head = connection.send(b"HEAD /v2 HTTP/1.1\r\nHost: test\r\n\r\n")
        head.socket.settimeout(10)
        assert head.socket.recv(1 << 16).startswith(b"HTTP/1.1 200 ")
