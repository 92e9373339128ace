"""Calls of what a guest exports: how they end, and what is left afterwards."""

from __future__ import annotations

import gc
import os
import signal
import threading
import weakref

import pytest
import wasmtime

from tests.wit_host.helpers.host import THING, Thing
from wit_host import (
    Engine,
    GuestError,
    GuestExit,
    GuestFunction,
    GuestInterface,
    GuestTimeout,
    GuestTrap,
    LinkError,
    ResultError,
)
from wit_host import values as wit

PLUGIN = """(component
  (import "ping" (func $ping))
  (import "thing" (type $thing (sub resource)))
  (import "make" (func $make (result (own $thing))))
  (core func $ping (canon lower (func $ping)))
  (core func $make (canon lower (func $make)))
  (core func $drop (canon resource.drop $thing))
  (core module $m
    (import "" "ping" (func $ping))
    (import "" "make" (func $make (result i32)))
    (import "" "drop" (func $drop (param i32)))
    (memory (export "memory") 1)
    (global $posts (mut i32) (i32.const 0))
    (data (i32.const 16) "hello")
    (data (i32.const 32) "\\10\\00\\00\\00\\05\\00\\00\\00")
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
    (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
    (func (export "call-ping") (call $ping))
    (func (export "fail") (unreachable))
    (func (export "loop") (loop $again (br $again)))
    (func (export "text") (result i32) (i32.const 32))
    (func (export "after-text") (param i32) (global.set $posts (i32.add (global.get $posts) (i32.const 1))))
    (func (export "posts") (result i32) (global.get $posts))
    (func (export "call-make") (result i32) (call $make))
    (func (export "keep") (drop (call $make)))
    (func (export "give") (param i32) (call $drop (local.get 0)))
    (func (export "fail-with") (param i32) (unreachable))
    (func (export "half") (param i32) (result i32)
      (i32.store8 (i32.const 64) (i32.rem_u (local.get 0) (i32.const 2)))
      (i32.store (i32.const 68) (i32.div_u (local.get 0) (i32.const 2)))
      (i32.const 64)))
  (core instance $i (instantiate $m (with "" (instance
    (export "ping" (func $ping)) (export "make" (func $make)) (export "drop" (func $drop))))))
  (alias core export $i "memory" (core memory $memory))
  (func (export "add") (param "a" u32) (param "b" u32) (result u32) (canon lift (core func $i "add")))
  (func (export "call-ping") (canon lift (core func $i "call-ping")))
  (func (export "fail") (canon lift (core func $i "fail")))
  (func (export "loop") (canon lift (core func $i "loop")))
  (func (export "text") (result string)
    (canon lift (core func $i "text") (memory $memory) (post-return (core func $i "after-text"))))
  (func (export "posts") (result u32) (canon lift (core func $i "posts")))
  (func (export "call-make") (result (own $thing)) (canon lift (core func $i "call-make")))
  (func (export "keep") (canon lift (core func $i "keep")))
  (func (export "give") (param "t" (own $thing)) (canon lift (core func $i "give")))
  (func (export "look") (param "t" (borrow $thing)) (canon lift (core func $i "give")))
  (func (export "fail-with") (param "t" (borrow $thing)) (canon lift (core func $i "fail-with")))
  (func (export "half") (param "n" u32) (result (result u32 (error u32)))
    (canon lift (core func $i "half") (memory $memory)))
)"""


class OddError(ResultError[int]):
    pass


ADD = GuestFunction[int]("add", {"a": wit.U32, "b": wit.U32}, wit.U32)
PING = GuestFunction[None]("call-ping", {}, None)
FAIL = GuestFunction[None]("fail", {}, None)
LOOP = GuestFunction[None]("loop", {}, None)
TEXT = GuestFunction[str]("text", {}, wit.STRING)
POSTS = GuestFunction[int]("posts", {}, wit.U32)
MAKE = GuestFunction[Thing]("call-make", {}, wit.Own(THING))
KEEP = GuestFunction[None]("keep", {}, None)
GIVE = GuestFunction[None]("give", {"t": wit.Own(THING)}, None)
LOOK = GuestFunction[None]("look", {"t": wit.Borrow(THING)}, None)
FAIL_WITH = GuestFunction[None]("fail-with", {"t": wit.Borrow(THING)}, None)
HALF = GuestFunction[int]("half", {"n": wit.U32}, wit.Result(wit.U32, wit.U32, OddError))
ALL = [ADD, PING, FAIL, LOOP, TEXT, POSTS, MAKE, KEEP, GIVE, LOOK, FAIL_WITH, HALF]


class Plugin(GuestInterface):
    def __init__(self, instance, functions=ALL):
        super().__init__(instance, None, functions)


