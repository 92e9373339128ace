"""The limits of one guest that the runtime checks, and the address space of all guests together."""

from __future__ import annotations

import os

import pytest
import wasmtime

from tests.wit_host.helpers.host import THING, Host, Thing
from tests.wit_host.helpers.wat import API, Import, command
from wit_host import Bounds, Engine, GuestLimit, GuestTrap, LinkError
from wit_host import values as wit
from wit_host.crossing import reservations
from wit_host.crossing.memory import unsupported

needs_reservations = pytest.mark.skipif(bool(unsupported()), reason=unsupported() or "memories can be reserved")
MIB = 1 << 20
TAKE = Import('(param "d" (list u8))', "(param i32 i32)")
#: A program whose `run` is its body, for limits that concern no import.
COMMAND = """(component
  {parts}
  (core module $main {items} (func (export "run") (result i32) {body} (i32.const 0)))
  (core instance $main (instantiate $main))
  (func $run (result (result)) (canon lift (core func $main "run")))
  (instance $command (export "run" (func $run)))
  (export "wasi:cli/run@0.2.0" (instance $command)))"""


@pytest.fixture(scope="module")
def engine():
    return Engine()


@pytest.fixture(scope="module")
def host():
    return Host([API])


def spell(name):
    return f"set {name.upper()}"


def run(engine, items="", body="", parts="", memory=None, **bounds):
    wat = COMMAND.format(items=items, body=body, parts=parts)
    with engine.store(memory=memory, bounds=Bounds(**bounds, advice=spell)) as store:
        return store.run_command(engine.compile(wat.encode()), "guest")


def run_module(engine, items, body="", memory=None, **bounds):
    wat = f'(module {items} (func (export "_start") {body}))'
    with engine.core_store(memory=memory, bounds=Bounds(**bounds, advice=spell)) as store:
        return store.run_command(engine.compile_module(wat.encode()), "guest")


RUNS = pytest.mark.parametrize("start", [run, run_module], ids=["component", "core module"])


def assert_limit(caught, name, *texts):
    assert caught.value.limit == name
    for text in (*texts, f"set {name.upper()}"):
        assert text in str(caught.value)


# --- memory ---


@needs_reservations
@RUNS
def test_the_limit_on_memory_is_for_all_memories_together(engine, start):
    memories = "(memory 512)" * 3  # 32 MiB each
    assert start(engine, memories, memory=96 * MIB) == 0
    with pytest.raises(GuestLimit) as caught:
        start(engine, memories, memory=95 * MIB)
    assert_limit(caught, "memory", "begins with 32 MiB", "already take 64 MiB (limit 95 MiB)")


@needs_reservations
def test_the_memories_of_all_instances_count_together(engine):
    parts = "(core module $other (memory 512))" + "(core instance (instantiate $other))" * 3
    assert run(engine, parts=parts, memory=96 * MIB) == 0
    with pytest.raises(GuestLimit) as caught:
        run(engine, parts=parts, memory=95 * MIB)
    assert_limit(caught, "memory")


@needs_reservations
@RUNS
def test_growing_one_memory_leaves_less_for_the_others(engine, start):
    grow = "(if (i32.ne (memory.grow {memory} (i32.const 16)) (i32.const {wanted})) (then (unreachable)))"
    fits = grow.format(memory=0, wanted=1)
    refused = grow.format(memory=1, wanted=-1)
    assert start(engine, "(memory 1) (memory 1)", fits + refused, memory=18 << 16) == 0


@needs_reservations
@RUNS
def test_a_guest_that_traps_after_its_memory_could_not_grow_is_told_the_limit(engine, start):
    with pytest.raises(GuestTrap, match=r"unreachable.*before that, its memory could not grow by 16 MiB.*set MEMORY"):
        start(engine, "(memory 1)", "(drop (memory.grow (i32.const 256))) (unreachable)", memory=MIB)


@needs_reservations
def test_whoever_wants_to_know_is_told_that_a_memory_could_not_grow(engine):
    told = []
    wat = COMMAND.format(items="(memory 1)", body="(drop (memory.grow (i32.const 256)))", parts="")
    with engine.store(memory=MIB) as store:
        store.on_memory_refusal(told.append)
        assert store.run_command(engine.compile(wat.encode())) == 0
    assert told == [
        "its memory could not grow by 16 MiB: the guest's memories already take 64 KiB (limit 1 MiB); raise "
        "the limit `memory`"
    ]


