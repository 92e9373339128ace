"""Core modules: what they import, how they start and end, and what host functions reach of their memory."""

from __future__ import annotations

import gc
import os
import signal
import threading
import weakref
from contextlib import suppress

import pytest
import wasmtime

from tests.wit_host.helpers.host import Thing
from wit_host import Engine, GuestError, GuestTimeout, GuestTrap, LinkError
from wit_host.core import NoMemory

PAGE = 1 << 16
#: Passes its two numbers on to the host, and returns what that returns.
PASS = """(func (export "pass") (param i32 i32) (result i32) (call $f (local.get 0) (local.get 1)))"""
MEMORY = '(memory (export "memory") 1)'


@pytest.fixture(scope="module")
def engine():
    return Engine()


@pytest.fixture
def store(engine):
    with engine.core_store() as store:
        yield store


def module(*parts):
    """A module that imports `host` `f`."""
    return f'(module (import "host" "f" (func $f (param i32 i32) (result i32))) {" ".join(parts)})'.encode()


def command(body, *parts):
    """A module whose `_start` is `body`."""
    return module(f'(func (export "_start") {body})', MEMORY, *parts)


def start(engine, store, implementation, *parts):
    """An instance of a module that passes numbers on to `implementation`."""
    store.linker.function("host", "f", ["address", "length"], implementation)
    return store.instantiate(engine.compile_module(module(PASS, *parts), "guest"))


def run(engine, store, implementation, body, *parts):
    """Run a command; `$f` is `implementation`."""
    store.linker.function("host", "f", ["address", "length"], implementation)
    return store.run_command(engine.compile_module(command(body, *parts), "guest"))


# --- calls ---


def test_numbers_cross_as_unsigned_32_bit_ones(engine, store):
    seen = []
    guest = start(engine, store, lambda *numbers: seen.append(numbers) or (1 << 32) - 2)
    assert guest.call("pass", -1, 7) == -2
    assert seen == [((1 << 32) - 1, 7)]
    assert store.state.calls == {"host#f": 1}


def test_a_function_may_take_nothing(engine, store):
    store.linker.function("host", "f", [], lambda: 7)
    text = '(module (import "host" "f" (func $f (result i32))) (func (export "get") (result i32) (call $f)))'
    assert store.instantiate(engine.compile_module(text.encode())).call("get") == 7


def test_a_function_can_be_imported_twice(engine, store):
    store.linker.function("host", "f", ["a", "b"], lambda a, b: a + b)
    text = """(module (import "host" "f" (func $f (param i32 i32) (result i32)))
                      (import "host" "f" (func $g (param i32 i32) (result i32)))
                (func (export "both") (result i32)
                  (i32.mul (call $f (i32.const 1) (i32.const 2)) (call $g (i32.const 3) (i32.const 4)))))"""
    assert store.instantiate(engine.compile_module(text.encode())).call("both") == 21


def test_a_function_cannot_be_defined_twice(store):
    store.linker.function("host", "f", [], lambda: 0)
    with pytest.raises(ValueError, match="host#f is defined twice"):
        store.linker.function("host", "f", [], lambda: 0)


def test_what_a_host_function_raises_comes_out_at_the_caller_of_the_guest(engine, store):
    def fail(_a, _b):
        raise LookupError("lost")

    guest = start(engine, store, fail)
    with pytest.raises(LookupError, match="lost") as caught:
        guest.call("pass", 0, 0)
    assert caught.value.__notes__ == ["raised in the host function host#f"]
    with pytest.raises(GuestError, match="it was stopped before by LookupError"):
        guest.call("pass", 0, 0)


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_exceptions_that_end_programs_come_out_too(kind, engine, store):
    def fail(_a, _b):
        raise kind

    with pytest.raises(kind):
        start(engine, store, fail).call("pass", 0, 0)


def test_an_answer_that_is_no_number_is_refused(engine, store):
    with pytest.raises(TypeError):
        start(engine, store, lambda a, b: "one").call("pass", 0, 0)


# --- memory ---


def test_a_view_reads_and_writes_what_the_guest_has(engine, store):
    def shout(address, length):
        with store.memory.view(address, length, "text") as text:
            text[:] = bytes(text).upper()
        return length

    loads = '(func (export "load") (param i32) (result i32) (i32.load8_u (local.get 0)))'
    guest = start(engine, store, shout, MEMORY, '(data (i32.const 65531) "hello")', loads)
    assert guest.call("pass", PAGE - 5, 5) == 5
    assert bytes(guest.call("load", PAGE - 5 + index) for index in range(5)) == b"HELLO"


