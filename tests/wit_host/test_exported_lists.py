"""Exported functions whose bytes cross by address: what crosses, what does not, and guests that lie."""

from __future__ import annotations

import enum
import gc
import random
import re

import pytest

from tests.guests.tools import wasm_tools
from tests.wit_host.helpers.rewriting import damaged, is_valid
from wit_host import Engine, GuestError, GuestFunction, GuestInterface, GuestTimeout, GuestTrap, LinkError, ResultError
from wit_host import values as wit
from wit_host.rewrite import export_by_address

WIT = """package test:bytes@1.0.0;
interface codec {
  enum refusal { empty, too-long }
  record options { level: u8 }
  variant why { empty, number(u32) }
  resource writer { write: func(data: list<u8>) -> u32; }
  echo: func(data: list<u8>) -> list<u8>;
  join: func(a: list<u8>, separator: char, b: list<u8>, times: u32) -> list<u8>;
  size: func(data: list<u8>) -> u64;
  count: func(data: list<u16>) -> u32;
  hello: func(data: list<u8>) -> string;
  zeros: func(count: u32) -> list<u8>;
  check: func(data: list<u8>) -> result<list<u8>, refusal>;
  explain: func(data: list<u8>) -> result<list<u8>, string>;
  silent: func(data: list<u8>) -> result<list<u8>>;
  pack: func(data: list<u8>, how: options) -> list<u8>;
  tell: func(data: list<u8>) -> result<list<u8>, why>;
  parts: func(data: list<list<u8>>) -> list<u8>;
  lie: func(what: u32) -> tuple<string, list<u8>, list<u16>, char>;
  frees: func() -> u32;
}
world guest { export codec; export echo-here: func(data: list<u8>) -> list<u8>; }
"""
NAME = "test:bytes/codec@1.0.0"
#: The functions whose bytes cross by address, of those in the interface; of `parts`, only the result does.
BY_ADDRESS = {
    "echo", "join", "size", "count", "hello", "zeros", "check", "explain", "silent", "pack", "tell", "parts", "lie",
    "[method]writer.write",
}  # fmt: skip

