"""The resources of `wasi:http`, as a guest uses them: what they take, what they refuse, and what they cost the host."""

from __future__ import annotations

import asyncio
import ipaddress
import sys

import pytest

import wasi_host
from tests.conftest import ROOT
from tests.guests.tools import wasm_tools
from wasi_bindings.streams import StreamErrorClosed, StreamErrorException, StreamErrorLastOperationFailed
from wasi_host import Destination, Limits, Outgoing, World
from wasi_host.http import Abandoned, Inflow, Request, Response
from wasi_host.http.policy import Origin, is_public
from wasi_http_bindings import types
from wasi_http_bindings.types import ErrorCodeException, HeaderErrorException
from wit_host import Err, GuestLimit, GuestTrap, Ok, ResultError


@pytest.fixture
def world():
    world = World(limits=Limits(fields=2000, bodies=3))
    yield world
    assert world.open_handles == 0
    around = world.hosts.http_types.around
    assert (around.budget._used, around.bodies.used) == (0, 0)


@pytest.fixture
def http(world):
    return world.hosts.http_types


def asked(http, *, headers=(), body=None, answer=bool):
    """A request for a guest, and the place for the response."""
    return http.request(Request("GET", "/", "http", "test", headers, body or Inflow()), answer)


def response(http, *headers, status=200):
    made = http.new_outgoing_response(http.fields_from_list([(name, memoryview(value)) for name, value in headers]))
    made.set_status_code(status)
    return made


# --- fields ---


def test_names_are_the_same_in_upper_and_lower_case(http):
    fields = http.new_fields()
    fields.append("X-One", memoryview(b"1"))
    fields.append("x-ONE", memoryview(b"2"))
    assert (fields.get("X-one"), fields.has("x-one"), fields.has("x-two")) == ([b"1", b"2"], True, False)
    fields.set("x-one", [memoryview(b"3")])
    fields.append("x-two", memoryview(b""))
    assert fields.entries() == (("x-one", b"3"), ("x-two", b""))
    fields.delete("X-ONE")
    assert fields.entries() == (("x-two", b""),)
    fields.drop()


@pytest.mark.parametrize("value", [b"a\rb", b"a\nb", b"a\0b", b"\x7f", b"\x1b[0m"])
def test_values_have_no_control_characters(http, value):
    fields = http.new_fields()
    for change in (lambda: fields.append("x", memoryview(value)), lambda: fields.set("x", [memoryview(value)])):
        with pytest.raises(HeaderErrorException):
            change()
    assert fields.entries() == ()
    fields.drop()


@pytest.mark.parametrize("value", [b"", b"\t a \t", "ü".encode(), b"\xff", bytes(range(0x20, 0x7F))])
def test_values_may_have_any_other_bytes(http, value):
    fields = http.fields_from_list([("x", memoryview(value))])
    assert fields.get("x") == [value]
    fields.drop()


def test_the_fields_of_a_message_cannot_be_changed_and_their_copy_can(http):
    made = response(http, ("x", b"1"))
    fields = made.headers()
    for change in (lambda: fields.append("y", memoryview(b"")), lambda: fields.delete("x")):
        with pytest.raises(HeaderErrorException) as caught:
            change()
        assert isinstance(caught.value.value, types.HeaderErrorImmutable)
    copy = fields.clone()
    copy.append("y", memoryview(b"2"))
    assert copy.has("y")
    assert not fields.has("y")
    for each in (copy, fields, made):
        each.drop()


def test_the_fields_of_a_guest_are_limited_together(http):
    kept = [http.fields_from_list([("x", memoryview(bytes(b"1" * 800)))]) for _ in range(2)]
    with pytest.raises(GuestLimit, match="more than 2000 bytes"):
        kept[0].clone()
    with pytest.raises(GuestLimit, match="more than 2000 bytes"):
        kept[0].append("x", memoryview(b"1" * 800))
    kept.pop().drop()
    kept[0].clone().drop()
    kept[0].drop()


# --- messages ---


