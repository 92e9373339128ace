"""Stopping a guest from outside: signals, cancelling, forks, and threads whose stack is small."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from tests.wit_host.helpers.host import THING, Thing
from tests.wit_host.helpers.processes import in_a_process
from tests.wit_host.helpers.wat import API, Import
from wit_host import Engine, GuestCancelled, GuestTrap, Store, WasiConfig, capi, values

PING = {"ping": Import("", "")}
NEW = {"new": Import('(param "n" u32) (result (own $thing))', "(param i32) (result i32)")}
LOOP = "(call ping) (loop $again (br $again))"

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has neither forks nor signals that a test can raise")


# --- signals ---

BLOCKED = """
import os, queue, select, signal, sys, threading, time
from tests.wit_host.helpers.host import Host
from tests.wit_host.helpers.wat import Import

def loop():
    while True:
        pass

waits = {"sleep": lambda: time.sleep(600), "queue": queue.Queue().get, "select": lambda: select.select([], [], []),
         "lock": lambda: threading.Event().wait(), "loop": loop}
way, kind = sys.argv[1:]

class Alarm(Exception):
    pass

def ring(number, frame):
    raise Alarm(number)

if kind == "handler":
    signal.signal(signal.SIGUSR1, ring)
number, expected = (signal.SIGUSR1, Alarm) if kind == "handler" else (signal.SIGINT, KeyboardInterrupt)
ended = []

def ping():
    threading.Timer(0.1, os.kill, (os.getpid(), number)).start()
    try:
        waits[way]()
    except expected:
        ended.append("in the host function")
        raise

try:
    Host().run({"ping": Import("", "")}, "(call ping)", lambda i: i.function("ping", ping, {}, None))
except expected:
    print("fine" if ended else "too late")
"""


@pytest.mark.parametrize("kind", ["interrupt", "handler"])
@pytest.mark.parametrize("way", ["sleep", "queue", "select", "lock", "loop"])
def test_a_signal_ends_a_host_function_that_blocks_for_ever(way, kind):
    in_a_process(BLOCKED, way, kind)


STORM = """
import os, signal, threading, time
from tests.wit_host.helpers.host import Host, THING
from tests.wit_host.helpers.wat import API, Import

came, sent, rounds = 0, 0, 1500

class Alarm(Exception):
    pass

def ring(number, frame):
    global came
    came += 1
    raise Alarm

host = Host()
guest = host.compile({"ping": Import("", "")}, "(loop $again (call ping) (br $again))")
signal.signal(signal.SIGUSR1, ring)

for number in range(rounds):
    has_begun = False

    def ping():
        global has_begun
        if not has_begun:
            has_begun = True
            signal.setitimer(signal.ITIMER_REAL, 1e-6 * (1 + number % 400))

    signal.signal(signal.SIGALRM, ring)
    with host.store(timeout=30) as store:
        instance = store.linker.instance(API)
        instance.resource(THING)
        instance.function("ping", ping, {}, None)
        try:
            store.run_command(guest)
        except Alarm:
            continue
    raise AssertionError(f"round {number} ended otherwise")
assert came == rounds, (came, rounds)
print("fine")
"""


def test_no_signal_is_lost_whenever_it_comes():
    in_a_process(STORM)


def test_a_handler_that_raises_nothing_changes_nothing(host):
    rung = []
    before = signal.signal(signal.SIGUSR1, lambda number, _frame: rung.append(number))
    try:
        ping = lambda: os.kill(os.getpid(), signal.SIGUSR1)  # noqa: E731
        assert host.run(PING, "(call ping) (call ping)", lambda i: i.function("ping", ping, {}, None)) == 0
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert rung == [signal.SIGUSR1] * 2


# --- cancelling ---


def cancelling(store: Store) -> threading.Timer:
    timer = threading.Timer(0.1, store.cancel)
    timer.start()
    return timer


def test_a_guest_that_loops_is_cancelled_from_another_thread(host, store):
    with pytest.raises(GuestCancelled, match="the guest was cancelled"):
        host.run(PING, LOOP, lambda i: i.function("ping", lambda: cancelling(store) and None, {}, None), store)


def test_a_core_module_is_cancelled_too():
    engine = Engine()
    guest = engine.compile_module(b'(module (func (export "_start") (loop $again (br $again))))')
    with engine.core_store() as store:
        cancelling(store)
        with pytest.raises(GuestCancelled):
            store.run_command(guest)


def test_a_handler_of_a_signal_may_cancel(host, store):
    before = signal.signal(signal.SIGUSR1, lambda *_: store.cancel())
    try:
        ping = lambda: os.kill(os.getpid(), signal.SIGUSR1)  # noqa: E731
        with pytest.raises(GuestCancelled):
            host.run(PING, LOOP, lambda i: i.function("ping", ping, {}, None), store)
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_a_guest_that_was_cancelled_before_it_runs_does_not_start(host, store):
    called = []
    store.cancel()
    with pytest.raises(GuestCancelled, match="cancelled before it was called"):
        host.run(PING, "(call ping)", lambda i: i.function("ping", lambda: called.append(1), {}, None), store)
    assert not called


def test_cancelling_a_guest_that_has_ended_changes_nothing(host, store):
    assert host.run(PING, "", lambda i: i.function("ping", print, {}, None), store) == 0
    store.cancel()
    store.cancel()


def test_what_a_cancelled_guest_holds_is_dropped(host, store):
    thing = Thing()

    def define(instance):
        instance.function("new", lambda n: thing, {"n": values.U32}, values.Own(THING))
        instance.function("ping", store.cancel, {}, None)

    with pytest.raises(GuestCancelled):
        host.run(NEW | PING, f"(drop (call new (i32.const 1))) {LOOP}", define, store)
    assert thing.drops == 1


def test_a_store_that_is_closed_while_its_guest_runs_says_to_cancel(host, store):
    with pytest.raises(RuntimeError, match="call `cancel` first"):
        host.run(PING, "(call ping)", lambda i: i.function("ping", store.close, {}, None), store)


# --- forks ---

FORK = """
import os, sys, threading, time
from tests.wit_host.helpers.host import THING, Host
from tests.wit_host.helpers.wat import API, Import
from wit_host import GuestTimeout