#: The allocator only goes up; a result is stored at 16, with its content at 20. `post-return` counts.
CORE = """(module
  (memory (export "memory") {pages})
  (global $next (mut i32) (i32.const 4096))
  (global $frees (mut i32) (i32.const 0))
  (data (i32.const 64) "too long\\ff")
  (func $realloc (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (local $at i32) {realloc})
  (func $pair (param $place i32) (param $a i32) (param $n i32)
    (i32.store (local.get $place) (local.get $a))
    (i32.store offset=4 (local.get $place) (local.get $n)))
  (func $echo (param i32 i32) (result i32)
    (call $pair (i32.const 16) (local.get 0) (local.get 1)) (i32.const 16))
  (func $free (param i32) (global.set $frees (i32.add (global.get $frees) (i32.const 1))))
  (func (export "{name}#echo") (param i32 i32) (result i32) (call $echo (local.get 0) (local.get 1)))
  (func (export "echo-here") (param i32 i32) (result i32) (call $echo (local.get 0) (local.get 1)))
  (func (export "{name}#join") (param $a i32) (param $m i32) (param $c i32) (param $b i32) (param $n i32) (param $t i32)
    (result i32) (local $at i32)
    (local.set $at (call $realloc (i32.const 0) (i32.const 0) (i32.const 1)
      (i32.add (i32.add (local.get $m) (local.get $n)) (local.get $t))))
    (memory.copy (local.get $at) (local.get $a) (local.get $m))
    (memory.fill (i32.add (local.get $at) (local.get $m)) (local.get $c) (local.get $t))
    (memory.copy (i32.add (i32.add (local.get $at) (local.get $m)) (local.get $t)) (local.get $b) (local.get $n))
    (call $pair (i32.const 16) (local.get $at) (i32.add (i32.add (local.get $m) (local.get $n)) (local.get $t)))
    (i32.const 16))
  (func (export "{name}#size") (param i32 i32) (result i64) (i64.extend_i32_u (local.get 1)))
  (func (export "{name}#count") (param i32 i32) (result i32) (local.get 1))
  (func (export "{name}#hello") (param i32 i32) (result i32)
    (call $pair (i32.const 16) (local.get 0) (local.get 1)) (i32.const 16))
  (func (export "{name}#zeros") (param i32) (result i32)
    (call $pair (i32.const 16) (call $realloc (i32.const 0) (i32.const 0) (i32.const 1) (local.get 0)) (local.get 0))
    (i32.const 16))
  (func $result (param $a i32) (param $n i32) (param $bad i32) (result i32)
    (i32.store8 (i32.const 16) (local.get $bad))
    (if (local.get $bad)
      (then (call $pair (i32.const 20) (i32.const 64) (i32.const 8)))
      (else (call $pair (i32.const 20) (local.get $a) (local.get $n))))
    (i32.const 16))
  (func (export "{name}#check") (param i32 i32) (result i32) (local $bad i32)
    (local.set $bad (i32.or (i32.eqz (local.get 1)) (i32.gt_u (local.get 1) (i32.const 9))))
    (drop (call $result (local.get 0) (local.get 1) (local.get $bad)))
    (if (local.get $bad) (then (i32.store8 (i32.const 20) {case})))
    (i32.const 16))
  (func (export "{name}#explain") (param i32 i32) (result i32)
    (call $result (local.get 0) (local.get 1) (i32.gt_u (local.get 1) (i32.const 9))))
  (func (export "{name}#silent") (param i32 i32) (result i32)
    (call $result (local.get 0) (local.get 1) (i32.gt_u (local.get 1) (i32.const 9))))
  (func (export "{name}#pack") (param i32 i32 i32) (result i32) (call $echo (local.get 0) (local.get 1)))
  (func (export "{name}#tell") (param i32 i32) (result i32) (call $result (local.get 0) (local.get 1) (i32.const 0)))
  (func (export "{name}#parts") (param i32 i32) (result i32)
    (call $echo (i32.load (local.get 0)) (i32.load offset=4 (local.get 0))))
  (func (export "{name}#[method]writer.write") (param i32 i32 i32) (result i32) (local.get 2))
  (func (export "{name}#lie") (param $what i32) (result i32)
    (memory.fill (i32.const 128) (i32.const 0) (i32.const 28))
    (if (i32.eq (local.get $what) (i32.const 1)) (then (call $pair (i32.const 128) (i32.const 64) (i32.const 9))))
    (if (i32.eq (local.get $what) (i32.const 2)) (then (call $pair (i32.const 136) (i32.const 8) (i32.const -1))))
    (if (i32.eq (local.get $what) (i32.const 3)) (then (call $pair (i32.const 144) (i32.const 9) (i32.const 1))))
    (if (i32.eq (local.get $what) (i32.const 4)) (then (i32.store (i32.const 152) (i32.const 0xd800))))
    (if (i32.eq (local.get $what) (i32.const 5)) (then (return (i32.const 126))))
    (if (i32.eq (local.get $what) (i32.const 6)) (then (return (i32.const -4))))
    (i32.const 128))
  (func (export "{name}#frees") (result i32) (global.get $frees))
  {posts}
  {more})"""
_READ = sorted(BY_ADDRESS - {"size", "count", "[method]writer.write"})
_POSTS = [*(f"{NAME}#{each}" for each in _READ), "echo-here"]
_REALLOC = """
  (local.set $at (global.get $next))
  (global.set $next (i32.add (local.get $at) (local.get 3)))
  (loop $again
    (if (i32.gt_u (global.get $next) (i32.mul (memory.size) (i32.const 65536)))
      (then
        (if (i32.eq (memory.grow (i32.const 16)) (i32.const -1)) (then unreachable))
        (br $again))))
  (local.get $at)"""


def component(realloc: str = _REALLOC, case: str = "(i32.gt_u (local.get 1) (i32.const 9))", more: str = "", pages=1):
    """A component as `wasm-tools` makes it."""
    posts = "\n".join(f'(func (export "cabi_post_{each}") (param i32) (call $free (local.get 0)))' for each in _POSTS)
    text = CORE.format(name=NAME, realloc=realloc, case=case, posts=posts, more=more, pages=pages)
    return wasm_tools("parse", "-", stdin=text.encode())


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wit")
    (folder / "bytes.wit").write_text(WIT)

    def build(**changes) -> bytes:
        embedded = wasm_tools("component", "embed", folder, "--world", "guest", "-", stdin=component(**changes))
        return wasm_tools("component", "new", "-", stdin=embedded)

    return build