@RUNS
def test_with_a_custom_configuration_the_limit_is_for_each_memory(start):
    engine = Engine(config=wasmtime.Config())
    assert start(engine, "(memory 512)" * 3, memory=32 * MIB) == 0
    with pytest.raises(GuestLimit) as caught:
        start(engine, "(memory 513)", memory=32 * MIB)
    assert_limit(caught, "memory", "begins with 513 pages of 64 KiB")


# --- the heap of a garbage collector ---

HEAP = """(type $numbers (array (mut i64)))
  (global $kept (mut (ref null $numbers)) (ref.null $numbers))"""
FILL = "(global.set $kept (array.new_default $numbers (i32.const 200000)))"


def take(host, body, data, memory=None):
    seen = []
    with host.store(memory=memory, bounds=Bounds(advice=spell)) as store:
        define = lambda i: i.function("take", lambda d: seen.append(bytes(d)), {"d": wit.BYTES}, None)  # noqa: E731
        host.run({"take": TAKE}, body, define, data=data, store=store)
    return seen


@needs_reservations
def test_bytes_cross_by_address_beside_a_garbage_collected_heap(host):
    body = f"{FILL} (call take (i32.const 1024) (i32.const 5))"
    data = f'{HEAP} (data (i32.const 1024) "hello")'
    assert host.compile({"take": TAKE}, body, data=data).transport == "pointer"
    assert take(host, body, data) == [b"hello"]


@needs_reservations
def test_references_of_the_host_need_a_heap_too(host):
    data = '(global $kept (mut externref) (ref.null extern)) (data (i32.const 1024) "hello")'
    assert take(host, "(call take (i32.const 1024) (i32.const 5))", data) == [b"hello"]


@needs_reservations
def test_a_garbage_collected_heap_counts_as_memory(host):
    begins = 200 << 16
    assert take(host, FILL, HEAP, memory=begins + 4 * MIB) == []
    with pytest.raises(GuestTrap, match=r"GC heap out of memory.*its memory could not grow.*set MEMORY"):
        take(host, FILL, HEAP, memory=begins + MIB)


@needs_reservations
def test_a_memory_that_begins_empty_could_be_such_a_heap_so_its_bytes_cross_as_strings(host):
    wat = command({"take": TAKE}, "", pages=0).replace("(memory 1)", "(memory 0)")
    assert (
        host.engine.compile(wat.encode(), buffers=[API]).transport
        == "latin-1 (the memory begins empty, as the heap of a garbage collector does)"
    )


# --- numbers of things ---


@RUNS
@pytest.mark.parametrize(
    ("name", "items", "text"),
    [
        ("memories", "(memory 0) (memory 0) (memory 0)", "more than 2 memories"),
        ("tables", "(table 1 funcref) (table 1 funcref) (table 1 funcref)", "more than 2 tables"),
        ("table_elements", "(table 3 funcref)", "a table of guest begins with 3 elements (limit 2)"),
    ],
)
def test_a_guest_that_has_too_many_does_not_start(engine, start, name, items, text):
    with pytest.raises(GuestLimit) as caught:
        start(engine, items, **{name: 2})
    assert_limit(caught, name, text)
    assert start(engine, items, **{name: 3}) == 0


def test_the_instances_of_core_modules_are_limited(engine):
    parts = "(core module $other)" + "(core instance (instantiate $other))" * 3
    assert run(engine, parts=parts, instances=4) == 0
    with pytest.raises(GuestLimit) as caught:
        run(engine, parts=parts, instances=3)
    assert_limit(caught, "instances", "more than 3 instances of core modules")


def test_a_guest_without_bounds_is_told_those_of_the_engine(engine):
    parts = "(core module $other)" + "(core instance (instantiate $other))" * 101
    many = "(component $many " + parts + ")" + "(instance (instantiate $many))" * 100
    with pytest.raises(GuestLimit, match="more than 10000 instances of core modules"):
        run(engine, parts=many)


@RUNS
def test_a_table_grows_to_its_limit_and_no_further(engine, start):
    grow = "(if (i32.ne (table.grow 0 (ref.null func) (i32.const {more})) (i32.const {wanted})) (then (unreachable)))"
    body = grow.format(more=98, wanted=2) + grow.format(more=1, wanted=-1)
    assert start(engine, "(table 2 funcref)", body, table_elements=100) == 0


# --- address space ---


@pytest.fixture
def few(monkeypatch):
    """A process in which memories may reserve 20 GiB of address space, of which 15 are for guests with several."""
    before = reservations.reserved()
    monkeypatch.setattr(reservations, "MOST_RESERVED", before + (20 << 30))
    monkeypatch.setattr(reservations, "_MOST_FOR_MORE", before + (15 << 30))


