"""Host functions, resources, and exceptions on their way through a guest."""

from __future__ import annotations

import gc
import traceback
import weakref

import pytest

from tests.wit_host.helpers.host import THING, Thing
from tests.wit_host.helpers.wat import API, Import
from wit_host import Engine, GuestError, GuestTrap, LinkError, ResultError, capi
from wit_host import values as wit
from wit_host.capi import Kind
from wit_host.capi.types import MOST_EXTERNS
from wit_host.component.host_functions import BridgedFunction
from wit_host.component.linker import FunctionDefinition
from wit_host.crossing.memory import LinearMemory
from wit_host.crossing.state import HostState

NEW = Import('(param "n" u32) (result (own $thing))', "(param i32) (result i32)")
LOOK = Import('(param "t" (borrow $thing)) (result u32)', "(param i32) (result i32)")
EAT = Import('(param "t" (own $thing))', "(param i32)")
PING = Import("", "")


def define_things(instance, made, eaten=None):
    def new(number):
        made.append(Thing(number))
        return made[-1]

    instance.function("new", new, {"a": wit.U32}, wit.Own(THING))
    instance.function("look", lambda thing: thing.number, {"a": wit.Borrow(THING)}, wit.U32)
    instance.function("eat", (eaten if eaten is not None else []).append, {"a": wit.Own(THING)}, None)


THINGS = {"new": NEW, "look": LOOK, "eat": EAT}


def test_a_borrowed_object_is_the_one_that_was_given(host):
    made = []
    body = """
        (local.set $a (call new (i32.const 7)))
        (local.set $b (call new (i32.const 8)))
        (call $check (call look (local.get $a)) (i32.const 7))
        (call $check (call look (local.get $b)) (i32.const 8))"""
    assert host.run(THINGS, body, lambda instance: define_things(instance, made)) == 0
    assert [thing.number for thing in made] == [7, 8]


def test_a_guests_drop_drops_the_object_once_and_at_that_moment(host, store):
    made, drops_at_ping = [], []
    body = "(call $drop (call new (i32.const 1))) (call ping)"

    def define(instance):
        define_things(instance, made)
        instance.function("ping", lambda: drops_at_ping.append(made[0].drops), {}, None)

    host.run(THINGS | {"ping": PING}, body, define, store)
    assert drops_at_ping == [1]
    store.close()
    assert made[0].drops == 1


def test_what_a_guest_leaves_behind_is_dropped_when_its_run_ends(host, store):
    made = []
    body = "(drop (call new (i32.const 1))) (drop (call new (i32.const 2)))"
    host.run(THINGS, body, lambda instance: define_things(instance, made), store)
    assert [thing.drops for thing in made] == [1, 1]
    assert len(store.state.table) == 0


def test_a_guest_that_holds_as_much_as_it_may_is_given_no_more(host):
    made = []
    body = """
        (call $drop (call new (i32.const 1)))
        (drop (call new (i32.const 2))) (drop (call new (i32.const 3))) (drop (call new (i32.const 4)))"""
    with (
        host.engine.store(resources=2) as store,
        pytest.raises(GuestTrap, match="the guest holds 2 resources, and may hold"),
    ):
        host.run(THINGS, body, lambda instance: define_things(instance, made), store)
    assert [(thing.number, thing.drops) for thing in made] == [(1, 1), (2, 1), (3, 1), (4, 1)]


def test_a_guest_that_holds_as_much_as_the_engine_permits_traps(host, store):
    made = []
    body = "(loop $again (drop (call new (i32.const 1))) (br $again))"
    with pytest.raises(GuestTrap, match=r"the guest holds [0-9]{5,6} resources, the most that the engine permits"):
        host.run(THINGS, body, lambda instance: define_things(instance, made), store)
    assert all(thing.drops == 1 for thing in made)


def test_what_a_guest_leaves_behind_is_dropped_when_it_traps(host, store):
    made = []
    with pytest.raises(GuestTrap):
        host.run(
            THINGS,
            "(drop (call new (i32.const 1))) (unreachable)",
            lambda instance: define_things(instance, made),
            store,
        )
    assert made[0].drops == 1


def test_an_object_passed_by_own_belongs_to_the_callee(host, store):
    made, eaten = [], []
    body = "(call eat (call new (i32.const 1)))"
    host.run(THINGS, body, lambda instance: define_things(instance, made, eaten), store)
    store.close()
    assert eaten == made
    assert made[0].drops == 0


def test_objects_stay_in_the_table_when_a_later_argument_cannot_be_lifted(host, store):
    class Unliftable(wit.Integer):
        def lift(self, state, value):
            raise LookupError("broken on purpose")

    made = []
    pair = Import('(param "t" (own $thing)) (param "n" u32)', "(param i32 i32)")

    def define(instance):
        define_things(instance, made)
        instance.function("pair", lambda thing, number: None, {"t": wit.Own(THING), "n": Unliftable("u32", 0)}, None)

    with pytest.raises(LookupError, match="on purpose"):
        host.run(THINGS | {"pair": pair}, "(call pair (call new (i32.const 1)) (i32.const 2))", define, store)
    assert made[0].drops == 1