class Refusal(enum.Enum):
    EMPTY = "empty"
    TOO_LONG = "too-long"


class RefusalError(ResultError[Refusal]):
    pass


ECHO = GuestFunction[bytes]("echo", {"data": wit.BYTES}, wit.COPIED_BYTES)
JOIN = GuestFunction[bytes](
    "join", {"a": wit.BYTES, "separator": wit.CHAR, "b": wit.BYTES, "times": wit.U32}, wit.COPIED_BYTES
)
SIZE = GuestFunction[int]("size", {"data": wit.BYTES}, wit.U64)
COUNT = GuestFunction[int]("count", {"data": wit.List(wit.U16)}, wit.U32)
HELLO = GuestFunction[str]("hello", {"data": wit.BYTES}, wit.STRING)
ZEROS = GuestFunction[bytes]("zeros", {"count": wit.U32}, wit.COPIED_BYTES)
CHECK = GuestFunction[bytes](
    "check", {"data": wit.BYTES}, wit.Result(wit.COPIED_BYTES, wit.Enum(Refusal), RefusalError)
)
EXPLAIN = GuestFunction[bytes]("explain", {"data": wit.BYTES}, wit.Result(wit.COPIED_BYTES, wit.STRING, ResultError))
SILENT = GuestFunction[bytes]("silent", {"data": wit.BYTES}, wit.Result(wit.COPIED_BYTES, None, ResultError))
PARTS = GuestFunction[bytes]("parts", {"data": wit.List(wit.BYTES)}, wit.COPIED_BYTES)
LIE = GuestFunction[tuple[str, bytes, list[int], str]](
    "lie", {"what": wit.U32}, wit.Tuple(wit.STRING, wit.COPIED_BYTES, wit.List(wit.U16), wit.CHAR)
)
FREES = GuestFunction[int]("frees", {}, wit.U32)
HERE = GuestFunction[bytes]("echo-here", {"data": wit.BYTES}, wit.COPIED_BYTES)
ALL = [ECHO, JOIN, SIZE, COUNT, HELLO, ZEROS, CHECK, EXPLAIN, SILENT, PARTS, LIE, FREES]


class Codec(GuestInterface):
    def __init__(self, instance, functions=ALL):
        super().__init__(instance, NAME, functions)


class World(GuestInterface):
    def __init__(self, instance):
        super().__init__(instance, None, [HERE])


@pytest.fixture(scope="module")
def engine():
    return Engine()


@pytest.fixture(scope="module")
def compiled(engine, build):
    return engine.compile(build())


@pytest.fixture
def store(engine):
    with engine.store(timeout=30) as store:
        yield store


@pytest.fixture
def codec(compiled, store):
    return Codec(store.instantiate(compiled))


# --- what crosses by address ---


def test_the_functions_that_cross_by_address_are_found(compiled):
    assert {name for interface, name in compiled.list_exports if interface == NAME} == BY_ADDRESS
    assert (None, "echo-here") in compiled.list_exports


def test_the_added_exports_are_not_among_those_of_the_guest(compiled):
    assert set(compiled.exports) == {NAME, "echo-here"}


def test_a_rewritten_component_is_valid(build):
    wasm_tools("validate", "-", stdin=export_by_address(build()).wasm)


@pytest.mark.parametrize("data", [b"", b"a", bytes(range(256)) * 300, bytearray(b"array"), memoryview(b"view")])
def test_bytes_come_back_as_they_were(codec, data):
    assert ECHO(codec, data) == bytes(data)


def test_more_crosses_than_lists_could_carry(codec):
    data = bytes(range(256)) * (1 << 16)
    assert ECHO(codec, data) == data
    assert SIZE(codec, data) == len(data)


def test_functions_of_the_world_cross_by_address_too(compiled, store):
    world = World(store.instantiate(compiled))
    assert HERE(world, bytes(8 << 20)) == bytes(8 << 20)


def test_several_arguments_keep_their_places(codec):
    assert JOIN(codec, b"left", "+", b"right", 3) == b"left+++right"


def test_a_result_without_bytes_is_lifted_and_freed_as_usual(codec):
    assert HELLO(codec, "grüße".encode()) == "grüße"
    assert FREES(codec) == 1


