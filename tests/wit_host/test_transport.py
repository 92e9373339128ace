"""Bytes between guest and host."""

from __future__ import annotations

import array

import numpy as np
import pytest

from tests.wit_host.helpers.host import Host
from tests.wit_host.helpers.wat import API, Import
from wit_host import GuestTrap
from wit_host import values as wit
from wit_host.crossing import transport
from wit_host.crossing.memory import unsupported

TAKE = Import('(param "d" (list u8))', "(param i32 i32)")
GIVE = Import("(result (list u8))", "(param i32)")


@pytest.fixture(scope="module", params=["list", "latin-1", "pointer"])
def host(request):
    """Every test runs on each transport, and must not notice."""
    host = Host([API], [request.param] if request.param != "list" else [])
    host.way = request.param
    if host.way == "pointer" and (reason := unsupported()):
        pytest.skip(reason)
    return host


@pytest.fixture(scope="module")
def pointers():
    """For what only addresses can do, or do wrong."""
    if reason := unsupported():
        pytest.skip(reason)
    return Host([API])


def test_the_guests_are_those_that_are_meant(host):
    assert host.compile({"take": TAKE}, "").transport.partition(" ")[0] == host.way


def taken(host, size, data="", address=1024, see=bytes, **more):
    """What `see` makes of the `size` bytes at an address, in the host function."""
    seen = []
    body = f"(call take (i32.const {address}) (i32.const {size}))"

    def define(instance):
        instance.function("take", lambda d: seen.append(see(d)), {"a": wit.BYTES}, None)

    host.run({"take": TAKE}, body, define, data=data, **more)
    return seen[0]


def give(host, content, body="(call give (i32.const 64))", **more):
    def define(instance):
        instance.function("give", lambda: content, {}, wit.BYTES)

    return host.run({"give": GIVE}, body, define, **more)


@pytest.mark.parametrize("size", [0, 1, 2, 31, 1000])
def test_bytes_arrive_as_they_were(host, size):
    pattern = bytes(range(256)) * 4
    text = "".join(f"\\{byte:02x}" for byte in pattern)
    content = taken(host, size, f'(data (i32.const 1024) "{text}")')
    assert content == pattern[:size]


def test_bytes_arrive_as_a_read_only_buffer(host):
    assert taken(host, 5, see=lambda d: (d.readonly, d.format, d.nbytes)) == (True, "B", 5)


@pytest.mark.parametrize("size", [0, 5])
def test_the_buffer_cannot_be_used_after_the_call(host, size):
    view = taken(host, size, see=lambda d: d)
    with pytest.raises(ValueError, match="released"):
        bytes(view)


def test_a_large_list_arrives(host):
    assert taken(host, 1_000_000) == bytes(1_000_000)


TOO_MUCH = (
    r"guest trapped: .*the arguments .* limit for one call: strings of 128 MiB in all, or lists of about 2\.8 million"
)


def test_what_is_beyond_the_engines_limit_for_lists_gets_a_clear_error_unless_it_crosses_otherwise(host):
    if host.way != "list":
        assert taken(host, 3 << 20) == bytes(3 << 20)
        return
    with pytest.raises(GuestTrap, match=TOO_MUCH):
        taken(host, 3 << 20)


@pytest.mark.parametrize("address", [1024, 1025])
def test_what_is_beyond_the_engines_limit_for_strings_gets_a_clear_error_unless_it_crosses_by_address(host, address):
    if host.way == "list":
        return
    assert taken(host, 127 << 20, address=address, pages=2100, see=len) == 127 << 20
    if host.way == "latin-1":
        with pytest.raises(GuestTrap, match=TOO_MUCH):
            taken(host, 130 << 20, address=address, pages=2100, see=len)


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
def test_anything_that_is_a_buffer_can_be_returned(host, content):
    body = """
        (call give (i32.const 64))
        (call $check (i32.load (i32.const 68)) (i32.const 3))
        (local.set $a (i32.load (i32.const 64)))
        (call $check (i32.load8_u (local.get $a)) (i32.const 1))
        (call $check (i32.load8_u offset=1 (local.get $a)) (i32.const 2))
        (call $check (i32.load8_u offset=2 (local.get $a)) (i32.const 3))"""
    assert give(host, content, body) == 0


def test_a_buffer_of_larger_items_is_returned_as_its_bytes(host):
    body = "(call give (i32.const 64)) (call $check (i32.load (i32.const 68)) (i32.const 8))"
    assert give(host, memoryview(array.array("d", [1.5])), body) == 0