def test_a_handle_used_after_it_was_given_away_traps(host):
    body = "(local.set $a (call new (i32.const 1))) (call eat (local.get $a)) (drop (call look (local.get $a)))"
    with pytest.raises(GuestTrap, match="unknown handle index"):
        host.run(THINGS, body, lambda instance: define_things(instance, []))


def test_an_exception_traps_the_guest_and_comes_out_with_its_traceback(host):
    class Fault(Exception):
        pass

    def raise_fault():
        raise Fault("deep inside")

    with pytest.raises(Fault, match="deep inside") as caught:
        host.run({"ping": PING}, "(call ping)", lambda instance: instance.function("ping", raise_fault, {}, None))
    assert "raise_fault" in [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert caught.value.__notes__ == [f"raised in the host function {API}#ping"]


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_exceptions_that_are_no_errors_come_out_too(host, kind):
    def leave():
        raise kind

    with pytest.raises(kind):
        host.run({"ping": PING}, "(call ping)", lambda instance: instance.function("ping", leave, {}, None))


def test_an_exception_in_drop_comes_out_too(host):
    class Stubborn(Thing):
        def drop(self):
            raise OSError("cannot let go")

    def define(instance):
        define_things(instance, [])
        instance.function("stubborn", Stubborn, {}, wit.Own(THING))

    imports = THINGS | {"stubborn": Import("(result (own $thing))", "(result i32)")}
    with pytest.raises(OSError, match="cannot let go"):
        host.run(imports, "(call $drop (call stubborn))", define)


def test_a_result_is_returned_or_raised(host):
    class Refusal(ResultError[int]):
        pass

    def half(number):
        if number % 2:
            raise Refusal(number)
        return number // 2

    imports = {"half": Import('(param "n" u32) (result (result u32 (error u32)))', "(param i32 i32)")}
    body = """
        (call half (i32.const 10) (i32.const 64))
        (call $check (i32.load8_u (i32.const 64)) (i32.const 0))
        (call $check (i32.load (i32.const 68)) (i32.const 5))
        (call half (i32.const 3) (i32.const 64))
        (call $check (i32.load8_u (i32.const 64)) (i32.const 1))
        (call $check (i32.load (i32.const 68)) (i32.const 3))"""
    result = wit.Result(wit.U32, wit.U32, Refusal)
    assert host.run(imports, body, lambda instance: instance.function("half", half, {"a": wit.U32}, result)) == 0


class Odd(ResultError[int]):
    pass


def refuse_odd(number):
    if number % 2:
        raise Odd(number)


CHECK = {"check": Import('(param "n" u32) (result (result (error u32)))', "(param i32 i32)")}


def define_check(instance):
    instance.function("check", refuse_odd, {"a": wit.U32}, wit.Result(None, wit.U32, Odd))


def test_every_error_that_a_function_answers_is_observed(host, store):
    seen = []
    store.on_error(lambda *error: seen.append(error))
    body = "(call check (i32.const 2) (i32.const 64)) (call check (i32.const 3) (i32.const 64))"
    assert host.run(CHECK, body, define_check, store) == 0
    assert seen == [(f"{API}#check", 3)]


def test_what_an_observer_of_errors_raises_traps_the_guest(host, store):
    def observe(function, value):
        raise LookupError(function)

    store.on_error(observe)
    with pytest.raises(LookupError, match="#check"):
        host.run(CHECK, "(call check (i32.const 3) (i32.const 64))", define_check, store)


def test_an_error_of_another_type_than_the_functions_own_is_a_trap(host):
    class Refusal(ResultError[int]):
        pass

    class Stranger(ResultError[int]):
        pass

    def refuse():
        raise Stranger(1)

    imports = {"ping": Import("(result (result u32 (error u32)))", "(param i32)")}
    result = wit.Result(wit.U32, wit.U32, Refusal)
    with pytest.raises(TypeError, match="ping raised Stranger; raise Refusal") as caught:
        host.run(imports, "(call ping (i32.const 64))", lambda i: i.function("ping", refuse, {}, result))
    assert isinstance(caught.value.__cause__, Stranger)


def test_calls_are_counted_by_function(host, store):
    body = "(call $drop (call new (i32.const 1))) (call $drop (call new (i32.const 1)))"
    host.run(THINGS, body, lambda instance: define_things(instance, []), store)
    assert store.state.calls == {f"{API}#new": 2}


def test_a_guest_that_wants_http_is_told_to_do_without(host):
    with host.engine.store() as store:
        store.linker.add_wasi()
        imports = '(import "wasi:http/types@0.2.0" (instance (export "fields" (type (sub resource)))))'
        guest = host.engine.compile(f"(component {imports})".encode(), "guest")
        with pytest.raises(
            LinkError, match=r"imports wasi:http/types@0\.2\.0, which .* without HTTP, .*--disable http"
        ):
            store.instantiate(guest)


def test_a_missing_function_is_named(host):
    with pytest.raises(LinkError, match=r"guest imports test:host/api#ping, which this host does not provide$"):
        host.run({"ping": PING}, "(call ping)", lambda instance: None)


def test_an_instance_of_another_version_is_pointed_at_the_one_there_is(host, store):
    store.linker.instance("acme:rockets/launch@1.0.0")
    text = '(component (import "acme:rockets/launch@2.0.0" (instance (export "f" (func)))))'
    with pytest.raises(LinkError, match=r"launch@2\.0\.0, which .*; it provides acme:rockets/launch@1\.0\.0$"):
        store.run_command(host.engine.compile(text.encode()), "guest")


def run_with(host, store, kept):
    """Run a guest whose host function holds `kept`."""

    def ping():
        kept.number += 1

    host.run({"ping": PING}, "(call ping)", lambda instance: instance.function("ping", ping, {}, None), store)


@pytest.fixture
def no_collection():
    """Nothing but reference counts frees memory during the test."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collection")
def test_a_closed_store_keeps_nothing_alive(host):
    store, thing = host.store(), Thing()
    seen = weakref.ref(thing)
    run_with(host, store, thing)
    del thing
    assert seen() is not None
    store.close()
    assert seen() is None


@pytest.mark.usefixtures("no_collection")
def test_a_store_that_nobody_closed_keeps_nothing_alive_either(host):
    store, thing = host.store(), Thing()
    seen = weakref.ref(thing)
    run_with(host, store, thing)
    del thing, store
    assert seen() is None


def test_what_is_asked_for_again_before_the_answer_was_taken_is_a_trap():
    """As a guest can whose allocator, which is called in between, calls the host."""
    state = HostState(context=0)
    state.memory.parts.append(LinearMemory(1 << 16, 1 << 16, 0))
    definition = FunctionDefinition("give", lambda number: bytes(number), {"number": wit.U32}, wit.BYTES)
    function = BridgedFunction(definition)

    def call(number):
        with capi.OwnedValues(2) as arguments, capi.OwnedValues(0) as results:
            for value, content in zip(arguments.item, (number, 64), strict=True):
                value.kind, value.of.u32 = Kind.U32, content
            function.call(state, arguments.item, results.item)

    call(3)
    with pytest.raises(GuestTrap, match="give: result: the guest called it for something else before it had taken"):
        call(4)
    call(5)
    call(5)  # which takes the answer
    state.close()


def test_a_guest_that_wants_wasi_says_so_where_it_is_not_offered(host, store):
    text = """(component
      (import "wasi:io/poll@0.2.0" (instance (export "pollable" (type (sub resource))))))"""
    with pytest.raises(
        LinkError, match=r"imports wasi:io/poll@0\.2\.0, which belongs to WASI; call `linker\.add_wasi\(\)`"
    ):
        store.instantiate(host.engine.compile(text.encode(), "guest"))


def test_a_core_module_that_wants_wasi_says_so_where_it_is_not_offered(host):
    text = '(module (import "wasi_snapshot_preview1" "proc_exit" (func (param i32))))'
    with (
        host.engine.core_store() as store,
        pytest.raises(LinkError, match=r"call `linker\.add_wasi\(\)` to offer WASI"),
    ):
        store.instantiate(host.engine.compile_module(text.encode(), "guest"))


def test_what_a_guest_calls_things_is_quoted_within_bounds(host):
    name = "\x1b[31m" + "n" * 90_000 + "\n"
    text = f'(module (import "host" "{name.encode().hex()}" (func)))'.replace(
        name.encode().hex(), "".join(f"\\{byte:02x}" for byte in name.encode())
    )
    with host.engine.core_store() as store, pytest.raises(LinkError) as caught:
        store.instantiate(host.engine.compile_module(text.encode(), "guest"))
    message = str(caught.value)
    assert message.isprintable()
    assert len(message) < 2_100
    assert message.startswith("guest imports host#\N{REPLACEMENT CHARACTER}[31mnnn")
    assert message.endswith("which this host does not provide")


# --- guests with too many imports or exports to read ---


@pytest.mark.parametrize("kind", ["imports", "exports"])
def test_a_component_with_too_many_imports_or_exports_is_refused(kind):
    number = MOST_EXTERNS + 1
    lifted = """
        (core module $m (func (export "f")))
        (core instance $i (instantiate $m))
        (func $f (canon lift (core func $i "f")))"""
    item = '(import "f{}" (func))' if kind == "imports" else '(export "f{}" (func $f))'
    items = [lifted, *(item.format(i) for i in range(number))]
    with pytest.raises(GuestError, match=f"guest has {number} {kind}; at most {MOST_EXTERNS} are supported"):
        Engine().compile(f"(component {' '.join(items)})".encode(), "guest")


def test_an_interface_with_too_many_functions_is_refused_when_it_is_linked():
    number = MOST_EXTERNS + 1
    functions = " ".join(f'(export "f{i}" (func))' for i in range(number))
    engine = Engine()
    guest = engine.compile(f'(component (import "test:host/api" (instance {functions})))'.encode())
    with engine.store() as store:
        store.linker.instance("test:host/api").function("f0", lambda: None, {}, None)
        message = f"an interface of the guest declares {number} items; at most {MOST_EXTERNS} are supported"
        with pytest.raises(LinkError, match=message):
            store.instantiate(guest)