def test_a_result_may_be_bytes_although_no_argument_is(codec):
    assert ZEROS(codec, 100_000) == bytes(100_000)


def test_the_guest_frees_each_result(codec):
    for _ in range(3):
        ECHO(codec, b"some")
    with pytest.raises(RefusalError):
        CHECK(codec, b"")
    assert FREES(codec) == 4


def test_errors_are_raised(codec):
    assert CHECK(codec, b"short") == b"short"
    for data, refusal in ((b"", Refusal.EMPTY), (b"much too long", Refusal.TOO_LONG)):
        with pytest.raises(RefusalError) as refused:
            CHECK(codec, data)
        assert refused.value.value is refusal
    assert EXPLAIN(codec, b"short") == b"short"
    with pytest.raises(ResultError) as explained:
        EXPLAIN(codec, b"much too long")
    assert explained.value.value == "too long"
    assert SILENT(codec, b"short") == b"short"
    with pytest.raises(ResultError) as silent:
        SILENT(codec, b"much too long")
    assert silent.value.value is None


def test_what_has_no_addresses_crosses_as_lists(codec):
    assert PARTS(codec, [b"one", b"two"]) == b"one"


def test_a_source_fills_the_memory_itself(codec):
    class Source:
        nbytes = 5

        def write_into(self, destination):
            destination[:] = b"other"

    assert ECHO(codec, Source()) == b"other"


def test_without_addresses_the_same_functions_take_lists(build):
    engine = Engine(transports=["latin-1"])
    compiled = engine.compile(build())
    assert not compiled.list_exports
    with engine.store() as store:
        codec = Codec(store.instantiate(compiled))
        assert ECHO(codec, b"abc") == b"abc"
        assert JOIN(codec, b"a", "+", b"b", 1) == b"a+b"


def test_calls_leave_nothing_behind(codec):
    ECHO(codec, bytes(1000))  # some things are made once
    gc.collect()
    gc.disable()
    try:
        for _ in range(50):
            ECHO(codec, bytes(1000))
        assert gc.collect() < 50  # some things of the process are garbage now and then
    finally:
        gc.enable()


# --- what is refused ---


def test_a_wrong_argument_is_told_before_the_guest_is_asked(codec):
    with pytest.raises(TypeError, match=r"join: times: int is needed, not str"):
        JOIN(codec, b"a", "+", b"b", "3")
    with pytest.raises(TypeError, match=r"join: b: a list<u8> takes bytes, .*, not int"):
        JOIN(codec, b"a", "+", 5, 3)
    with pytest.raises(TypeError, match="takes 1 arguments, not 2"):
        ECHO(codec, b"a", b"b")
    assert ECHO(codec, b"fine") == b"fine"


def test_an_exception_of_a_source_comes_out_and_the_guest_goes_on(codec):
    class Broken:
        nbytes = 5

        def write_into(self, destination):
            raise OSError("no data")

    with pytest.raises(OSError, match="no data"):
        ECHO(codec, Broken())
    assert ECHO(codec, b"fine") == b"fine"


def test_a_source_may_not_keep_the_memory(codec):
    kept = []

    class Keeper:
        nbytes = 5

        def write_into(self, destination):
            kept.append(destination[1:])

    with pytest.raises(RuntimeError, match="kept a view of the memory"):
        ECHO(codec, Keeper())


def test_a_function_of_another_type_does_not_bind(compiled, store):
    other = GuestFunction[bytes]("echo", {"data": wit.STRING}, wit.COPIED_BYTES)
    with pytest.raises(LinkError, match="parameter data: this host has string, the guest has list"):
        Codec(store.instantiate(compiled), [other])


# --- guests that lie ---


@pytest.mark.parametrize(
    ("what", "text"),
    [
        (1, "a string is not UTF-8, at 8"),
        (2, "4294967295 bytes at address 8 are not all in the guest's memory"),
        (3, "the address 9 of a list is not a multiple of 2"),
        (4, "0xd800 is not a Unicode scalar value"),
        (5, "the guest stored it at 126, which is not a multiple of 4"),
        (6, "8 bytes at address 4294967292 are not all in the guest's memory"),
    ],
)
def test_a_result_that_no_guest_can_return_is_a_trap(codec, what, text):
    assert LIE(codec, 0) == ("", b"", [], "\0")
    with pytest.raises(GuestTrap, match=f"lie: result: {text}"):
        LIE(codec, what)