@needs_reservations
def test_address_space_is_counted_as_long_as_it_is_reserved(engine):
    before = reservations.reserved()
    wat = COMMAND.format(items="(memory 1) (memory 1)", body="", parts="")
    with engine.store() as store:
        store.run_command(engine.compile(wat.encode()))
        assert reservations.reserved() - before >= 8 << 30
    assert reservations.reserved() == before


@needs_reservations
def test_a_guest_with_many_memories_is_refused_and_another_one_starts(engine, few):
    with pytest.raises(GuestTrap, match=r"all guests in this process already reserve 1\d GiB"):
        run(engine, "(memory 1)" * 5)
    wat = COMMAND.format(items="(memory 1) (memory 1) (memory 1)", body="", parts="")
    with engine.store() as greedy:
        greedy.run_command(engine.compile(wat.encode()))
        assert run(engine, "(memory 1)") == 0, "the rest is for guests with few memories"
        with pytest.raises(GuestTrap, match="run fewer guests at a time"):
            run(engine, "(memory 1)" * 3)


# --- what is passed in one call ---


@pytest.mark.parametrize(
    ("name", "component", "codec", "given", "text"),
    [
        ("list", "(list u32)", wit.List(wit.U32), 5, "a list of 5 elements, and one call may have 4 elements"),
        ("strings", "(list string)", wit.List(wit.STRING), 5, "a list of 5 elements, and one call may have 4 elements"),
        ("string", "string", wit.STRING, 9, "a string of 9 bytes, and one call may have 8 bytes of strings"),
        ("map", "(map u32 u32)", wit.Map(wit.U32, wit.U32), 5, "a list of 5 elements"),
    ],
)
def test_what_is_too_large_is_refused_before_it_is_lifted(host, name, component, codec, given, text):
    imports, lifted = {"f": Import(f'(param "x" {component})', "(param i32 i32)")}, []

    def pass_(count):
        with host.store(bounds=Bounds(elements=4, text=8)) as store:
            define = lambda i: i.function("f", lifted.append, {"x": codec}, None)  # noqa: E731
            return host.run(imports, f"(call f (i32.const 1024) (i32.const {count}))", define, store=store)

    assert pass_(given - 1) == 0
    with pytest.raises(GuestTrap) as caught:
        pass_(given)
    assert text in str(caught.value)
    assert "test:host/api#f: x" in str(caught.value)
    assert len(lifted) == 1


def test_the_arguments_of_one_call_count_together_and_calls_do_not(host):
    imports = {"f": Import('(param "x" (list u32)) (param "y" (list u32))', "(param i32 i32 i32 i32)")}

    def pass_(first, second):
        arguments = f"(i32.const 1024) (i32.const {first}) (i32.const 1024) (i32.const {second})"
        with host.store(bounds=Bounds(elements=4)) as store:
            numbers = wit.List(wit.U32)
            define = lambda i: i.function("f", lambda x, y: None, {"x": numbers, "y": numbers}, None)  # noqa: E731
            return host.run(imports, f"(call f {arguments}) (call f {arguments})", define, store=store)

    assert pass_(2, 2) == 0
    with pytest.raises(GuestTrap, match="y: the guest passed a list of 3 elements"):
        pass_(2, 3)


def test_a_result_that_crosses_as_a_list_is_bounded():
    host = Host([API], transports=["latin-1"])
    imports = {"give": Import("(result (list u8))", "(param i32)")}
    with pytest.raises(GuestTrap, match="33554433 bytes are too many for a guest whose results cross as lists"):
        host.run(
            imports,
            "(call give (i32.const 8))",
            lambda i: i.function("give", lambda: bytes((32 << 20) + 1), {}, wit.BYTES),
        )


# --- handles ---


def test_the_handles_that_a_guest_holds_are_limited_and_the_limit_is_named(host):
    imports = {"make": Import("(result (own $thing))", "(result i32)")}
    define = lambda i: i.function("make", Thing, {}, wit.Own(THING))  # noqa: E731
    with host.store(resources=2, bounds=Bounds(advice=spell)) as store, pytest.raises(GuestLimit) as caught:
        host.run(imports, "(drop (call make)) (drop (call make)) (drop (call make))", define, store=store)
    assert_limit(caught, "resources", "holds 2 resources, and may hold no more")


def test_a_link_error_is_no_limit(engine):
    with pytest.raises(LinkError):
        run(engine, parts='(import "nothing" (func))')


@pytest.mark.skipif(os.name == "nt", reason="Windows has other limits")
def test_the_limit_of_a_process_is_the_part_of_its_mappings_that_linux_permits():
    usual = (4 << 30) + (32 << 20)
    of_one = 4
    assert of_one * reservations.MOST_RESERVED // usual < 65_530