def test_nothing_can_be_returned(host):
    body = "(call give (i32.const 64)) (call $check (i32.load (i32.const 68)) (i32.const 0))"
    assert give(host, b"", body) == 0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("text", r"takes bytes, bytearray, memoryview or a ByteSource, not str"),
        ([1, 2], r"not list"),
        (None, r"not NoneType"),
        (memoryview(b"abcd")[::2], r"C-contiguous"),
    ],
)
def test_what_is_no_buffer_is_refused(host, content, message):
    with pytest.raises(TypeError, match=message):
        give(host, content)


def test_many_lists_in_a_list_arrive(host):
    seen = []
    imports = {"take": Import('(param "d" (list (list u8)))', "(param i32 i32)")}
    body = """
        (i32.store (i32.const 64) (i32.const 1024)) (i32.store (i32.const 68) (i32.const 3))
        (i32.store (i32.const 72) (i32.const 1027)) (i32.store (i32.const 76) (i32.const 0))
        (i32.store (i32.const 80) (i32.const 1026)) (i32.store (i32.const 84) (i32.const 2))
        (call take (i32.const 64) (i32.const 3))"""

    def define(instance):
        instance.function("take", lambda d: seen.extend(bytes(each) for each in d), {"a": wit.List(wit.BYTES)}, None)

    host.run(imports, body, define, data='(data (i32.const 1024) "abcd")')
    assert seen == [b"abc", b"", b"cd"]


def test_a_list_outside_the_guests_memory_traps(host):
    with pytest.raises(GuestTrap, match=r"out of bounds|are not all in the guest's memory"):
        taken(host, 0x7FFFFFFE)


# --- addresses ---

LAST = 200 << 16  # behind the guest's memory


@pytest.mark.parametrize(
    ("address", "size"),
    [(LAST, 1), (LAST - 1, 2), (0, LAST + 1), (LAST + 1, 0), (-1, 0), (-1, 1), (-1, -1), (1, -1), (-1024, 1024)],
)
def test_what_is_not_in_the_guests_memory_names_function_and_argument(pointers, address, size):
    text = (
        rf"{API}#take: a: {size % 2**32} bytes at address {address % 2**32} are not all in the guest's memory of {LAST}"
    )
    with pytest.raises(GuestTrap, match=text):
        taken(pointers, size, address=address)


@pytest.mark.parametrize(
    ("address", "size"), [(LAST, 0), (LAST - 1, 1), (LAST - 7, 7), (0, 0), (1, 0), (1, 3), (1, LAST - 1), (2, 3)]
)
def test_what_is_at_the_very_end_or_at_odd_addresses_arrives(host, address, size):
    if host.way == "list" and size > 1000:
        return
    data = f'(data (i32.const {LAST - 7}) "1234567")'
    content = taken(host, size, address=address, data=data)
    assert content == (b"1234567".rjust(size, b"\0")[max(0, 7 - size) :] if address + size == LAST else bytes(size))


def test_memory_that_has_just_grown_is_there(host):
    seen = []
    body = f"""
        (drop (memory.grow (i32.const 2)))
        (i32.store8 (i32.const {LAST + 131071}) (i32.const 7))
        (call take (i32.const {LAST}) (i32.const 131072))"""

    def define(instance):
        instance.function("take", lambda d: seen.append((len(d), d[-1])), {"a": wit.BYTES}, None)

    host.run({"take": TAKE}, body, define)
    assert seen == [(131072, 7)]


def test_memory_that_is_not_yet_grown_is_not_there(pointers):
    body = f"(call take (i32.const {LAST - 8}) (i32.const 16)) (drop (memory.grow (i32.const 1)))"
    with pytest.raises(GuestTrap, match="are not all in the guest's memory"):
        pointers.run({"take": TAKE}, body, lambda i: i.function("take", bytes, {"a": wit.BYTES}, None))


KEEPING = {
    "a slice": lambda d: d[1:3],
    "an array": lambda d: np.frombuffer(d, np.uint8),
    "a memoryview": memoryview,
    "a ctypes array": lambda d: memoryview(d).cast("c"),
}


@pytest.mark.parametrize("case", KEEPING)
def test_keeping_something_that_was_made_of_the_buffer_is_an_error_and_harmless(pointers, case):
    kept = []
    with pytest.raises(BufferError, match="take kept a view of the guest's memory beyond the call"):
        taken(pointers, 8, data='(data (i32.const 1024) "12345678")', see=lambda d: kept.append(KEEPING[case](d)))
    assert bytes(kept[0])[:1] in (b"1", b"2"), "the guest is gone, its memory is not while somebody looks at it"