@pytest.mark.parametrize("path", [" /", "/a b", "/a\r\nx: y", "a", "/#a", "/ü", "/" + "a" * 20_000, "http://a/"])
def test_a_path_that_is_not_one_is_refused(http, path):
    refused(http, "set_path_with_query", path)


@pytest.mark.parametrize("path", [None, "", "/", "/a?b=%20&c", "?a", "/a//../b:@!$'()*+,;="])
def test_a_path_and_a_query_are_taken(http, path):
    taken(http, "path_with_query", path)


@pytest.mark.parametrize(
    "authority", ["", "a b", "user@host", "a:b", "a:123456", "a/b", "a%2f", "[::1", "a\r\nx: y", "ü"]
)
def test_an_authority_that_is_not_one_is_refused(http, authority):
    refused(http, "set_authority", authority)


@pytest.mark.parametrize("authority", [None, "example.com", "example.com:80", "127.0.0.1:1", "[::1]:8080"])
def test_an_authority_is_taken(http, authority):
    taken(http, "authority", authority)


@pytest.mark.parametrize("method", ["", "A B", "GET\r\n", "ü"])
def test_a_method_that_is_not_one_is_refused(http, method):
    refused(http, "set_method", types.MethodOther(method))


def refused(http, setter, value):
    request = http.new_outgoing_request(http.new_fields())
    with pytest.raises(ResultError):
        getattr(request, setter)(value)
    request.drop()


def taken(http, name, value):
    request = http.new_outgoing_request(http.new_fields())
    getattr(request, f"set_{name}")(value)
    assert getattr(request, name)() == value
    request.drop()


def test_what_can_be_taken_once_is_not_given_twice(http):
    request, out = asked(http)
    body = request.consume()
    stream = body.stream()
    made = response(http)
    outgoing = made.body()
    sink = outgoing.write()
    for again in (request.consume, body.stream, made.body, outgoing.write):
        with pytest.raises(ResultError):
            again()
    for each in (sink, outgoing, made, stream, body, request, out):
        each.drop()


def test_a_response_is_given_with_the_body_that_follows(http):
    answers = []
    request, out = asked(http, answer=answers.append)
    made = response(http, ("x", b"1"), status=201)
    body = made.body()
    http.response_outparam_set(out, Ok(made))
    stream = body.write()
    assert stream.check_write() > 0
    stream.write(b"hello")
    stream.drop()
    http.outgoing_body_finish(body, None)
    request.drop()
    (given,) = answers
    assert (given.status, given.headers) == (201, (("x", b"1"),))
    assert asyncio.run(collected(given)) == b"hello"


async def collected(given: Response) -> bytes:
    content = b""
    while piece := await given.body.get():
        content += piece
    return content


def test_a_body_that_is_dropped_is_not_complete(http):
    answers = []
    request, out = asked(http, answer=answers.append)
    made = response(http)
    body = made.body()
    http.response_outparam_set(out, Ok(made))
    body.drop()
    request.drop()
    with pytest.raises(Abandoned):
        asyncio.run(collected(answers[0]))


def test_an_error_is_given_in_place_of_a_response(http):
    answers = []
    request, out = asked(http, answer=answers.append)
    http.response_outparam_set(out, Err(types.ErrorCodeLoopDetected()))
    request.drop()
    assert answers == [types.ErrorCodeLoopDetected()]


@pytest.mark.parametrize("length", [b"-1", b"1,2", b"+1", b" 1", b"1" * 30, b""])
def test_a_length_that_is_not_a_number_is_refused(http, length):
    made = response(http, ("content-length", length))
    with pytest.raises(ResultError):
        made.body()
    made.drop()


def test_two_lengths_are_refused(http):
    made = response(http, ("content-length", b"1"), ("content-length", b"1"))
    with pytest.raises(ResultError):
        made.body()
    made.drop()


def test_a_body_beyond_its_length_fails_and_one_below_it_is_not_complete(http):
    made = response(http, ("content-length", b"4"))
    body = made.body()
    stream = body.write()
    stream.check_write()
    with pytest.raises(StreamErrorException) as caught:
        stream.write(b"hello")
    assert isinstance(caught.value.value, StreamErrorLastOperationFailed)
    error = caught.value.value.value
    assert http.http_error_code(error) == types.ErrorCodeHTTPResponseBodySize(5)
    error.drop()
    stream.drop()
    with pytest.raises(ErrorCodeException) as refusal:
        http.outgoing_body_finish(body, None)
    assert refusal.value.value == types.ErrorCodeHTTPResponseBodySize(0)
    made.drop()