@pytest.mark.parametrize("address", [0, 1, PAGE - 1, PAGE])
def test_nothing_can_be_read_wherever_it_is_in_the_memory(address, engine, store):
    guest = start(engine, store, lambda a, n: len(store.memory.read(a, n, "text")), MEMORY)
    assert guest.call("pass", address, 0) == 0


@pytest.mark.parametrize(
    ("address", "length"),
    [(0, PAGE + 1), (PAGE, 1), (PAGE - 1, 2), (PAGE + 1, 0), (-1, 0), (-1, 1), (-1, 2), (0, -1), (-1, -1), (1, -1)],
)
@pytest.mark.parametrize("way", ["read", "view"])
def test_bytes_outside_the_memory_trap_the_guest(way, address, length, engine, store):
    guest = start(engine, store, lambda a, n: len(getattr(store.memory, way)(a, n, "text")), MEMORY)
    text = (
        f"^host#f: text: {length % 2**32} bytes at address {address % 2**32} are not all in the guest's memory of "
        f"{PAGE} bytes\nraised in the host function host#f$"
    )
    with pytest.raises(GuestTrap, match=text):
        guest.call("pass", address, length)


def test_what_is_read_cannot_be_written(engine, store):
    def write(address, length):
        store.memory.read(address, length, "text")[0] = 1

    with pytest.raises(TypeError, match="read-only"):
        start(engine, store, write, MEMORY).call("pass", 0, 1)


def moving():
    """An engine whose memories are elsewhere when they have grown."""
    config = wasmtime.Config()
    config.memory_reservation = config.memory_reservation_for_growth = 0
    config.memory_may_move = True
    return Engine(config=config)


@pytest.mark.parametrize("make", [Engine, moving])
def test_a_memory_that_grows_is_reached_where_it_is_then(make):
    engine = make()
    grow = """(func (export "grow") (param i32) (result i32)
                (i32.store (i32.sub (i32.mul (memory.size) (i32.const 65536)) (i32.const 4)) (i32.const 7))
                (memory.grow (local.get 0)))"""
    with engine.core_store() as store:
        guest = start(engine, store, lambda a, n: store.memory.read(a, n, "text")[0], MEMORY, grow)
        for pages in range(1, 40):
            assert guest.call("pass", pages * PAGE - 1, 1) == 0
            assert store.memory.read(pages * PAGE - 1, 1, "text")[0] == 0  # between two calls
            assert guest.call("grow", 1) == pages
            assert guest.call("pass", pages * PAGE - 4, 1) == 7
            assert store.memory.read(pages * PAGE - 4, 1, "text")[0] == 7
        with pytest.raises(GuestTrap, match=f"the guest's memory of {40 * PAGE} bytes"):
            guest.call("pass", 40 * PAGE, 1)


@pytest.mark.parametrize(
    "part",
    [
        "",
        "(memory 1)",
        '(memory (export "mem") 1)',
        '(func (export "memory"))',
        '(global (export "memory") i32 (i32.const 1))',
    ],
)
def test_a_guest_without_the_memory_that_is_asked_for_is_told(part, engine, store):
    def read(address, length):
        with pytest.raises(NoMemory, match="exports no `memory`"):
            store.memory.read(address, length, "text")
        return 3

    assert start(engine, store, read, part).call("pass", 0, 0) == 3


def test_a_memory_that_threads_share_is_not_read():
    config = wasmtime.Config()
    config.wasm_threads = config.shared_memory = True
    engine = Engine(config=config)
    with engine.core_store() as store:
        shared = '(memory (export "memory") 1 1 shared)'
        guest = start(engine, store, lambda a, n: len(store.memory.read(a, n, "text")), shared)
        with pytest.raises(NoMemory):
            guest.call("pass", 0, 1)


def test_the_memory_that_is_exported_is_the_one_that_is_read(engine, store):
    parts = '(memory 1) (memory (export "memory") 1) (data (memory 1) (i32.const 9) "x")'
    assert start(engine, store, lambda a, n: store.memory.read(a, n, "text")[0], parts).call("pass", 9, 1) == ord("x")


def test_an_empty_memory_has_nothing_but_its_beginning(engine, store):
    guest = start(engine, store, lambda a, n: len(store.memory.read(a, n, "text")), '(memory (export "memory") 0)')
    assert guest.call("pass", 0, 0) == 0
    with pytest.raises(GuestTrap, match="memory of 0 bytes"):
        guest.call("pass", 0, 1)