def test_an_exception_that_holds_the_buffer_comes_out_as_itself(host):
    def fail(d):
        part = d[1:]
        raise KeyError(len(part))

    with pytest.raises(KeyError):
        taken(host, 4, see=fail)


def test_what_was_given_can_be_returned(host):
    imports = {"echo": Import('(param "d" (list u8)) (result (list u8))', "(param i32 i32 i32)")}
    body = """
        (call echo (i32.const 1024) (i32.const 4) (i32.const 64))
        (call $check (i32.load (i32.const 68)) (i32.const 4))
        (call $check (i32.load (i32.load (i32.const 64))) (i32.load (i32.const 1024)))"""

    def define(instance):
        instance.function("echo", lambda d: d, {"d": wit.BYTES}, wit.BYTES)

    assert host.run(imports, body, define, data='(data (i32.const 1024) "abcd")') == 0


def test_a_source_is_asked_to_fill_the_guests_memory_itself(pointers):
    filled = []

    class Watched(Source):
        def write_into(self, destination):
            filled.append(destination.nbytes)
            super().write_into(destination)

    body = "(call give (i32.const 64)) (call $check (i32.load8_u (i32.load (i32.const 64))) (i32.const 1))"
    assert give(pointers, Watched(), body) == 0
    assert filled == [3]


def test_a_source_that_keeps_the_guests_memory_is_an_error(pointers):
    class Keeping(Source):
        def write_into(self, destination):
            self.kept = destination[:1]

    with pytest.raises(BufferError, match="give kept a view"):
        give(pointers, Keeping())


def test_a_source_that_fails_comes_out_as_itself(host):
    class Failing(Source):
        def write_into(self, destination):
            raise OSError("the device is gone")

    with pytest.raises(OSError, match="the device is gone"):
        give(host, Failing())


@pytest.mark.parametrize("place", [LAST - 7, LAST - 4, LAST, -8, -1])
def test_a_result_whose_place_is_not_in_the_guests_memory_traps(pointers, place):
    with pytest.raises(GuestTrap, match=r"give: result: .* are not all in the guest's memory|pointer not aligned"):
        give(pointers, b"abc", f"(call give (i32.const {place}))")


def test_large_results_arrive(host):
    size = 5 << 20 if host.way == "pointer" else 1 << 20
    body = f"""
        (call give (i32.const 64))
        (call $check (i32.load (i32.const 68)) (i32.const {size}))
        (call $check (i32.load8_u (i32.add (i32.load (i32.const 64)) (i32.const {size - 1}))) (i32.const 9))"""
    assert give(host, bytes(size - 1) + b"\x09", body) == 0


def test_results_of_many_calls_are_not_mixed_up(host):
    answers = [b"a", b"", b"ccc", b"dd"]
    imports = {"give": Import('(param "n" u32) (result (list u8))', "(param i32 i32)")}
    body = "".join(
        f"""(call give (i32.const {n}) (i32.const 64)) (call $check (i32.load (i32.const 68)) (i32.const {len(answer)}))
        (call $check (i32.load8_u (i32.load (i32.const 64))) (i32.const {answer[0] if answer else 0}))"""
        for n, answer in enumerate(answers)
        if answer
    )

    def define(instance):
        instance.function("give", lambda n: answers[n], {"n": wit.U32}, wit.BYTES)

    assert host.run(imports, body, define) == 0


def test_the_function_that_was_given_too_much_is_named_if_the_guest_has_a_name_for_it():
    report = """error while executing at wasm backtrace:
    0: 0x1f2a - wit-component:shim!indirect-wasi:nn/tensor@0.2.0-rc-2024-10-28-[constructor]tensor

Caused by:
    fuel allocated for hostcalls has been exhausted"""
    named = "the arguments that the guest passed to `wasi:nn/tensor@0.2.0-rc-2024-10-28-[constructor]tensor` take more"
    assert transport.explain_trap(report).startswith(named)


def test_without_a_name_too_much_may_also_have_been_the_result_of_the_guest():
    report = "error while executing\n\nCaused by:\n    fuel allocated for hostcalls has been exhausted"
    named = "the result of the guest, or the arguments that it passed to a function of the host, take more"
    assert transport.explain_trap(report).startswith(named)