@pytest.fixture(scope="module")
def compiled(host):
    return host.engine.compile(PLUGIN.encode())


def start(compiled, store, ping=lambda: None, make=Thing) -> Plugin:
    root = store.linker.root()
    root.resource(THING)
    root.function("ping", ping, {}, None)
    root.function("make", make, {}, wit.Own(THING))
    return Plugin(store.instantiate(compiled, "plugin"))


@pytest.fixture
def plugin(compiled, store):
    return start(compiled, store)


def test_an_export_is_called_many_times(plugin):
    assert [ADD(plugin, n, 1) for n in range(100)] == list(range(1, 101))


def test_a_result_is_returned_or_raised(plugin):
    assert HALF(plugin, 10) == 5
    with pytest.raises(OddError) as caught:
        HALF(plugin, 7)
    assert caught.value.value == 3
    assert HALF(plugin, 4) == 2


def test_the_guest_gets_to_free_what_it_returned(plugin):
    assert [TEXT(plugin), TEXT(plugin), POSTS(plugin)] == ["hello", "hello", 2]


def test_a_wrong_number_of_arguments_is_told(plugin):
    with pytest.raises(TypeError, match=r"^add takes 2 arguments, not 1$"):
        ADD(plugin, 1)


def test_calls_of_exports_are_not_counted(plugin, store):
    ADD(plugin, 1, 2)
    PING(plugin)
    assert store.state.calls == {"ping": 1}


def test_a_trap_ends_the_guest(plugin):
    with pytest.raises(GuestTrap, match=r"^plugin trapped: wasm `unreachable` instruction executed$"):
        FAIL(plugin)
    message = r"^plugin cannot be called any more: it trapped before .*unreachable.*; start it in a new store$"
    with pytest.raises(GuestTrap, match=message):
        ADD(plugin, 1, 2)


def test_what_a_guest_holds_is_dropped_when_it_traps(compiled, store):
    made = []

    def make():
        made.append(Thing())
        return made[-1]

    plugin = start(compiled, store, make=make)
    KEEP(plugin)
    assert made[0].drops == 0
    with pytest.raises(GuestTrap):
        FAIL(plugin)
    assert made[0].drops == 1
    store.close()
    assert made[0].drops == 1


def test_an_exception_of_the_host_comes_out_as_itself_and_ends_the_guest(compiled, store):
    def ping():
        raise LookupError("no such thing")

    plugin = start(compiled, store, ping)
    with pytest.raises(LookupError, match="no such thing"):
        PING(plugin)
    with pytest.raises(GuestError, match="it was stopped before by LookupError"):
        ADD(plugin, 1, 2)


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_exceptions_that_are_no_errors_come_out_too(compiled, store, kind):
    def ping():
        raise kind

    with pytest.raises(kind):
        PING(start(compiled, store, ping))


def test_a_host_function_cannot_call_the_guest_that_called_it(compiled, store):
    plugins, refusals = [], []

    def ping():
        with pytest.raises(RuntimeError, match="a host function cannot call the guest that called it") as caught:
            ADD(plugins[0], 1, 2)
        refusals.append(caught.value)
        with pytest.raises(RuntimeError, match="cannot be closed while its guest runs"):
            store.close()

    plugins.append(start(compiled, store, ping))
    PING(plugins[0])
    assert len(refusals) == 1
    assert ADD(plugins[0], 1, 2) == 3


def test_a_store_that_is_closed_while_a_call_runs_still_serves_it(compiled, store):
    asked = []

    def ping():
        with pytest.raises(RuntimeError, match="a store cannot be closed while its guest runs; call `cancel` first"):
            store.close()
        asked.append(threading.get_ident())
        if len(asked) > 1:
            raise KeyError("raised by ping")

    plugin = start(compiled, store, ping)
    PING(plugin)
    assert TEXT(plugin) == "hello"
    assert isinstance(MAKE(plugin), Thing)
    with pytest.raises(KeyError, match="raised by ping"):
        PING(plugin)


def test_a_call_has_the_time_that_the_store_allows(host, compiled):
    with host.store(timeout=0.2) as store:
        plugin = start(compiled, store)
        assert ADD(plugin, 1, 2) == 3
        with pytest.raises(GuestTimeout, match=r"^plugin did not return from loop within 0\.2 s"):
            LOOP(plugin)
        with pytest.raises(GuestError, match=r"any more: plugin did not return from loop within 0\.2 s"):
            ADD(plugin, 1, 2)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no way to raise a signal that a test can catch")
def test_a_signal_ends_a_call(host, compiled):
    with host.store(timeout=60) as store:
        plugin = start(compiled, store)
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
        with pytest.raises(KeyboardInterrupt):
            LOOP(plugin)


