"""Hostile HTTP: each costs one clear error, and the server answers others as before."""

import gzip
import json
import threading
import time
import zlib

import pytest

from tests.wasi_nn_torch.helpers.serving import Connection, infer, served
from wasi_nn_torch.http import Settings, create_app, guarding

# The engine computes on the CPU.
pytestmark = pytest.mark.cpu

POST = b"POST /v2/models/net/infer HTTP/1.1\r\nHost: test\r\n"
GOOD = infer("net", ("x", "FP32", [1], bytes(4)))
ASK = json.dumps({"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [1]}]}).encode()


@pytest.fixture(scope="module")
def strict(engine):
    """A server with small limits."""
    before = guarding.HEADER_SECONDS, guarding.STALL_SECONDS
    guarding.HEADER_SECONDS, guarding.STALL_SECONDS = 0.5, 0.5
    app = create_app(engine, settings=Settings(max_body=1 << 20, max_bodies=3 << 20, body_timeout=0.5))
    with served(app) as at:
        yield at
    app.close()
    guarding.HEADER_SECONDS, guarding.STALL_SECONDS = before


@pytest.fixture(autouse=True)
def others_are_answered(strict):
    yield
    with Connection(strict) as connection:
        assert connection.send(GOOD).answer()[0] == 200


def test_a_body_that_is_too_large_is_refused_before_it_arrives(strict):
    with Connection(strict) as connection:
        connection.send(POST + b"Content-Length: 99999999999\r\n\r\n")
        assert connection.error() == (413, "the body of the request is too large (limit 1.0 MB)")


def test_a_body_without_a_length_is_refused_once_it_is_too_large(strict):
    with Connection(strict) as connection:
        connection.send(POST + b"Transfer-Encoding: chunked\r\n\r\n")
        for _ in range(20):
            connection.send(b"10000\r\n" + bytes(1 << 16) + b"\r\n")
        assert connection.error()[0] == 413


def test_bodies_that_are_too_large_together_are_refused(strict):
    slow = [Connection(strict).send(POST + b"Content-Length: 1048576\r\n\r\n") for _ in range(3)]
    with Connection(strict) as connection:
        status, headers, body = connection.send(POST + b"Content-Length: 1048576\r\n\r\n").answer()
    assert (status, headers["retry-after"]) == (503, "1")
    assert "too many large requests" in json.loads(body)["error"]
    for each in slow:
        with each:
            assert each.error()[0] == 408


def test_a_body_that_does_not_arrive_is_not_waited_for(strict):
    with Connection(strict) as connection:
        connection.send(POST + b"Content-Length: 100\r\n\r\nabc")
        assert connection.error() == (408, "the body of the request did not arrive within 0.5 s")
        assert connection.is_closed()


@pytest.mark.parametrize("head", [b"", b"GET /v2 HT", b"GET /v2 HTTP/1.1\r\nHost: "], ids=["none", "line", "header"])
def test_headers_that_do_not_arrive_are_not_waited_for(strict, head):
    with Connection(strict) as connection:
        assert connection.send(head).error() == (408, "no request arrived within 0.5 s")
        assert connection.is_closed()


def test_ten_thousand_headers_are_refused(strict):
    with Connection(strict) as connection:
        connection.send(b"GET /v2 HTTP/1.1\r\n" + b"".join(b"X-%d: 1\r\n" % n for n in range(10_000)) + b"\r\n")
        status, text = connection.error()
    assert (status, text) == (431, "the headers of the request are too long (limit 65536 bytes, 200 headers)")


def test_a_long_header_is_refused(strict):
    with Connection(strict) as connection:
        assert connection.send(b"GET /v2 HTTP/1.1\r\nX: " + b"a" * 100_000 + b"\r\n\r\n").error()[0] == 431


def test_a_long_path_is_refused(strict):
    with Connection(strict) as connection:
        assert connection.send(b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n").error()[0] == 431


@pytest.mark.parametrize(
    "request_",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"NONSENSE /v2 HTTP/1.1\r\n\r\n",
        b"GET /v2 HTTP/9.9\r\n\r\n",
        b"GET /v2 HTTP/1.1\r\nno colon\r\n\r\n",
        POST + b"Content-Length: -1\r\n\r\n",
        POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
    ids=["tls", "method", "version", "colon", "negative", "two lengths", "length and chunks"],
)
def test_what_is_not_http_is_refused_and_the_connection_closed(strict, request_):
    with Connection(strict) as connection:
        assert connection.send(request_).error()[0] == 400
        assert connection.is_closed()


def test_a_chunk_with_a_wrong_length_is_refused(strict):
    with Connection(strict) as connection:
        connection.send(POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n")
        assert connection.is_closed()


@pytest.mark.parametrize("length", [b"99", b"-1", b"1e3", b"9" * 5000])
def test_a_lying_length_of_the_json_is_refused(strict, length):
    with Connection(strict) as connection:
        connection.send(POST + b"Content-Length: 2\r\nInference-Header-Content-Length: " + length + b"\r\n\r\n{}")
        status, text = connection.error()
    assert status == 400
    assert "Inference-Header-Content-Length" in text


def test_json_that_is_too_large_is_refused_before_it_is_parsed(engine):
    app = create_app(engine, graphs=["net"], settings=Settings(max_json=1000))
    message = {"inputs": [{"name": "x", "shape": [300], "datatype": "FP32", "data": [0.5] * 300}]}
    body = json.dumps(message).encode()
    with served(app) as at, Connection(at) as connection:
        connection.send(POST + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        assert connection.error() == (413, "the JSON of the request is too large (limit 1.0 kB); send binary data")
        assert connection.send(infer("net", ("x", "FP32", [300], bytes(1200)))).answer()[0] == 200
    app.close()


def test_deep_json_is_refused(strict):
    body = b'{"inputs": ' + b"[" * 500_000
    with Connection(strict) as connection:
        assert connection.send(POST + b"Content-Length: %d\r\n\r\n" % len(body) + body).error()[0] == 400


def test_a_body_that_expands_without_end_is_refused(strict):
    body = zlib.compress(bytes(200 << 20), 9)
    with Connection(strict) as connection:
        connection.send(POST + b"Content-Encoding: deflate\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        assert connection.error()[0] == 413


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        (b"gzip", b"nonsense"),
        (b"gzip", b""),
        (b"deflate", b"\x78\x9c"),
        (b"gzip", gzip.compress(ASK) + b"more"),
        (b"gzip", gzip.compress(ASK) * 2),
    ],
    ids=["nonsense", "empty", "cut off", "bytes after it", "two of them"],
)
def test_a_body_that_cannot_be_decompressed_is_refused(strict, coding, body):
    with Connection(strict) as connection:
        head = POST + b"Content-Encoding: %s\r\nContent-Length: %d\r\n\r\n" % (coding, len(body))
        assert connection.send(head + body).error()[0] == 400


@pytest.mark.parametrize("coding", [b"gzip", b"GZIP", b"x-gzip"])
def test_a_coding_may_be_spelled_in_any_case(strict, coding):
    body = gzip.compress(ASK)
    with Connection(strict) as connection:
        head = POST + b"Content-Encoding: %b\r\nContent-Length: %d\r\n\r\n" % (coding, len(body))
        assert connection.send(head + body).answer()[0] == 200


def test_an_unknown_coding_is_refused(strict):
    with Connection(strict) as connection:
        connection.send(POST + b"Content-Encoding: br\r\nContent-Length: 1\r\n\r\na")
        assert connection.error() == (415, "the content coding `br` is not supported; use gzip or deflate")


def test_a_shape_whose_product_is_huge_is_refused(strict):
    message = {"inputs": [{"name": "x", "shape": [2**62, 2**62, 0, 2**62], "datatype": "FP32", "data": []}]}
    body = json.dumps(message).encode()
    with Connection(strict) as connection:
        assert connection.send(POST + b"Content-Length: %d\r\n\r\n" % len(body) + body).error()[0] == 400


def test_a_client_that_does_not_take_its_answer_is_left(strict, engine):
    data = bytes(1 << 20)[: (1 << 20) - 1000]
    request = infer("same", ("x", "UINT8", [len(data)], data), parameters={"binary_data_output": True})
    with Connection(strict) as connection:
        connection.socket.setsockopt(1, 8, 4096)  # SO_RCVBUF
        sender = threading.Thread(target=_send_quietly, args=(connection, request * 20))
        sender.start()
        sender.join(30)
        assert not sender.is_alive(), "the server still waits for a client that takes nothing"


def _send_quietly(connection, data):
    try:
        connection.send(data)
    except OSError:
        return


@pytest.mark.parametrize(
    "header",
    [
        b"X-Tenant: ",
        b"X-Tenant: " + b"a" * 300,
        b"X-Tenant: a\xff",
        b"X-Tenant: a\r\nX-Tenant: b",
        b"X-Request-Timeout: soon",
        b"X-Request-Timeout: -1",
    ],
)
def test_headers_that_make_no_sense_are_refused(strict, header):
    with Connection(strict) as connection:
        request = GOOD.replace(b"Host: test\r\n", b"Host: test\r\n" + header + b"\r\n")
        assert connection.send(request).error()[0] == 400


def test_errors_show_neither_paths_nor_tracebacks(strict):
    requests = [GOOD.replace(b"/net/", name) for name in (b"/fails/", b"/../", b"/%00/", b"/a%2Fb/")]
    for request in requests:
        with Connection(strict) as connection:
            status, text = connection.send(request).error()
        assert status >= 400
        assert "Traceback" not in text
        assert ".py" not in text
        assert "/" not in text.replace("and/or", "")


# --- who asks for another protocol is answered in this one ---

H2C = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
WANTS_H2C = infer("net", ("x", "FP32", [1], bytes(4)), headers=H2C)


@pytest.mark.parametrize("pieces", [1, 2, 7], ids=["whole", "in two pieces", "in seven pieces"])
def test_a_client_that_asks_for_another_protocol_is_answered_in_this_one(strict, pieces):
    step = -(-len(WANTS_H2C) // pieces)
    with Connection(strict) as connection:
        for at in range(0, len(WANTS_H2C), step):
            connection.send(WANTS_H2C[at : at + step])
            time.sleep(0.02)
        status, _, body = connection.answer()
        assert (status, json.loads(body)["outputs"][0]["data"]) == (200, [1.0])
        assert connection.send(GOOD).answer()[0] == 200


def test_requests_may_follow_one_that_asks_for_another_protocol(strict):
    get = f"GET /v2 HTTP/1.1\r\nHost: test\r\n{H2C}\r\n".encode()
    with Connection(strict) as connection:
        connection.send(WANTS_H2C + get + WANTS_H2C + GOOD)
        assert [connection.answer()[0] for _ in range(4)] == [200] * 4


def test_a_body_in_chunks_may_belong_to_a_request_for_another_protocol(strict):
    message = json.dumps({"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [1]}]}).encode()
    head = POST + H2C.encode() + b"Transfer-Encoding: chunked\r\n\r\n"
    with Connection(strict) as connection:
        connection.send(head + b"%x\r\n%b\r\n0\r\nX-Sum: 1\r\n\r\n" % (len(message), message) + GOOD)
        assert [connection.answer()[0] for _ in range(2)] == [200, 200]


def test_a_client_that_asks_for_another_protocol_may_wait_to_be_told_to_go_on(strict):
    head, _, body = WANTS_H2C.partition(b"\r\n\r\n")
    with Connection(strict) as connection:
        connection.send(head + b"\r\nExpect: 100-continue\r\n\r\n").until(b"100 Continue\r\n\r\n")
        assert connection.send(body).answer()[0] == 200


def test_a_wish_for_a_websocket_is_passed_over(strict):
    with Connection(strict) as connection:
        connection.send(b"GET /v2 HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        assert connection.answer()[0] == 200


# --- numbers and texts at the edge ---


@pytest.mark.parametrize("microseconds", [10**15, 10**300, 10**400])
def test_a_time_that_never_ends_is_that_of_the_server(strict, microseconds):
    request = infer("net", ("x", "FP32", [1], bytes(4)), parameters={"timeout": microseconds})
    with Connection(strict) as connection:
        assert connection.send(request).answer()[0] == 200


def test_answers_are_utf_8_whatever_the_id_of_the_request_is(strict):
    with Connection(strict) as connection:
        _, _, body = connection.send(infer("net", ("x", "FP32", [1], bytes(4)), id="\ud800")).answer()
    assert json.loads(body.decode("utf-8"))["id"] == "\ud800"
