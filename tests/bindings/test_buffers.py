"""Bytes cross by address as they do as lists: the same guest, the same host, the same values."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.bindings.guests import GOLDEN
from tests.golden.bindings.buffers.bindings import BUFFERS, Guest, add_to_linker, exports
from tests.golden.bindings.buffers.bindings import buffers as api
from tests.guests.forward import forwarding_guest
from wit_host import Engine, Err, Ok, ResultError
from wit_host.crossing.memory import unsupported

NAME = "golden:buffers/buffers@2.1.0"
LISTS = "golden:buffers/lists@2.1.0"
DATA = st.sampled_from([b"", b"\0", bytes(range(256)) * 100]) | st.binary(max_size=100)


class Sink(api.Sink):
    def __init__(self, start):
        self.kept = bytes(start)

    def write(self, more, also):
        self.kept += bytes(more) + b"".join(also)
        return len(self.kept)

    def content(self):
        return self.kept

    def drop(self):
        pass


class Host(api.Host):
    def new_sink(self, start):
        return Sink(start)

    def sum(self, v):
        return sum(v)

    def fill(self, size, with_):
        return bytes([with_]) * size

    def echo(self, v):
        return v

    def join(self, parts, last, pair):
        return b"".join(parts) + bytes(last or b"") + bytes([pair[0]]) + pair[1]

    def name(self, parts):
        return ",".join(f"{part.name}={part.content.hex()}" for part in parts)

    def weigh(self, v, w):
        return weight(v) + (len(w.value) if isinstance(w, Ok) else 1000)

    def many(self, a, b, c, d, e, f, g, h, i):
        return f"{a} {b} {c} {bytes(d).hex()} {e} {f} {bytes(g).hex()} {h} {i}".encode()

    def split(self, v, at):
        return v[:at], bytes(v[at:])

    def check(self, v):
        if not len(v):
            raise ResultError("there is nothing")
        return bytes(reversed(v))


def weight(part):
    match part:
        case api.PartRaw(content):
            return len(content)
        case api.PartLabelled(labelled):
            return len(labelled.content) + len(labelled.name)
        case _:
            return 0


def compile_with(*transports):
    engine = Engine(transports=transports)
    return engine, engine.compile(forwarding_guest(GOLDEN / "buffers" / "wit"), buffers=BUFFERS)


@pytest.fixture(scope="module", params=["list", "latin-1", "pointer"])
def guest(request):
    if request.param == "pointer" and (reason := unsupported()):
        pytest.skip(reason)
    engine, compiled = compile_with(*[request.param] if request.param != "list" else [])
    assert compiled.transport.partition(" ")[0] == request.param
    with engine.store() as store:
        add_to_linker(store.linker, Host(), Host())
        yield Guest(store.instantiate(compiled))


@pytest.mark.skipif(bool(unsupported()), reason=unsupported() or "memories can be reserved")
def test_both_interfaces_are_prepared_with_the_functions_whose_result_can_be():
    _, compiled = compile_with("pointer", "latin-1")
    expected = {"[method]sink.content", "fill", "echo", "join", "many"}
    assert compiled.by_address == {NAME: expected, LISTS: {"check"}}
    assert (compiled.as_strings, compiled.as_lists, compiled.no_addresses) == ({}, {}, {})


def test_functions_whose_bytes_cannot_be_strings_keep_lists():
    _, compiled = compile_with("latin-1")
    assert compiled.as_strings == {NAME: {"[constructor]sink", "sum", "echo"}, LISTS: {"split"}}
    inside, besides = "there are bytes inside other types", "there are strings besides the bytes"
    assert compiled.as_lists == {
        f"{NAME}#[method]sink.write": inside,
        f"{NAME}#join": inside,
        f"{NAME}#name": inside,
        f"{NAME}#weigh": inside,
        f"{NAME}#many": besides,
        f"{LISTS}#check": besides,
    }
    assert compiled.no_addresses == dict.fromkeys([NAME, LISTS], "the engine uses no addresses")
    assert compiled.transport.startswith(
        f"latin-1 (the engine uses no addresses), list for {NAME}#[method]sink.write, "
    )


@settings(max_examples=50, deadline=None)
@given(v=DATA, n=st.integers(0, 255))
def test_bytes_in_and_out(guest, v, n):
    assert guest.buffers.sum(v) == sum(v)
    assert guest.buffers.fill(len(v), n) == bytes([n]) * len(v)
    assert guest.buffers.echo(v) == v


@settings(max_examples=50, deadline=None)
@given(parts=st.lists(DATA, max_size=5), last=st.none() | DATA, pair=st.tuples(st.integers(0, 255), DATA))
def test_bytes_in_lists_options_and_tuples(guest, parts, last, pair):
    assert guest.buffers.join(parts, last, pair) == b"".join(parts) + (last or b"") + bytes([pair[0]]) + pair[1]


@settings(max_examples=50, deadline=None)
@given(parts=st.lists(st.builds(api.Labelled, st.text("abc"), DATA), max_size=4), v=DATA, text=st.text("ab"))
def test_bytes_in_records_variants_and_results(guest, parts, v, text):
    assert guest.buffers.name(parts) == ",".join(f"{part.name}={part.content.hex()}" for part in parts)
    for part in [api.PartRaw(v), api.PartNothing(), *map(api.PartLabelled, parts)]:
        assert guest.buffers.weigh(part, Ok(v)) == weight(part) + len(v)
        assert guest.buffers.weigh(part, Err(text)) == weight(part) + 1000


@settings(max_examples=50, deadline=None)
@given(start=DATA, more=DATA, also=st.lists(DATA, max_size=3))
def test_bytes_of_methods_and_constructors(guest, start, more, also):
    with guest.buffers.new_sink(start) as sink:
        assert isinstance(sink, exports.buffers.Sink)
        assert sink.content() == start
        whole = start + more + b"".join(also)
        assert sink.write(more, also) == len(whole)
        assert sink.content() == whole


@settings(max_examples=50, deadline=None)
@given(d=DATA, g=DATA, e=st.lists(st.text(max_size=3), max_size=3))
def test_more_parameters_than_are_passed_in_registers(guest, d, g, e):
    expected = f"{2**64 - 1} text 1.5 {d.hex()} {e} 7 {g.hex()} ü True".encode()
    assert guest.buffers.many(2**64 - 1, "text", 1.5, d, e, 7, g, "ü", True) == expected


@settings(max_examples=50, deadline=None)
@given(v=DATA, at=st.integers(0, 100))
def test_bytes_deeper_in_results(guest, v, at):
    assert guest.lists.split(v, at) == (v[:at], v[at:])
    if v:
        assert guest.lists.check(v) == v[::-1]
        return
    with pytest.raises(ResultError, match="there is nothing"):
        guest.lists.check(v)


def test_the_same_memory_serves_many_calls(guest):
    for size in [*range(0, 3000, 7), 100_000, 3]:
        assert len(guest.buffers.fill(size, 1)) == size