def test_an_object_that_comes_back_is_the_hosts_again(compiled, store):
    thing = Thing(7)
    plugin = start(compiled, store, make=lambda: thing)
    assert MAKE(plugin) is thing
    assert len(store.state.table) == 0
    store.close()
    assert thing.drops == 0


def test_an_object_that_is_given_is_dropped_by_the_guest(plugin):
    thing = Thing()
    GIVE(plugin, thing)
    assert thing.drops == 1


def test_an_object_that_is_lent_is_neither_kept_nor_dropped(plugin, store):
    thing = Thing()
    for _ in range(3):
        LOOK(plugin, thing)
    assert len(store.state.table) == 0
    store.close()
    assert thing.drops == 0


def test_an_object_that_is_lent_is_not_dropped_by_a_trap_either(plugin, store):
    thing = Thing()
    with pytest.raises(GuestTrap):
        FAIL_WITH(plugin, thing)
    assert thing.drops == 0
    assert len(store.state.table) == 0


def test_the_host_can_refuse_to_pass_an_object(plugin, store):
    def check(item, is_second):
        if item.number == 7:
            raise ValueError("seven is not for this guest")

    store.on_pass(check)
    good, bad = Thing(), Thing(7)
    LOOK(plugin, good)
    for function in (GIVE, LOOK):
        with pytest.raises(ValueError, match=f"{function.name}: t: seven is not for this guest"):
            function(plugin, bad)
    assert len(store.state.table) == 0
    GIVE(plugin, good)
    assert (good.drops, bad.drops) == (1, 0)


def test_the_host_is_told_when_the_guest_would_own_an_object_twice(compiled, store):
    thing, told = Thing(), []
    plugin = start(compiled, store, make=lambda: thing)
    store.on_pass(lambda item, is_second: told.append(is_second))
    GIVE(plugin, Thing())
    assert not store.has(thing)
    KEEP(plugin)
    assert store.has(thing)
    GIVE(plugin, Thing())
    LOOK(plugin, thing)
    GIVE(plugin, thing)
    assert told == [False, False, False, True]
    store.close()
    assert not store.has(thing)


def test_an_object_stays_with_the_caller_when_another_argument_does_not_fit(host):
    text = """(component
      (import "thing" (type $thing (sub resource)))
      (core module $m (func (export "f") (param i32 i32 i32)))
      (core instance $i (instantiate $m))
      (func (export "both") (param "a" (own $thing)) (param "b" (borrow $thing)) (param "n" u32)
        (canon lift (core func $i "f"))))"""
    both = GuestFunction[None]("both", {"a": wit.Own(THING), "b": wit.Borrow(THING), "n": wit.U32}, None)
    given, lent = Thing(), Thing()
    with host.store() as store:
        store.linker.root().resource(THING)
        guest = GuestInterface(store.instantiate(host.engine.compile(text.encode())), None, [both])
        with pytest.raises(TypeError, match=r"^both: n: int is needed, not str$"):
            both(guest, given, lent, "1")
        assert len(store.state.table) == 0
    assert [given.drops, lent.drops] == [0, 0]


@pytest.mark.parametrize("functions", [[GuestFunction("missing", {}, None)], [ADD, GuestFunction("memory", {}, None)]])
def test_an_export_that_is_missing_is_named(plugin, functions):
    with pytest.raises(LinkError, match=r"^plugin does not export (missing|memory), which this host calls$"):
        Plugin(plugin._instance, functions)


def test_an_interface_that_is_missing_is_named(plugin):
    with pytest.raises(LinkError, match=r"^plugin does not export acme:files/storage@1\.0\.0, which this host calls$"):
        GuestInterface(plugin._instance, "acme:files/storage@1.0.0", [])


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (GuestFunction("add", {"a": wit.U32, "b": wit.STRING}, wit.U32), "parameter b: {string}, the guest has u32"),
        (GuestFunction("add", {"a": wit.U32}, wit.U32), "this host has 1 parameter, the guest has 2 parameters"),
        (GuestFunction("add", {"a": wit.U32, "b": wit.U32}, None), "result: this host has none, the guest has u32"),
        (GuestFunction("add", {"a": wit.U32, "b": wit.U32}, wit.STRING), "result: {string}, the guest has u32"),
        (GuestFunction("give", {"t": wit.Borrow(THING)}, None), "parameter t: this host has borrow, the guest has own"),
        (GuestFunction("half", {"n": wit.U32}, wit.U32), "result: this host has u32, the guest has result"),
    ],
)  # fmt: skip
def test_an_export_of_another_type_is_refused_before_it_is_called(plugin, function, message):
    with pytest.raises(LinkError) as caught:
        Plugin(plugin._instance, [function])
    assert (
        str(caught.value)
        == f"plugin exports {function.name} with another type: {message.format(string='this host has string')}"
    )