host = Host()
ping = {"ping": Import("", "")}
quick, endless = host.compile(ping, "(call ping)"), host.compile(ping, "(call ping) (loop $again (br $again))")

def run(guest, called=lambda: None, timeout=None):
    with host.store(timeout=timeout) as store:
        instance = store.linker.instance(API)
        instance.resource(THING)
        instance.function("ping", called, {}, None)
        return store.run_command(guest, "guest")

def times_out():
    try:
        run(endless, timeout=0.3)
    except GuestTimeout:
        os._exit(7)
    os._exit(1)

children = []

def fork():
    child = os.fork()
    if child == 0:
        times_out()
    children.append(child)

way = sys.argv[1]
if way == "after a guest":
    run(quick)
    fork()
elif way == "before any guest":
    fork()
elif way == "while another thread runs one":
    began = threading.Event()
    other = threading.Thread(target=lambda: run(endless, began.set, timeout=3), daemon=True)
    threading.excepthook = lambda _: None
    other.start()
    began.wait()
    for _ in range(20):
        fork()
        time.sleep(0.01)
elif way == "in a host function":
    def called():
        if os.fork() == 0:
            return
        children.append(1)
    try:
        run(endless, called, timeout=0.5)
    except GuestTimeout:
        if not children:
            os._exit(7)
        children[:] = [-1]
for child in children:
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
print("fine", flush=True)
"""


@pytest.mark.parametrize(
    "way", ["before any guest", "after a guest", "while another thread runs one", "in a host function"]
)
def test_timeouts_work_in_the_child_of_a_fork(way):
    in_a_process(FORK, way)


# --- small stacks ---

RECURSION = """
import threading
from tests.wit_host.helpers.host import Host
from wit_host import Engine, GuestTrap

engine = Engine()
guest = engine.compile_module(b'(module (func $f (export "_start") (call $f)))', "guest")
came = []

def run():
    with engine.core_store() as store:
        try:
            store.run_command(guest)
        except (GuestTrap, RuntimeError) as error:
            came.append(str(error))

for size in (128, 256, 512, 640, 768, 1024):
    threading.stack_size(size << 10)
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
assert all("stack" in text for text in came) and len(came) == 6, came
assert "this thread has a stack of 128 KiB, and needs 768 KiB to run a guest" in came[0], came
assert came[-1] == "guest trapped: call stack exhausted", came
print("fine")
"""


def test_a_guest_that_recurses_on_a_small_stack_does_not_end_the_process():
    in_a_process(RECURSION)


# --- things used in the wrong place ---


def test_a_configuration_of_wasi_that_is_used_twice_says_so(host):
    wasi = WasiConfig()
    with host.store(wasi=wasi), pytest.raises(ValueError, match="this WasiConfig belongs to another store"):
        host.store(wasi=wasi)


def test_a_guest_of_another_engine_says_so(host, store):
    guest = Engine().compile(b"(component)", "guest")
    with pytest.raises(ValueError, match="guest was compiled by another Engine; compile it with the one"):
        store.run_command(guest)
    store.linker.instance(API)  # it can still be used


def test_a_core_module_of_another_engine_says_so():
    guest = Engine().compile_module(b"(module)", "guest")
    with Engine().core_store() as store, pytest.raises(ValueError, match="guest was compiled by another Engine"):
        store.instantiate(guest)


# --- outputs ---


def test_what_a_guest_writes_is_all_there_when_its_store_is_closed():
    written = []
    engine, wasi = Engine(), WasiConfig()
    wasi.stdout_custom = written.append
    text = r"""(module
      (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
      (memory (export "memory") 1) (data (i32.const 0) "\10\00\00\00\05\00\00\00") (data (i32.const 16) "hello")
      (func (export "_start") (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))"""
    with engine.core_store(wasi=wasi) as store:
        store.linker.add_wasi()
        store.run_command(engine.compile_module(text.encode()))
    assert b"".join(written) == b"hello"
    assert not capi.is_kept(wasi.outputs[0])


def test_a_guest_larger_than_its_limit_says_so_in_mebibytes(host):
    with host.store(memory=10 << 20) as store, pytest.raises(GuestTrap) as caught:
        host.run(PING, "", lambda i: i.function("ping", print, {}, None), store)
    assert str(caught.value) == (
        "a memory of the guest begins with 12.5 MiB, which is more than it may have: the guest's memories already take "
        "0 B (limit 10 MiB); raise the limit `memory`"
    )