def test_numbers_are_only_stored_where_they_are_aligned(engine, build, store):
    codec = Codec(store.instantiate(engine.compile(build(realloc="(i32.const 4097)"))))
    assert SIZE(codec, b"bytes are aligned everywhere") == 28
    with pytest.raises(GuestTrap, match="count: data: the guest allocated it at 4097, which is not a multiple of 2"):
        COUNT(codec, [1, 2, 3])


@pytest.mark.parametrize("address", ["0xfffffff0", "0x00020000", "-1"])
def test_an_allocator_that_returns_another_place_ends_the_guest(engine, build, store, address):
    codec = Codec(store.instantiate(engine.compile(build(realloc=f"(i32.const {address})"))))
    with pytest.raises(GuestTrap, match=r"echo: data: 8 bytes at address \d+ are not all in the guest's memory"):
        ECHO(codec, b"12345678")


def test_an_allocator_that_never_ends_is_stopped(engine, build):
    compiled = engine.compile(build(realloc="(loop $again (br $again)) unreachable"))
    with engine.store(timeout=0.2) as store, pytest.raises(GuestTimeout):
        ECHO(Codec(store.instantiate(compiled)), b"abc")


def test_a_case_that_does_not_exist_is_a_trap(engine, build, store):
    codec = Codec(store.instantiate(engine.compile(build(case="(i32.const 7)"))))
    with pytest.raises(GuestTrap, match="check: result: there is no case 7 of 2"):
        CHECK(codec, b"")


def test_the_memory_of_the_guest_is_limited(engine, compiled):
    with engine.store(memory=1 << 20) as store:
        codec = Codec(store.instantiate(compiled))
        with pytest.raises(GuestError):
            ECHO(codec, bytes(2 << 20))


def test_a_component_with_such_exports_of_its_own_stays_as_it_is(build):
    wasm = export_by_address(build()).wasm
    exported = export_by_address(wasm)
    assert exported.wasm is wasm
    assert exported.reason.startswith("the component has the name `wit-host-")


@pytest.mark.parametrize("seed", range(3))
def test_damaged_components_are_as_valid_as_before(build, seed):
    wasm, chance = build(), random.Random(seed)
    changed = valid = 0
    for _ in range(300):
        original = damaged(wasm, chance)
        exported = export_by_address(original)
        if exported.wasm is not original:
            changed += 1
            if is_valid(original):
                valid += 1
                assert is_valid(exported.wasm), f"what becomes of {original.hex()} is not valid"
    assert changed > 20
    assert valid > 5


def test_components_that_end_early_stay_as_they_are(build):
    wasm = build()
    for length in range(0, len(wasm), 7):
        export_by_address(wasm[:length])


@pytest.mark.parametrize(
    "types",
    [
        "record r { x: u8 } record s { r: r, t: tuple<r, list<r>> } f: func(s: s, d: list<u8>) -> s;",
        "variant v { a(list<u8>), b } enum e { x } flags l { x } f: func(v: v, e: e, l: l) -> list<f64>;",
        "resource r { constructor(d: list<u8>); } f: func(r: r, b: borrow<r>, d: list<u8>) -> r;",
        "use other.{thing, made}; f: func(t: thing, b: borrow<made>, d: list<u8>) -> list<made>;",
        "f: func(d: list<u8>) -> result<option<list<u8>>, tuple<string, list<list<u8>>>>;",
    ],
)
def test_types_get_names_whatever_they_consist_of(tmp_path, types):
    (tmp_path / "a.wit").write_text(f"""package a:b;
        interface other {{ resource made; record thing {{ x: list<u8> }} get: func() -> thing; }}
        interface api {{ {types} }}
        world w {{ import other; export api; }}""")
    text = wasm_tools("component", "embed", tmp_path, "--world", "w", "--dummy", "--wat")
    wasm = wasm_tools("component", "new", "-", stdin=re.sub(rb"(\(memory .* )0\)", rb"\g<1>1)", text))
    exported = export_by_address(wasm)
    assert exported.functions
    wasm_tools("validate", "--features", "all", "-", stdin=exported.wasm)