def test_a_body_is_finished_after_its_stream(http):
    request, out = asked(http)
    body = request.consume()
    stream = body.stream()
    with pytest.raises(GuestTrap, match="whose stream it has not dropped"):
        http.incoming_body_finish(body)
    made = response(http)
    outgoing = made.body()
    sink = outgoing.write()
    with pytest.raises(GuestTrap, match="whose stream it has not dropped"):
        http.outgoing_body_finish(outgoing, None)
    for each in (sink, outgoing, made, stream, body, request, out):
        each.drop()


def test_trailers_follow_a_body(http):
    flow = Inflow()

    async def arrive():
        await flow.put(b"hello")
        flow.finish((("x", b"1"),))

    asyncio.run(arrive())
    request, out = asked(http, body=flow)
    body = request.consume()
    stream = body.stream()
    assert stream.read(100) == b"hello"
    with pytest.raises(StreamErrorException) as caught:
        stream.read(1)
    assert caught.value.value == StreamErrorClosed()
    stream.drop()
    future = http.incoming_body_finish(body)
    trailers = future.get().value.value
    assert trailers.entries() == (("x", b"1"),)
    assert future.get() == Err(None)
    for each in (trailers, future, request, out):
        each.drop()


# --- what is dropped before what depends on it ---


def test_a_stream_whose_body_was_dropped_has_ended(http):
    flow = Inflow()
    asyncio.run(flow.put(b"hello"))
    request, out = asked(http, body=flow)
    body = request.consume()
    stream = body.stream()
    ready = stream.subscribe()
    body.drop()
    assert ready.ready()
    with pytest.raises(StreamErrorException) as caught:
        stream.blocking_read(1)
    assert caught.value.value == StreamErrorClosed()
    for each in (ready, stream, request, out):
        each.drop()


def test_nothing_more_is_written_to_a_body_that_was_dropped(http):
    made = response(http)
    body = made.body()
    stream = body.write()
    ready = stream.subscribe()
    stream.check_write()
    stream.write(bytes(1 << 16))
    assert not ready.ready()
    body.drop()
    assert ready.ready()
    for call in (stream.check_write, stream.blocking_flush, lambda: stream.blocking_write_and_flush(b"x")):
        with pytest.raises(StreamErrorException) as caught:
            call()
        assert caught.value.value == StreamErrorClosed()
    for each in (ready, stream, made):
        each.drop()


def test_a_future_of_trailers_that_was_dropped_is_still_ready(http):
    request, out = asked(http)
    future = http.incoming_body_finish(request.consume())
    ready = future.subscribe()
    future.drop()
    ready.block()
    for each in (ready, request, out):
        each.drop()


# --- what a guest can make the host keep ---


def test_the_texts_of_requests_count_as_fields_do(http):
    one, other = (http.new_outgoing_request(http.new_fields()) for _ in range(2))
    one.set_path_with_query("/" + "a" * 800)
    one.set_authority("b" * 800)
    changes = (
        lambda: other.set_path_with_query("/" + "a" * 499),
        lambda: other.set_authority("a" * 500),
        lambda: other.set_method(types.MethodOther("A" * 500)),
        lambda: other.set_scheme(types.SchemeOther("a" * 500)),
    )
    for change in changes:
        with pytest.raises(GuestLimit, match="more than 2000 bytes"):
            change()
    one.set_path_with_query(None)
    for change in changes[:2]:
        change()
    one.drop()
    for change in changes[2:]:
        change()
    other.set_method(types.MethodGet())
    other.set_scheme(types.SchemeHTTP())
    assert other.authority() == "a" * 500
    other.drop()