def test_the_memory_is_there_while_the_module_starts(engine, store):
    seen = []
    begin = '(func $begin (drop (call $f (i32.const 3) (i32.const 2)))) (start $begin) (data (i32.const 3) "ab")'
    start(engine, store, lambda a, n: seen.append(bytes(store.memory.read(a, n, "text"))) or 0, MEMORY, begin)
    assert seen == [b"ab"]


@pytest.mark.parametrize("derive", [lambda view: view[1:], lambda view: memoryview(view).cast("B")])
def test_a_view_that_is_kept_is_an_error(derive, engine, store):
    kept = []
    guest = start(engine, store, lambda a, n: kept.append(derive(store.memory.view(a, n, "text"))) or 0, MEMORY)
    with pytest.raises(BufferError, match="host#f kept a view of the guest's memory beyond the call"):
        guest.call("pass", 0, 8)


def test_a_view_that_only_its_borrower_has_is_unusable_after_the_call(engine, store):
    kept = []
    guest = start(engine, store, lambda a, n: kept.append(store.memory.view(a, n, "text")) or 0, MEMORY)
    guest.call("pass", 0, 8)
    with pytest.raises(ValueError, match="released"):
        bytes(kept[0])


# --- the start and the end ---


def test_a_command_that_returns_ends_with_status_0(engine, store):
    assert run(engine, store, lambda a, b: a, "(drop (call $f (i32.const 0) (i32.const 0)))") == 0


EXIT = '(import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))'


@pytest.mark.parametrize("status", [0, 1, 7, 125])
def test_a_command_that_exits_ends_with_its_status(status, engine, store):
    store.linker.add_wasi()
    text = f'(module {EXIT} {MEMORY} (func (export "_start") (call $exit (i32.const {status})) unreachable))'
    assert store.run_command(engine.compile_module(text.encode())) == status


def test_a_trap_is_told_in_one_line(engine, store):
    with pytest.raises(GuestTrap) as caught:
        run(engine, store, lambda a, b: 0, "(unreachable)")
    assert str(caught.value) == "guest trapped: wasm `unreachable` instruction executed"
    assert "wasm backtrace" in caught.value.backtrace


def test_a_guest_that_loops_is_stopped_at_its_deadline(engine):
    with (
        engine.core_store(timeout=0.2) as store,
        pytest.raises(GuestTimeout, match=r"guest did not end within 0\.2 s"),
    ):
        run(engine, store, lambda a, b: 0, "(loop $again (br $again))")


def test_the_stack_of_a_guest_ends_in_a_trap(engine, store):
    with pytest.raises(GuestTrap, match="call stack exhausted"):
        run(engine, store, lambda a, b: 0, "(call $deep)", "(func $deep (call $deep) (call $deep))")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no way to raise a signal that a test can catch")
def test_a_signal_ends_a_guest_that_loops(engine):
    def interrupt(_a, _b):
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
        return 0

    body = "(drop (call $f (i32.const 0) (i32.const 0))) (loop $again (br $again))"
    with engine.core_store(timeout=60) as store, pytest.raises(KeyboardInterrupt):
        run(engine, store, interrupt, body)


def test_the_memory_of_a_guest_can_be_limited(engine):
    with (
        engine.core_store(memory=PAGE) as store,
        pytest.raises(
            GuestTrap,
            match=r"begins with 128 KiB, which is more than it may have: .* 64 KiB \(limit 64 KiB\)",
        ),
    ):
        run(engine, store, lambda a, b: 0, "", '(memory (export "other") 2)')


def test_what_a_guest_holds_is_dropped_when_it_ends_or_traps(engine):
    for body, ends in (("", 1), ("(unreachable)", 1), ("(call $f (i32.const 0) (i32.const 0)) drop unreachable", 1)):
        thing = Thing()
        with engine.core_store() as store:
            store.resources.give(thing)
            with suppress(GuestTrap):
                run(engine, store, lambda a, b: 0, body)
            assert thing.drops == ends
        assert thing.drops == ends


def test_what_an_instance_holds_is_dropped_when_its_store_closes(engine, store):
    thing = Thing()
    start(engine, store, lambda a, b: 0)
    store.resources.give(thing)
    assert thing.drops == 0
    store.close()
    store.close()
    assert thing.drops == 1


def test_what_a_host_defines_goes_free_with_its_store_without_the_garbage_collector(engine):
    class Host:
        def f(self, address, length):
            if not length:
                raise LookupError
            return 0

    gc.collect()
    gc.disable()
    try:
        host = Host()
        kept = weakref.ref(host)
        with engine.core_store() as store:
            guest = start(engine, store, host.f, MEMORY)
            guest.call("pass", 0, 1)
            with suppress(LookupError):
                guest.call("pass", 0, 0)
            del host
            assert kept() is not None
        assert kept() is None
    finally:
        gc.enable()


