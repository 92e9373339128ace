"""Bytes between guest and host."""

from __future__ import annotations

import array

import pytest

from tests.wit_host.wat import Import
from wit_host import GuestTrap
from wit_host import values as wit

TAKE = Import('(param "d" (list u8))', "(param i32 i32)")
GIVE = Import("(result (list u8))", "(param i32)")


def taken(bench, size, data=""):
    """What the host gets for `size` bytes at address 1024."""
    seen = []
    body = f"(call take (i32.const 1024) (i32.const {size}))"
    define = lambda instance: instance.function("take", lambda d: seen.append((d, bytes(d))), {"a": wit.BYTES}, None)  # noqa: E731
    bench.run({"take": TAKE}, body, define, data=data)
    return seen[0]


def give(bench, content, body="(call give (i32.const 64))"):
    define = lambda instance: instance.function("give", lambda: content, {}, wit.BYTES)  # noqa: E731
    return bench.run({"give": GIVE}, body, define)


@pytest.mark.parametrize("size", [0, 1, 2, 31, 1000])
def test_bytes_arrive_as_they_were(bench, size):
    pattern = bytes(range(256)) * 4
    text = "".join(f"\\{byte:02x}" for byte in pattern)
    _, content = taken(bench, size, f'(data (i32.const 1024) "{text}")')
    assert content == pattern[:size]


def test_bytes_arrive_as_a_read_only_buffer(bench):
    view, _ = taken(bench, 5)
    assert view.readonly
    assert (view.format, view.nbytes) == ("B", 5)


def test_a_large_list_arrives(bench):
    _, content = taken(bench, 1_000_000)
    assert content == bytes(1_000_000)


def test_a_list_beyond_the_engines_limit_gets_a_clear_error(bench):
    with pytest.raises(GuestTrap, match=r"guest trapped: .* more than about 2\.67 MiB in one call.* smaller tensors"):
        taken(bench, 3 << 20)


class Source:
    """Bytes that are made on demand."""

    nbytes = 3

    def write_into(self, destination):
        destination[:] = b"\x01\x02\x03"


@pytest.mark.parametrize(
    "content",
    [b"\x01\x02\x03", bytearray(b"\x01\x02\x03"), memoryview(b"\x01\x02\x03"), Source()],
    ids=["bytes", "bytearray", "memoryview", "source"],
)
def test_anything_that_is_a_buffer_can_be_returned(bench, content):
    body = """
        (call give (i32.const 64))
        (call $check (i32.load (i32.const 68)) (i32.const 3))
        (local.set $a (i32.load (i32.const 64)))
        (call $check (i32.load8_u (local.get $a)) (i32.const 1))
        (call $check (i32.load8_u offset=1 (local.get $a)) (i32.const 2))
        (call $check (i32.load8_u offset=2 (local.get $a)) (i32.const 3))"""
    assert give(bench, content, body) == 0


def test_a_buffer_of_larger_items_is_returned_as_its_bytes(bench):
    body = "(call give (i32.const 64)) (call $check (i32.load (i32.const 68)) (i32.const 8))"
    assert give(bench, memoryview(array.array("d", [1.5])), body) == 0


def test_nothing_can_be_returned(bench):
    body = "(call give (i32.const 64)) (call $check (i32.load (i32.const 68)) (i32.const 0))"
    assert give(bench, b"", body) == 0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("text", r"takes bytes, bytearray, memoryview or a ByteSource, not str"),
        ([1, 2], r"not list"),
        (None, r"not NoneType"),
        (memoryview(b"abcd")[::2], r"C-contiguous"),
    ],
)
def test_what_is_no_buffer_is_refused(bench, content, message):
    with pytest.raises(TypeError, match=message):
        give(bench, content)


def test_many_lists_in_a_list_arrive(bench):
    seen = []
    imports = {"take": Import('(param "d" (list (list u8)))', "(param i32 i32)")}
    body = """
        (i32.store (i32.const 64) (i32.const 1024)) (i32.store (i32.const 68) (i32.const 3))
        (i32.store (i32.const 72) (i32.const 1027)) (i32.store (i32.const 76) (i32.const 0))
        (i32.store (i32.const 80) (i32.const 1026)) (i32.store (i32.const 84) (i32.const 2))
        (call take (i32.const 64) (i32.const 3))"""

    def define(instance):
        instance.function("take", lambda d: seen.extend(bytes(each) for each in d), {"a": wit.List(wit.BYTES)}, None)

    bench.run(imports, body, define, data='(data (i32.const 1024) "abcd")')
    assert seen == [b"abc", b"", b"cd"]


def test_a_list_outside_the_guests_memory_traps(bench):
    with pytest.raises(GuestTrap, match="out of bounds"):
        taken(bench, 0x7FFFFFFF)