def test_the_bodies_of_a_guest_are_limited(http):
    kept = [response(http) for _ in range(4)]
    bodies = [each.body() for each in kept[:3]]
    with pytest.raises(GuestLimit, match="holds 3 bodies"):
        kept[3].body()
    for each in bodies:
        each.drop()
    with pytest.raises(GuestLimit, match="holds 3 bodies"):
        kept[3].body()
    kept.pop(0).drop()
    kept[2].body().drop()
    for each in kept:
        each.drop()


def test_nobody_takes_what_is_written_for_a_response_that_is_not_given(http):
    made = response(http)
    body = made.body()
    stream = body.write()
    stream.check_write()
    stream.write(b"hello")
    made.drop()
    with pytest.raises(StreamErrorException):
        stream.check_write()
    assert not body.flow._content
    stream.drop()
    body.drop()


def test_a_body_that_nobody_reads_takes_a_limited_number_of_bytes(http):
    made = response(http)
    body = made.body()
    stream = body.write()
    written = 0
    while permitted := stream.check_write():
        stream.write(bytes(permitted))
        written += permitted
    assert written == 1 << 16
    for each in (stream, body, made):
        each.drop()


# --- the policy ---


@pytest.mark.parametrize(
    "text",
    ["example.com", "ftp://a", "http://", "http://a/", "http://a:0", "http://a:65536", "http://u@a", "http://a?b"],
)
def test_an_origin_that_is_not_one_is_refused(text):
    with pytest.raises(ValueError, match="is not an origin"):
        Origin.parse(text)


def test_origins_are_the_same_however_they_are_spelled():
    assert Origin.parse("https://Example.COM") == Origin.parse("https://example.com:443")
    assert Origin.parse("http://[0:0::1]") == Origin.parse("http://[::1]:80")
    assert str(Destination.parse("http://a@10.0.0.0/8@fd00::/8")) == "http://a:80@10.0.0.0/8@fd00::/8"


@pytest.mark.parametrize(
    "address",
    "0.0.0.0 10.0.0.1 100.64.0.1 127.0.0.1 127.1.2.3 169.254.169.254 172.16.0.1 172.31.255.255 192.0.0.1 192.0.2.1 "
    "192.88.99.1 192.168.1.1 198.18.0.1 198.51.100.1 203.0.113.1 224.0.0.1 240.0.0.1 255.255.255.255 :: ::1 "
    "::ffff:127.0.0.1 ::ffff:8.8.8.8 ::127.0.0.1 64:ff9b::7f00:1 64:ff9b:1::1 100::1 2001::1 2001:db8::1 "
    "2002:7f00:1::1 3fff::1 5f00::1 fc00::1 fd00:ec2::254 fe80::1 fe80::1%1 fec0::1 ff02::1".split(),
)
def test_addresses_that_are_not_public(address):
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "address", "1.1.1.1 8.8.8.8 172.15.0.1 172.32.0.1 192.0.1.1 223.255.255.255 2606:4700::1111 2a00:1450::1".split()
)
def test_addresses_that_are_public(address):
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "given",
    [{"connect_timeout": 0}, {"first_byte_timeout": -1}, {"between_bytes_timeout": float("inf")}, {"connections": 0}],
)
def test_a_policy_with_a_wrong_number_is_refused(given):
    with pytest.raises(ValueError, match="give"):
        Outgoing(**given)


def test_a_policy_without_the_package_that_it_needs_is_refused(monkeypatch):
    monkeypatch.setitem(sys.modules, "h11", None)
    World()
    with pytest.raises(ImportError, match="pip install h11"):
        World(outgoing=Outgoing(["http://example.com"]))


# --- the declarations ---


@pytest.mark.parametrize("version", ["0.2.0", "0.2.10", "0.2.57"])
def test_a_guest_of_any_version_gets_every_function(engine, version):
    core = wasm_tools("component", "embed", ROOT / "wit/wasi", "--dummy", "--world", "http")
    text = wasm_tools("print", "-", stdin=wasm_tools("component", "new", "-", stdin=core)).decode()
    guest = wasm_tools("parse", "-", stdin=text.replace("@0.2.0", f"@{version}").encode())
    with engine.store() as store:
        World().add_to_linker(store.linker)
        store.instantiate(engine.compile(guest, buffers=wasi_host.BUFFERS))