def test_the_initialization_of_a_reactor_comes_first(engine, store):
    begin = '(func (export "_initialize") (drop (call $f (i32.const 1) (i32.const 1))))'
    seen = []
    guest = start(engine, store, lambda a, b: seen.append(a) or 0, begin)
    assert seen == [1]
    guest.call("pass", 2, 2)
    assert seen == [1, 2]


def test_running_a_reactor_initializes_it(engine, store):
    seen = []
    store.linker.function("host", "f", ["a", "b"], lambda a, b: seen.append(a) or 0)
    begin = '(func (export "_initialize") (drop (call $f (i32.const 1) (i32.const 1))))'
    assert store.run_command(engine.compile_module(module(begin))) == 0
    assert seen == [1]


def test_a_library_cannot_be_run(engine, store):
    store.linker.function("host", "f", ["a", "b"], lambda a, b: 0)
    with pytest.raises(LinkError, match="guest exports neither _start nor _initialize; build it as a command"):
        store.run_command(engine.compile_module(module(PASS), "guest"))


def test_an_export_that_is_not_there_is_told(engine, store):
    with pytest.raises(LinkError, match="guest exports no function play"):
        start(engine, store, lambda a, b: 0).call("play")


def test_a_store_has_one_guest(engine, store):
    start(engine, store, lambda a, b: 0)
    with pytest.raises(RuntimeError, match="a store has one guest"):
        store.instantiate(engine.compile_module(module(PASS)))


def test_stores_run_in_parallel_and_each_gets_its_own_exception(engine):
    caught = {}
    together = threading.Barrier(4)

    def meet(number):
        def implementation(_a, _b):
            together.wait(timeout=30)
            raise LookupError(number)

        try:
            with engine.core_store() as store:
                start(engine, store, implementation).call("pass", 0, 0)
        except LookupError as error:
            caught[number] = error.args

    threads = [threading.Thread(target=meet, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert caught == {number: (number,) for number in range(4)}


# --- what does not fit ---


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '(import "host" "f" (func (param i32)))',
            r"guest imports host#f with another type: this host has \(i32, i32\) -> \(i32\), "
            r"the guest has \(i32\) -> \(\)",
        ),
        (
            '(import "host" "f" (func (param i64 i32) (result i32)))',
            r"this host has \(i32, i32\) -> \(i32\), the guest has \(i64, i32\) -> \(i32\)",
        ),
        ('(import "host" "f" (memory 1))', "guest imports host#f with another type: .* the guest has a memory"),
        ('(import "host" "f" (global i32))', "the guest has a global"),
        ('(import "host" "f" (table 1 funcref))', "the guest has a table"),
        ('(import "host" "g" (func))', "guest imports host#g, which this host does not provide; it provides host#f"),
        (
            '(import "elsewhere" "memory" (memory 1))',
            "guest imports elsewhere#memory, which this host does not provide",
        ),
        ('(import "" "" (func))', "guest imports #, which this host does not provide"),
        (EXIT, "guest imports wasi_snapshot_preview1#proc_exit, which this host does not provide"),
    ],
)
def test_an_import_that_does_not_fit_is_told_why(text, message, engine, store):
    store.linker.function("host", "f", ["a", "b"], lambda a, b: 0)
    with pytest.raises(LinkError, match=message):
        store.instantiate(engine.compile_module(f"(module {text})".encode(), "guest"))


def test_a_function_of_wasi_that_has_another_type_is_told(engine, store):
    store.linker.add_wasi()
    text = '(module (import "wasi_snapshot_preview1" "proc_exit" (func)))'
    with pytest.raises(LinkError, match="guest imports wasi_snapshot_preview1::proc_exit with another type"):
        store.instantiate(engine.compile_module(text.encode(), "guest"))


@pytest.mark.parametrize("wasm", [b"", b"\0asm\x01\0\0\0\x63", b"(module", b"(component)", b"\0asm\x0d\0\x01\0"])
def test_what_is_no_module_is_refused(wasm, engine):
    with pytest.raises(GuestError, match="guest is not a valid core module"):
        engine.compile_module(wasm, "guest")


def test_a_compiled_module_is_kept_in_the_cache(tmp_path):
    from wit_host import CompileCache

    for expected in (False, True):
        engine = Engine(cache=CompileCache(tmp_path / "cache", bytes(32)))
        compiled = engine.compile_module(command(""))
        assert engine.is_from_cache(compiled) is expected
        with engine.core_store() as store:
            store.linker.function("host", "f", ["a", "b"], lambda a, b: 0)
            assert store.run_command(compiled) == 0
