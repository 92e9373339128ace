"""Results that begin with bytes if they are `ok`: they cross by address as they do as lists."""

from __future__ import annotations

import pytest

from tests.guests.forward import forwarding_guest
from tests.wit_host.helpers.wat import API, Import, command
from wit_host import Engine, GuestFunction, GuestInterface, GuestTrap, Resource, ResultError
from wit_host import values as wit
from wit_host.crossing.memory import unsupported

WIT = """package test:placed;

interface api {
    read: func(size: u32) -> result<list<u8>, string>;
    pair: func(content: list<u8>) -> result<tuple<list<u8>, bool, u32>>;
    wide: func(size: u32) -> result<list<u8>, u64>;
    other: func() -> result<_, list<u8>>;
}

world w {
    import api;
    export calls: interface {
        read: func(size: u32) -> result<list<u8>, string>;
        pair: func(content: list<u8>) -> result<tuple<list<u8>, bool, u32>>;
        wide: func(size: u32) -> result<list<u8>, u64>;
        other: func() -> result<_, list<u8>>;
    }
}
"""
NAME = "test:placed/api"


class Failure(ResultError[object]):
    pass


SIZE, CONTENT = {"size": wit.U32}, {"content": wit.BYTES}


def functions(result):
    """The types of the functions; `result` is the codec of the bytes in their results."""
    return {
        "read": (SIZE, wit.Result(result, wit.STRING, Failure)),
        "pair": (CONTENT, wit.Result(wit.Tuple(result, wit.BOOL, wit.U32), None, Failure)),
        "wide": (SIZE, wit.Result(result, wit.U64, Failure)),
        "other": ({}, wit.Result(None, result, Failure)),
    }


CALLS = {name: GuestFunction(name, *types) for name, types in functions(wit.COPIED_BYTES).items()}


class Source:
    """Bytes that the host does not have in memory."""

    nbytes = 5

    def write_into(self, destination):
        destination[:] = b"inner"


class Host:
    """Returns or raises `answer`; keeps what it was asked for."""

    def __init__(self):
        self.answer = b""
        self.asked = []

    def read(self, size):
        self.asked.append(size)
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer

    def pair(self, content):
        self.asked.append(bytes(content))
        return (content, False, len(content)) if self.answer == "echo" else self.answer

    def wide(self, size):
        return self.read(size)

    def other(self):
        raise Failure(self.answer)


@pytest.fixture(scope="module", params=["pointer", "list"])
def compiled(request):
    if request.param == "pointer" and unsupported():
        pytest.skip(unsupported())
    engine = Engine(transports=["pointer"] if request.param == "pointer" else [])
    guest = engine.compile(forwarding_guest(WIT), buffers=[NAME])
    expected = {NAME: {"read", "pair"}} if request.param == "pointer" else {}
    assert guest.by_address == expected
    return engine, guest


@pytest.fixture
def guest(compiled):
    engine, component = compiled
    host = Host()
    with engine.store(timeout=60) as store:
        instance = store.linker.instance(NAME)
        for name, types in functions(wit.BYTES).items():
            instance.function(name, getattr(host, name), *types)
        interface = GuestInterface(store.instantiate(component), "calls", list(CALLS.values()))
        yield host, lambda name, *arguments: CALLS[name](interface, *arguments)


@pytest.mark.parametrize("content", [b"", b"x", bytes(range(256)) * 1000, bytearray(b"abc"), memoryview(b"def")])
def test_bytes_arrive(content, guest):
    host, call = guest
    host.answer = content
    assert call("read", 7) == bytes(content)
    assert call("wide", 8) == bytes(content)
    assert host.asked == [7, 8], "the host is asked once for each call"
    host.answer = (content, True, 9)
    assert call("pair", b"given") == (bytes(content), True, 9)
    assert host.asked == [7, 8, b"given"]


def test_megabytes_arrive(guest):
    host, call = guest
    host.answer = bytes(range(256)) * 8192
    assert [call("read", number) == host.answer for number in range(5)] == [True] * 5


def test_a_source_fills_the_memory_of_the_guest(guest):
    host, call = guest
    host.answer = Source()
    assert call("read", 1) == b"inner"


def test_errors_arrive(guest):
    host, call = guest
    for answer in ("", "it failed", "ü" * 10_000):
        host.answer = Failure(answer)
        with pytest.raises(Failure) as raised:
            call("read", 1)
        assert raised.value.value == answer
    host.answer = Failure(1 << 63)
    with pytest.raises(Failure) as raised:
        call("wide", 1)
    assert raised.value.value == 1 << 63
    host.answer = b"bytes in the error"
    with pytest.raises(Failure) as raised:
        call("other")
    assert raised.value.value == b"bytes in the error"
    host.answer = b"afterwards"
    assert call("read", 1) == b"afterwards"


def test_bytes_that_the_guest_passed_can_be_returned(guest):
    host, call = guest
    host.answer = "echo"
    assert call("pair", b"0123456789" * 100) == (b"0123456789" * 100, False, 1000)


@pytest.mark.parametrize(
    ("name", "argument", "answer", "text"),
    [
        ("read", 1, 5, "test:placed/api#read: result: a list<u8> takes .*, not int"),
        ("read", 1, None, "test:placed/api#read: result: a list<u8> takes .*, not NoneType"),
        ("pair", b"", (b"", True), "test:placed/api#pair: result: a tuple of 3 is needed"),
        ("pair", b"", b"", "test:placed/api#pair: result: .*tuple"),
        ("pair", b"", (b"", 1, 1), r"test:placed/api#pair: result\[1\]: bool is needed, not int"),
        ("pair", b"", (b"", True, -1), r"test:placed/api#pair: result\[2\]"),
    ],
)
def test_an_answer_of_another_type_is_named(name, argument, answer, text, guest):
    host, call = guest
    host.answer = answer
    with pytest.raises((TypeError, ValueError), match=text):
        call(name, argument)


def test_an_exception_of_the_host_is_that_of_the_call(guest):
    host, call = guest
    host.answer = KeyError("the host")
    with pytest.raises(KeyError, match="the host"):
        call("read", 1)


# --- guests that lie ---

READ = Import('(param "size" u32) (result (result (list u8) (error string)))', "(param i32 i32)")
#: Calls `read`, and checks that it is `ok` with bytes at the first address that the allocator returns.
ASK = """(call read (i32.const 3) (i32.const 16))
  (call $check (i32.load8_u (i32.const 16)) (i32.const 0))
  (call $check (i32.load (i32.const 20)) (i32.const 65536))
  (call $check (i32.load (i32.const 24)) (i32.const 3))
  (call $check (i32.load8_u (i32.const 65538)) (i32.const 99))"""


def run(pages):
    engine = Engine()
    host = Host()
    host.answer = b"abc"
    with engine.store() as store:
        store.linker.instance(API).resource(Resource("thing"))
        store.linker.instances[API].function("read", host.read, *functions(wit.BYTES)["read"])
        guest = engine.compile(command({"read": READ}, ASK, pages=pages).encode(), buffers=[API])
        assert guest.by_address == {API: {"read"}}
        return store.run_command(guest), host.asked


@pytest.mark.skipif(bool(unsupported()), reason=str(unsupported()))
def test_the_bytes_are_where_the_allocator_says():
    assert run(pages=200) == (0, [3])


@pytest.mark.skipif(bool(unsupported()), reason=str(unsupported()))
def test_an_allocator_that_returns_an_address_outside_the_memory_traps():
    with pytest.raises(GuestTrap, match=r"test:host/api#read: result: .*65536"):
        run(pages=1)
