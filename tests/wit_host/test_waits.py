"""Guests that wait in functions of WASI: they get what they wait for, and can be stopped."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest
import wasmtime

from tests.wit_host.helpers.processes import in_a_process
from tests.wit_host.helpers.waiting import IMPORTS, MODULE, Waiting, blocking, component, module, nested
from wit_host import Engine, GuestCancelled, GuestError, GuestTimeout, GuestTrap, LinkError, WasiConfig

#: Nanoseconds: the time that a guest may wait for here, and a time that no test has.
SHORT, LONG = 200_000_000, 1 << 62
#: Seconds within which a guest that was told to stop has stopped, on any machine.
SOON = 30


@pytest.fixture(scope="module")
def engine():
    return Engine()


@pytest.fixture(scope="module")
def guests(engine):
    """The component, by itself and inside another one."""
    return {"component": engine.compile(component()), "nested": engine.compile(nested())}


@pytest.fixture(scope="module")
def modules(engine):
    """The core module, by the kind of its memory."""
    kinds = {"usual": module(), "64 bits": module("i64 1", "i64")}
    return {kind: engine.compile_module(text) for kind, text in kinds.items()}


def stdin(content):
    wasi = WasiConfig()
    wasi.stdin_bytes = content
    return wasi


def started(store, guest):
    store.linker.add_wasi()
    return Waiting(store.instantiate(guest))


# --- components ---


@pytest.mark.parametrize("kind", ["component", "nested"])
def test_a_component_gets_what_it_waits_for(kind, engine, guests):
    with engine.store(timeout=60, wasi=stdin(b"some bytes")) as store:
        call = started(store, guests[kind])
        begin = time.monotonic()
        call("sleep", SHORT)
        assert time.monotonic() - begin >= SHORT / 1e9, "it slept less than it wanted"
        assert call("first", SHORT, LONG) == 0b101, "the first pollable is in the list twice"
        assert call("first", LONG, 0) == 0b010
        assert call("first", 0, 0) == 0b111
        assert not call("is-ready", LONG)
        assert (call("read", 4), call("skip", 3), call("read", 100), call("read", 1)) == (4, 3, 3, -1)


def test_a_component_that_waits_for_nothing_traps(engine, guests):
    with engine.store() as store, pytest.raises(GuestTrap, match="empty poll list"):
        started(store, guests["component"])("nothing")


def test_one_read_returns_no_more_than_a_part_of_a_large_input(engine, guests):
    content = bytes(5 << 20)
    with engine.store(wasi=stdin(content)) as store:
        call = started(store, guests["component"])
        counts = []
        while (count := call("read", 1 << 40)) != -1:
            counts.append(count)
    assert sum(counts) == len(content)


@pytest.mark.parametrize("wait", [("sleep", LONG), ("first", LONG, LONG)])
@pytest.mark.parametrize("kind", ["component", "nested"])
def test_a_component_that_waits_ends_at_its_deadline(kind, wait, engine, guests):
    begin = time.monotonic()
    with engine.store(timeout=0.3) as store:
        call = started(store, guests[kind])
        with pytest.raises(GuestTimeout, match=r"within 0\.3 s"):
            call(*wait)
    assert time.monotonic() - begin < SOON


def test_a_component_that_waits_can_be_cancelled(engine, guests):
    with engine.store() as store:
        call = started(store, guests["component"])
        threading.Timer(0.1, store.cancel).start()
        with pytest.raises(GuestCancelled):
            call("sleep", LONG)


class Alarm(Exception):
    """Raised by a handler of signals."""


@pytest.fixture
def alarm():
    """Raise `Alarm` a moment after the fixture is called."""

    def ring(number, frame):
        raise Alarm

    before = signal.signal(signal.SIGALRM, ring)
    yield lambda: signal.setitimer(signal.ITIMER_REAL, 0.1)
    signal.signal(signal.SIGALRM, before)


on_posix = pytest.mark.skipif(os.name == "nt", reason="Windows has no signals that a test can raise")


@on_posix
def test_a_handler_of_signals_ends_a_component_that_waits(engine, guests, alarm):
    with engine.store() as store:
        call = started(store, guests["component"])
        alarm()
        with pytest.raises(Alarm):
            call("sleep", LONG)


def test_a_memory_that_helps_is_not_the_guests_own(engine, guests):
    with engine.store() as store:
        started(store, guests["component"])("sleep", 0)
        assert len(store.state.memory.parts) == 1


def test_a_component_may_import_a_part_of_an_interface(engine):
    guest = engine.compile(blocking())
    with engine.store(timeout=0.3) as store:
        store.linker.add_wasi()
        with pytest.raises(GuestTimeout):
            store.run_command(guest)


def test_a_component_may_import_a_stream_of_which_it_calls_no_function(engine):
    stream = '(export "input-stream" (type $input-stream (sub resource)))'
    imports = IMPORTS.replace(stream, stream + '(export "output-stream" (type (sub resource)))')
    assert imports != IMPORTS
    passes_it_on = """
      (alias export $streams "output-stream" (type $output-stream))
      (import "wasi:cli/stdout@0.2.0" (instance
        (alias outer 1 $output-stream (type $outer))
        (export "output-stream" (type $output-stream (eq $outer)))
        (export "get-stdout" (func (result (own $output-stream))))))"""
    with engine.store(timeout=60, wasi=stdin(b"some bytes")) as store:
        assert started(store, engine.compile(component(imports + passes_it_on)))("read", 4) == 4


def test_wasi_is_not_there_under_a_label(engine):
    """If the engine begins to provide it, `waiting_imports` has to find it."""
    imports = IMPORTS.replace('(import "wasi:io/poll@0.2.0" ', '(import "waits" (implements "wasi:io/poll@0.2.0") ')
    guest = engine.compile(component(imports))
    with engine.store() as store, pytest.raises(LinkError, match="imports waits"):
        started(store, guest)


def test_a_component_with_its_imports_in_an_unfamiliar_order_is_refused(engine):
    inner = '(component $C) (instance (instantiate $C)) (import "wasi:random/random@0.2.0" (instance))'
    with pytest.raises(GuestError, match=r"imports functions that wait, and it defines other things before its last"):
        engine.compile(component(IMPORTS + inner))


def test_code_between_the_imports_does_no_harm(engine):
    guest = engine.compile(component(IMPORTS + '(core module $C) (import "wasi:random/random@0.2.0" (instance))'))
    with engine.store(timeout=0.3) as store:
        call = started(store, guest)
        with pytest.raises(GuestTimeout):
            call("sleep", LONG)


# --- core modules ---


@pytest.mark.parametrize("kind", ["usual", "64 bits"])
def test_a_core_module_gets_what_it_waits_for(kind, engine, modules):
    with engine.core_store(timeout=60, wasi=stdin(b"some bytes")) as store:
        store.linker.add_wasi()
        guest = store.instantiate(modules[kind])
        begin = time.monotonic()
        assert (guest.call("sleep", SHORT), guest.call("events")) == (0, 1)
        assert time.monotonic() - begin >= SHORT / 1e9, "it slept less than it wanted"
        assert (guest.call("name", 0), guest.call("kind", 0)) == (0x1122334455667788, 0)
        assert (guest.call("first", LONG, LONG), guest.call("events")) == (0, 1), "there is input"
        assert (guest.call("name", 0), guest.call("kind", 0)) == (33, 1)
        assert (guest.call("read", 0), guest.call("events"), guest.call("first-byte")) == (0, 10, ord("s"))
        assert (guest.call("read", 99), guest.call("read", 1)) == (8, 8), "they are no files to read"
        assert guest.call("nothing") == 28, "there is nothing to wait for"


@pytest.mark.parametrize("kind", ["usual", "64 bits"])
def test_a_core_module_that_waits_ends_at_its_deadline(kind, engine, modules):
    with engine.core_store(timeout=0.3) as store:
        store.linker.add_wasi()
        guest = store.instantiate(modules[kind])
        with pytest.raises(GuestTimeout, match=r"within 0\.3 s"):
            guest.call("sleep", LONG)


def test_a_core_module_that_waits_can_be_cancelled(engine, modules):
    with engine.core_store() as store:
        store.linker.add_wasi()
        guest = store.instantiate(modules["usual"])
        threading.Timer(0.1, store.cancel).start()
        with pytest.raises(GuestCancelled):
            guest.call("sleep", LONG)


@on_posix
def test_a_handler_of_signals_ends_a_core_module_that_waits(engine, modules, alarm):
    with engine.core_store() as store:
        store.linker.add_wasi()
        guest = store.instantiate(modules["usual"])
        alarm()
        with pytest.raises(Alarm):
            guest.call("sleep", LONG)


def test_a_core_module_with_a_memory_that_threads_share_waits_in_slices():
    config = wasmtime.Config()
    config.shared_memory = True
    engine = Engine(config=config)
    guest = engine.compile_module(module("1 4 shared"))
    with engine.core_store(timeout=0.3) as store:
        store.linker.add_wasi()
        instance = store.instantiate(guest)
        assert instance.call("sleep", 0) == 0
        with pytest.raises(GuestTimeout):
            instance.call("sleep", LONG)


def test_a_core_module_that_waits_needs_wasi(engine, modules):
    with engine.core_store() as store, pytest.raises(LinkError, match=r"call `linker\.add_wasi\(\)`"):
        store.instantiate(modules["usual"])


@pytest.mark.parametrize("kind", ["table", "function"])
def test_a_core_module_cannot_reach_what_lets_it_wait_in_slices(kind, engine):
    imported = {
        "table": '(import "wasi_snapshot_preview1" "wit-host:slicing" (table 2 2 funcref))',
        "function": '(import "wit-host:slicing" "begin" (func (result i32)))',
    }
    text = module().decode().replace("(module", f"(module {imported[kind]}", 1)
    guest = engine.compile_module(text.encode())
    with engine.core_store() as store:
        store.linker.add_wasi()
        with pytest.raises(LinkError, match="which this host does not provide"):
            store.instantiate(guest)


def test_a_core_module_that_waits_while_it_starts_is_told(engine):
    start = "(start $start) (func $start (drop (call $poll (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 8)))))"
    text = module().decode().rstrip()[:-1] + start
    with engine.core_store() as store:
        store.linker.add_wasi()
        with pytest.raises(GuestTrap, match="waits before it has started"):
            store.instantiate(engine.compile_module(text.encode()))


def test_a_core_module_without_a_memory_cannot_wait(engine):
    text = MODULE.replace('(memory (export "memory") {memory})', "(memory {memory})")
    guest = engine.compile_module(text.replace("{memory}", "1").replace("{address}", "i32").encode())
    with engine.core_store() as store:
        store.linker.add_wasi()
        with pytest.raises(GuestTrap, match="memory"):
            store.instantiate(guest).call("sleep", 0)


# --- the streams of the process ---

READ = """
import os, sys, time
from tests.wit_host.helpers.waiting import Waiting, component, module
from wit_host import Engine, GuestTimeout, WasiConfig

read, write = os.pipe()
os.dup2(read, 0)
engine, kind = Engine(), sys.argv[1]

def inherit():
    wasi = WasiConfig()
    wasi.inherit_stdin()
    return {"wasi": wasi, "timeout": 0.3}

def wait():
    if kind == "component":
        with engine.store(**inherit()) as store:
            store.linker.add_wasi()
            return Waiting(store.instantiate(component_))("read", 100)
    with engine.core_store(**inherit()) as store:
        store.linker.add_wasi()
        guest = store.instantiate(module_)
        guest.call("read", 0)
        return guest.call("events")

component_, module_ = engine.compile(component()), engine.compile_module(module())
for _ in range(3):
    try:
        wait()
    except GuestTimeout:
        continue
    raise AssertionError("there was nothing to read")
os.write(write, b"finally")
assert wait() == 7
print("fine")
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no pipe that can take the place of standard input")
@pytest.mark.parametrize("kind", ["component", "module"])
def test_a_silent_input_keeps_neither_a_guest_nor_the_process_and_loses_nothing(kind):
    in_a_process(READ, kind)