def test_a_store_has_one_guest(compiled, store):
    start(compiled, store)
    with pytest.raises(RuntimeError, match="a store has one guest; make another store"):
        store.instantiate(compiled)
    with pytest.raises(RuntimeError, match="a store has one guest; make another store"):
        store.run_command(compiled)


def test_a_guest_that_does_not_link_leaves_room_for_another(host, compiled, store):
    with pytest.raises(LinkError):
        store.instantiate(host.engine.compile(b'(component (import "nothing" (func)))'))
    assert ADD(start(compiled, store), 1, 2) == 3


def test_a_call_after_the_store_is_closed_is_refused(plugin, store):
    store.close()
    with pytest.raises(ValueError, match="the store of this guest is closed"):
        ADD(plugin, 1, 2)


EXIT = """(component
  (import "wasi:cli/exit@0.2.0" (instance $e (export "exit" (func (param "status" (result))))))
  (alias export $e "exit" (func $exit))
  (core func $exit (canon lower (func $exit)))
  (core module $m (import "" "exit" (func $exit (param i32))) (func (export "leave") (call $exit (i32.const 1))))
  (core instance $i (instantiate $m (with "" (instance (export "exit" (func $exit))))))
  (func (export "leave") (canon lift (core func $i "leave"))))"""


def test_a_guest_that_exits_says_with_which_status(host, store):
    leave = GuestFunction[None]("leave", {}, None)
    store.linker.add_wasi()
    guest = GuestInterface(store.instantiate(host.engine.compile(EXIT.encode()), "plugin"), None, [leave])
    with pytest.raises(GuestExit, match=r"^plugin exited with status 1$") as caught:
        leave(guest)
    assert caught.value.status == 1
    with pytest.raises(GuestError, match="cannot be called any more: plugin exited with status 1"):
        leave(guest)


def test_a_guest_that_traps_while_it_starts_is_told(host, store):
    text = "(component (core module $m (func $f (unreachable)) (start $f)) (core instance (instantiate $m)))"
    with pytest.raises(GuestTrap, match="plugin trapped: wasm `unreachable`"):
        store.instantiate(host.engine.compile(text.encode()), "plugin")


def test_guests_in_threads_run_side_by_side(host, compiled):
    sums = {}

    def run(number):
        with host.store(timeout=60) as store:
            plugin = start(compiled, store)
            sums[number] = sum(ADD(plugin, n, number) for n in range(200))

    threads = [threading.Thread(target=run, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sums == {number: 19900 + 200 * number for number in range(4)}


@pytest.fixture
def no_collection():
    """Nothing but reference counts frees memory during the test."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collection")
@pytest.mark.parametrize("end", ["closed", "left open", "trapped"])
def test_a_store_keeps_nothing_alive(host, compiled, end):
    thing = Thing()
    seen = weakref.ref(thing)
    store = host.store()
    plugin = start(compiled, store, make=lambda kept=thing: kept)
    KEEP(plugin)
    runner = weakref.ref(store._runner)
    if end == "closed":
        store.close()
    elif end == "trapped":
        with pytest.raises(GuestTrap):
            FAIL(plugin)
        store.close()
    del thing, store, plugin
    assert seen() is None
    assert runner() is None


class TestEngine:
    def test_it_compiles_a_file_or_bytes_in_either_format(self, tmp_path, host):
        text = b'(component (core module $m (func (export "f"))) (core instance $i (instantiate $m)))'
        binary = bytes(wasmtime.wat2wasm(text))
        (tmp_path / "guest.wasm").write_bytes(binary)
        for source in (text, binary, tmp_path / "guest.wasm", str(tmp_path / "guest.wasm")):
            with host.store() as store:
                store.instantiate(host.engine.compile(source))

    @pytest.mark.parametrize(
        "content", [b"(module)", b"\0asm\1\0\0\0", b"nonsense", b"(component", b"", b"\0asm\x0d\0\1\0\xff"]
    )
    def test_what_is_no_component_is_refused(self, content):
        with pytest.raises(GuestError, match=r"^the guest is not a valid component: "):
            Engine().compile(content)

    def test_a_file_that_is_no_component_is_named(self, tmp_path):
        (tmp_path / "odd.wasm").write_bytes(b"odd")
        with pytest.raises(GuestError, match=r"^odd\.wasm is not a valid component: "):
            Engine().compile(tmp_path / "odd.wasm")

    def test_a_file_that_is_not_there_is_an_os_error(self):
        with pytest.raises(FileNotFoundError):
            Engine().compile("/nowhere/guest.wasm")
