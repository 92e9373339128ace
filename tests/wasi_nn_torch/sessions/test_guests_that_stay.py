"""Guests that are started and called: how often, for how long, how they end, and that nothing of them stays."""

from __future__ import annotations

import gc
import os
import signal
import struct
import subprocess
import sys
import threading
import time
import weakref
from contextlib import suppress
from pathlib import Path

import pytest
import torch

from tests.conftest import ROOT
from tests.guests import witx
from tests.wasi_nn_torch.helpers.isolation import isolated
from tests.wasi_nn_torch.helpers.models import Add, scripted
from tests.wasi_nn_torch.helpers.plugins import PLUGIN, Misfit, Plugin, compiled, with_ping
from tests.wasi_nn_torch.helpers.processes import workers
from tests.wasi_nn_torch.helpers.versions import command as nn_command
from tests.wasi_nn_torch.helpers.versions import guest_of
from wasi_nn_torch import Engine, GuestCancelled, GuestError, GuestTimeout, GuestTrap, Limits, LinkError, per_session
from wit_host import GuestExit, Instance
from wit_host.core import CoreInstance

VERSION = "2024-10-28"
#: A core module that counts, and that grows a memory for bytes.
LIBRARY = b"""(module
  (global $count (mut i32) (i32.const 0))
  (memory (export "memory") 1)
  (func (export "_initialize") (global.set $count (i32.const 10)))
  (func (export "count") (result i32)
    (global.set $count (i32.add (global.get $count) (i32.const 1)))
    (global.get $count))
  (func (export "sum") (param $at i32) (param $length i32) (result i32) (local $sum i32)
    (block $end (loop $next
      (br_if $end (i32.eqz (local.get $length)))
      (local.set $sum (i32.add (local.get $sum) (i32.load8_u (local.get $at))))
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (local.set $length (i32.sub (local.get $length) (i32.const 1)))
      (br $next)))
    (local.get $sum))
  (func (export "loop") (loop $again (br $again))))"""


@pytest.fixture(scope="module")
def engine(device):
    with Engine(device, cache=False) as engine:
        engine.register("add", scripted(Add()))
        yield engine


@pytest.fixture(scope="module")
def guest(engine):
    return compiled(engine)


@pytest.fixture(scope="module")
def forwarding(engine):
    """A guest whose exports are those of wasi-nn, which it gets from the host, and holds for its caller."""
    return engine.compile(guest_of(VERSION).wasm)


@pytest.fixture
def session(engine):
    with engine.session() as session:
        yield session


def start(session, forwarding):
    return session.start(forwarding, guest_of(VERSION).bindings.Guest)


def floats(exports, *values):
    types = guest_of(VERSION).bindings.tensor.TensorType
    return exports.tensor.new_tensor([len(values)], types.FP32, struct.pack(f"<{len(values)}f", *values))


# --- calls ---


def test_a_guest_is_called_many_times_and_keeps_its_state(session, guest):
    plugin = session.start(guest, Plugin)
    assert [plugin.count() for _ in range(5)] == [1, 2, 3, 4, 5]
    assert plugin.add(40, 2) == 42


def test_a_name_tells_guests_of_one_file_apart(engine):
    for name in ("first", "second"):
        guest = engine.compile(PLUGIN, link=with_ping(lambda: None), name=name)
        with engine.session() as session, pytest.raises(GuestTrap, match=f"^{name} trapped"):
            session.start(guest, Plugin).fail()


def test_wasi_nn_is_served_in_every_call(session, engine, forwarding):
    exports = start(session, forwarding)
    with exports.graph.load_by_name("add") as graph:
        context = graph.init_execution_context()
    for value in (1.0, 2.0, 3.0):
        [(_, output)] = context.compute([("x", floats(exports, value))])
        assert struct.unpack("<f", output.data()) == (value + 1,)
    assert session.stats.memory.computes == 3


def test_the_guest_holds_its_tensors_between_calls_until_the_session_is_closed(session, engine, forwarding):
    exports = start(session, forwarding)
    kept = [floats(exports, 1.0, 2.0) for _ in range(3)]
    assert session.stats.memory.live_tensors == 3
    kept.pop().drop()
    assert session.stats.memory.live_tensors == 2
    session.close()
    assert (session.stats.memory.live_tensors, session.stats.memory.live_bytes) == (0, 0)
    del kept


def test_without_a_class_the_instance_is_returned(session, guest):
    assert isinstance(session.start(guest), Instance)


def test_a_core_module_is_initialized_and_called(session, engine):
    library = session.start(engine.compile(LIBRARY))
    assert isinstance(library, CoreInstance)
    assert [library.call("count"), library.call("count")] == [11, 12]


def test_bytes_are_passed_through_the_memory_of_a_core_module(session):
    library = session.start(LIBRARY)
    library.write(100, bytes(range(50)))
    assert library.call("sum", 100, 50) == sum(range(50))
    assert library.read(110, 3) == bytes([10, 11, 12])
    library.write(65536, b"")
    with pytest.raises(ValueError, match="2 bytes at address 65535 are not all in the guest's memory of 65536 bytes"):
        library.write(65535, b"ab")
    with pytest.raises(ValueError, match="1 bytes at address -1 are not all"):
        library.read(-1, 1)


def test_a_core_module_without_a_memory_says_so(session):
    with pytest.raises(LinkError, match="exports no memory of its own as `memory`"):
        session.start(b'(module (func (export "f")))').read(0, 1)


def test_wasi_nn_is_served_to_core_modules(session, engine):
    library = session.start(witx.passing())
    library.write(witx.NAME, b"add")
    assert library.call("load_by_name", witx.NAME, 3, witx.ANSWER) == 0
    [graph] = struct.unpack("<I", library.read(witx.ANSWER, 4))
    assert library.call("init_execution_context", graph, witx.ANSWER) == 0
    assert session.stats.calls["wasi_ephemeral_nn#load_by_name"] == 1


def test_imports_beside_wasi_are_defined_by_the_link_of_the_guest(engine, session):
    pings = []
    session.start(compiled(engine, lambda: pings.append(1)), Plugin).ping()
    assert pings == [1]


def test_imports_of_a_core_module_are_defined_by_its_link(engine, session):
    text = b"""(module (import "own" "double" (func $double (param i32) (result i32)))
      (func (export "quadruple") (param i32) (result i32) (call $double (call $double (local.get 0)))))"""
    guest = engine.compile(text, link=lambda linker: linker.function("own", "double", ["n"], lambda n: 2 * n))
    assert session.start(guest).call("quadruple", 3) == 12


def test_each_session_has_implementations_of_its_own_where_it_asks_for_them(engine):
    class Pings:
        count = 0

        def ping(self):
            self.count += 1

    def link(linker):
        linker.root().function("ping", per_session(lambda data: data).ping, {}, None)

    guest, first, second = engine.compile(PLUGIN, link=link), Pings(), Pings()
    with engine.session(data=first) as one, engine.session(data=second) as other:
        plugin, neighbour = one.start(guest, Plugin), other.start(guest, Plugin)
        plugin.ping()
        neighbour.ping()
        plugin.ping()
    assert (first.count, second.count) == (2, 1)


def test_a_guest_is_linked_once_however_many_threads_start_it(engine):
    linked = []

    def link(linker):
        linked.append(linker)
        time.sleep(0.05)
        linker.root().function("ping", lambda: None, {}, None)

    guest = engine.compile(PLUGIN, link=link)

    def begin():
        with engine.session() as session:
            session.start(guest, Plugin)

    threads = [threading.Thread(target=begin) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(linked) == 1


# --- what cannot be started ---


def test_a_session_has_one_guest(session, guest):
    session.start(guest, Plugin)
    for again in (session.start, session.run):
        with pytest.raises(RuntimeError, match="a session runs or starts one guest, once; make another session"):
            again(guest)


def test_a_closed_session_starts_nothing(engine, guest):
    session = engine.session()
    session.close()
    with pytest.raises(RuntimeError, match="this session is closed; make another session"):
        session.start(guest, Plugin)


@pytest.mark.parametrize("command", [witx.command(""), nn_command("2024-08-19")], ids=["core module", "component"])
def test_a_command_is_not_started(engine, command):
    with engine.session() as session:
        with pytest.raises(LinkError, match=r"the guest is a command, which runs and ends; run it with `session\.run`"):
            session.start(command)
        assert session.ended == "link-error"


def test_a_class_that_does_not_fit_is_a_link_error_and_ends_the_session(engine, session, guest):
    with pytest.raises(LinkError, match="the guest does not export missing, which this host calls"):
        session.start(guest, Misfit)
    assert session.ended == "link-error"
    with pytest.raises(RuntimeError, match="make another session"):
        session.start(guest, Plugin)


def test_a_missing_import_is_a_link_error(engine, session):
    with pytest.raises(LinkError, match="ping"):
        session.start(PLUGIN, Plugin)


def test_an_exception_of_the_class_comes_out_and_frees_everything(engine, session, forwarding):
    def cls(instance):
        floats(guest_of(VERSION).bindings.Guest(instance), 1.0)
        raise KeyError("not today")

    with pytest.raises(KeyError, match="not today"):
        session.start(forwarding, cls)
    assert session.ended == "host-error"
    assert session.stats.memory.live_tensors == 0


def test_a_guest_that_traps_while_it_starts_says_so(engine, session):
    with pytest.raises(GuestTrap, match="unreachable"):
        session.start(b'(module (func (export "_initialize") unreachable))')
    assert session.ended == "trap"


def test_the_start_has_the_time_of_a_call(engine):
    with engine.session(limits=Limits(timeout=0.2)) as session:
        with pytest.raises(GuestTimeout, match=r"did not start within 0\.2 s; raise the limit `timeout`"):
            session.start(b'(module (func (export "_initialize") (loop $again (br $again))))')
        assert session.ended == "timeout"


# --- how they end ---


def test_a_trap_ends_the_guest_and_the_next_call_says_why(session, guest):
    plugin = session.start(guest, Plugin)
    with pytest.raises(GuestTrap, match=r"^the guest trapped: wasm `unreachable` instruction executed$"):
        plugin.fail()
    why = r"^the guest cannot be called any more: it trapped before \(.*unreachable.*\); start it in a new session$"
    for _ in range(2):
        with pytest.raises(GuestTrap, match=why):
            plugin.count()
    assert session.ended == "trap"


@pytest.mark.usefixtures("no_gc")
def test_a_trap_frees_what_the_guest_held_at_once(engine, forwarding):
    with engine.session(limits=Limits(resources=3)) as session:
        exports = start(session, forwarding)
        kept = [floats(exports, *([1.0] * 1000)) for _ in range(3)]
        assert session.stats.memory.live_tensors == 3
        with pytest.raises(GuestTrap, match="the limit `resources`"):
            floats(exports, 1.0)
        assert (session.stats.memory.live_tensors, session.stats.memory.live_bytes) == (0, 0)
        for each in kept:
            each.drop()


@pytest.mark.usefixtures("no_gc")
@pytest.mark.parametrize("end", ["close", "trap", "drop everything"])
def test_the_end_of_the_guest_frees_device_memory_to_the_byte(engine, forwarding, allocated, end):
    before = allocated()
    session = engine.session(limits=Limits(resources=12))
    exports = start(session, forwarding)
    with exports.graph.load_by_name("add") as graph:
        context = graph.init_execution_context()
    outputs = [context.compute([("x", floats(exports, *([1.0] * 5000)))])[0][1] for _ in range(3)]
    assert allocated() >= before + 3 * 20000
    if end == "close":
        session.close()
    elif end == "trap":
        with pytest.raises(GuestTrap, match="the limit `resources`"):
            outputs += [floats(exports, 1.0) for _ in range(20)]
    else:
        del session, exports, graph, context, outputs
    assert allocated() == before


def test_the_error_of_a_call_ends_with_the_last_refusal(session):
    text = b"""(module
      (import "wasi_ephemeral_nn" "load_by_name" (func $load (param i32 i32 i32) (result i32)))
      (memory (export "memory") 1) (data (i32.const 64) "none")
      (func (export "fail") (drop (call $load (i32.const 64) (i32.const 4) (i32.const 0))) unreachable))"""
    library = session.start(text)
    with pytest.raises(GuestTrap, match=r"unreachable.*; the last error that it was given: not-found: .*`none`"):
        library.call("fail")


def test_an_exit_in_a_call_ends_the_guest(session, guest):
    plugin = session.start(guest, Plugin)
    with pytest.raises(GuestExit, match="exited with status 1"):
        plugin.exit(1)
    with pytest.raises(
        GuestError, match="cannot be called any more: the guest exited with status 1; start it in a new"
    ):
        plugin.count()
    assert session.ended == "exit"


def test_an_exit_of_a_core_module_ends_it(session):
    text = b"""(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
      (memory (export "memory") 1) (func (export "f") (call $exit (i32.const 3))))"""
    library = session.start(text)
    with pytest.raises(GuestExit) as caught:
        library.call("f")
    assert caught.value.status == 3
    with pytest.raises(GuestError, match="exited with status 3"):
        library.call("f")


def test_an_exception_of_a_host_function_passes_through_and_ends_the_guest(engine, session):
    def ping():
        raise KeyError("mine")

    plugin = session.start(compiled(engine, ping), Plugin)
    with pytest.raises(KeyError, match="mine"):
        plugin.ping()
    with pytest.raises(GuestError, match="cannot be called any more: it was stopped before by KeyError; start it in"):
        plugin.count()
    assert session.ended == "host-error"


def test_a_wrong_argument_does_not_end_the_guest(session, guest):
    plugin = session.start(guest, Plugin)
    with pytest.raises(TypeError):
        plugin.add("a", 1)
    assert plugin.add(1, 1) == 2
    assert session.ended is None


# --- time ---


def test_each_call_has_the_whole_time(engine, guest):
    with engine.session(limits=Limits(timeout=0.6)) as session:
        plugin = session.start(compiled(engine, lambda: time.sleep(0.25)), Plugin)
        for _ in range(4):
            plugin.ping()
        time.sleep(0.7)
        assert plugin.count() == 1
        with pytest.raises(GuestTimeout, match=r"did not return from loop within 0\.6 s; raise the limit `timeout`"):
            plugin.loop()
        with pytest.raises(GuestError, match="did not return from loop within"):
            plugin.count()
        assert session.ended == "timeout"


def test_a_call_is_cancelled_from_another_thread(engine, session, guest):
    plugin = session.start(guest, Plugin)
    threading.Timer(0.2, session.cancel).start()
    with pytest.raises(GuestCancelled):
        plugin.loop()
    with pytest.raises(GuestError, match="cannot be called any more: the guest was cancelled; start it in a new"):
        plugin.count()
    assert session.ended == "cancelled"


def test_a_session_that_is_cancelled_between_calls_calls_its_guest_no_more(engine, session, guest):
    plugin = session.start(guest, Plugin)
    session.cancel()
    assert session.ended == "cancelled"
    with pytest.raises(GuestCancelled, match="was cancelled before it was called"):
        plugin.count()


def test_a_signal_ends_a_call(engine, session, guest):
    plugin = session.start(guest, Plugin)
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        plugin.loop()
    assert session.ended == "interrupted"


# --- misuse ---


def test_a_call_after_close_says_so(engine, guest):
    with engine.session() as session:
        plugin = session.start(guest, Plugin)
        library = engine.session()
        module = library.start(LIBRARY)
    library.close()
    with pytest.raises(ValueError, match=r"^the session of this guest is closed$"):
        plugin.count()
    for use in (lambda: module.call("count"), lambda: module.read(0, 1)):
        with pytest.raises(ValueError, match=r"^the session of this guest is closed$"):
            use()


def test_two_threads_cannot_call_one_guest(engine, session):
    inside, go_on = threading.Event(), threading.Event()
    plugin = session.start(compiled(engine, lambda: (inside.set(), go_on.wait(30))[2:] or None), Plugin)
    thread = threading.Thread(target=plugin.ping)
    thread.start()
    inside.wait(30)
    try:
        with pytest.raises(RuntimeError, match="nor can two threads call one guest"):
            plugin.count()
        with pytest.raises(RuntimeError, match="a session cannot be closed while its guest runs; call `cancel` first"):
            session.close()
    finally:
        go_on.set()
        thread.join()
    assert plugin.count() == 1, "the refused `close` changed nothing"


def test_a_host_function_cannot_call_or_close_the_guest_that_called_it(engine, session):
    plugins, refusals = [], []

    def ping():
        for act in (plugins[0].count, session.close, lambda: session.start(LIBRARY)):
            with pytest.raises(RuntimeError) as caught:
                act()
            refusals.append(str(caught.value).partition(";")[0])

    plugins.append(session.start(compiled(engine, ping), Plugin))
    plugins[0].ping()
    assert refusals == [
        "a host function cannot call the guest that called it, nor can two threads call one guest",
        "a session cannot be closed while its guest runs",
        "a session runs or starts one guest, once",
    ]
    assert plugins[0].count() == 1


def test_a_host_function_can_call_another_guest(engine, session, guest):
    with engine.session() as other:
        counter = other.start(guest, Plugin)
        plugin = session.start(compiled(engine, lambda: counter.count() and None), Plugin)
        plugin.ping()
        plugin.ping()
        assert counter.count() == 3


def test_closing_from_another_thread_while_calls_go_on_is_refused_or_final(engine, guest):
    """Whatever the moment, a call either returns or says that the session is closed."""
    for _ in range(8):
        session = engine.session()
        plugin = session.start(guest, Plugin)
        stopped = []

        def call_on(plugin=plugin, stopped=stopped):
            try:
                while True:
                    plugin.count()
                    time.sleep(0)  # so that the other thread also gets its turn between two calls
            except ValueError as error:
                stopped.append(str(error))

        thread = threading.Thread(target=call_on)
        thread.start()
        while thread.is_alive():
            try:
                session.close()
                break
            except RuntimeError:
                time.sleep(0)
        thread.join(30)
        assert stopped == ["the session of this guest is closed"]


# --- figures ---


def test_calls_and_their_time_are_counted(engine):
    with Engine(cache=False) as engine:
        with engine.session() as session:
            plugin = session.start(compiled(engine, lambda: time.sleep(0.05)), Plugin)
            assert (session.stats.guest_calls, session.stats.guest_seconds) == (0, 0.0)
            assert session.stats.run_seconds > 0
            for _ in range(3):
                plugin.ping()
            with pytest.raises(TypeError):
                plugin.add("a", 1)
            stats = session.stats
            assert stats.guest_calls == 4
            assert 0.15 <= stats.guest_seconds < 10
            assert stats.calls["ping"] == 3
            assert (engine.stats.running, engine.stats.ended, engine.stats.guest_calls) == (1, {}, 0)
        assert (engine.stats.running, engine.stats.ended, engine.stats.guest_calls) == (0, {"success": 1}, 4)
        assert engine.stats.guest_seconds == session.stats.guest_seconds
        assert session.ended == "success"


def test_an_engine_counts_how_its_guests_ended(engine):
    ends = {
        "trap": lambda plugin, session: plugin.fail(),
        "exit": lambda plugin, session: plugin.exit(0),
        "timeout": lambda plugin, session: plugin.loop(),
        "cancelled": lambda plugin, session: session.cancel(),
    }
    with Engine(cache=False) as engine:
        guest = compiled(engine)
        for end in ends.values():
            with engine.session(limits=Limits(timeout=0.2)) as session:
                plugin = session.start(guest, Plugin)
                with suppress(GuestError):
                    end(plugin, session)
                assert engine.stats.running == 1, "until it is closed"
        assert engine.stats.running == 0
        assert engine.stats.ended == dict.fromkeys(ends, 1)


# --- what is left ---


@pytest.mark.usefixtures("no_gc")
def test_dropping_the_objects_after_the_session_was_closed_is_harmless(engine, forwarding):
    with engine.session() as session:
        exports = start(session, forwarding)
        tensor = floats(exports, 1.0)
        graph = exports.graph.load_by_name("add")
    graph.drop()
    tensor.drop()
    with pytest.raises(ValueError, match="the session of this guest is closed"):
        floats(exports, 1.0)
    gone = weakref.ref(exports)
    del tensor, graph, exports
    assert gone() is None


@pytest.mark.usefixtures("no_gc")
def test_a_session_that_nobody_closed_is_gone_with_the_last_reference(forwarding, engine):
    before = engine.stats
    session = engine.session()
    exports = start(session, forwarding)
    tensor = floats(exports, 1.0)
    store = weakref.ref(exports.tensor._instance.runner.store)
    ledger = weakref.ref(session._ledger)
    del session
    assert len(tensor.data()) == 4, "the guest can be used while any object of it is left"
    del tensor, exports
    assert (store(), ledger()) == (None, None)
    after = engine.stats
    assert after.running == before.running
    assert after.ended["success"] == before.ended.get("success", 0) + 1


@pytest.mark.cpu
def test_a_session_that_nobody_closed_does_not_delay_the_end_of_the_program():
    program = """
import sys
from tests.wasi_nn_torch.helpers.plugins import *
from wasi_nn_torch import Engine
engine = Engine(cache=False)
session = engine.session(stdout=lambda data: None)
plugin = session.start(compiled(engine), Plugin)
print(plugin.count(), flush=True)
import atexit, time
began = time.monotonic()
atexit._run_exitfuncs()
print(time.monotonic() - began < 1.5)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "1\nTrue\n", "")


# --- isolated models ---


@pytest.fixture(scope="module")
def isolating(device):
    with Engine(device, cache=False, **isolated(device)) as engine:
        yield engine


def own_context(exports, model=None):
    bindings = guest_of(VERSION).bindings
    graph = exports.graph.load(
        [scripted(model or Add())], bindings.graph.GraphEncoding.PYTORCH, bindings.graph.ExecutionTarget.CPU
    )
    with graph:
        return graph.init_execution_context()


def zombies():
    """The ended workers that their server still keeps in mind."""
    servers = [int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]
    children = [each for pid in servers for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return [pid for pid in children if " Z " in Path(f"/proc/{pid}/stat").read_text()]


def computed(exports, context, value):
    [(_, output)] = context.compute([("x", floats(exports, value))])
    with output:
        return struct.unpack("<f", output.data())[0]


def test_an_isolated_model_stays_for_the_whole_session(isolating):
    guest = isolating.compile(guest_of(VERSION).wasm)
    before = len(workers(os.getpid()))
    with isolating.session(limits=Limits(timeout=60)) as session:
        exports = start(session, guest)
        context = own_context(exports)
        assert [computed(exports, context, n) for n in (1.0, 2.0)] == [2.0, 3.0]
        assert len(workers(os.getpid())) == before + 1
    assert len(workers(os.getpid())) == before


def test_an_isolated_model_waits_between_calls_longer_than_a_call_may_take(isolating):
    guest = isolating.compile(guest_of(VERSION).wasm)
    with isolating.session(limits=Limits(timeout=3)) as session:
        exports = start(session, guest)
        context = own_context(exports)
        time.sleep(3.2)
        assert computed(exports, context, 1.0) == 2.0


def test_the_end_of_the_guest_ends_its_isolated_models_at_once(isolating):
    guest = isolating.compile(guest_of(VERSION).wasm)
    before = len(workers(os.getpid()))
    with isolating.session(limits=Limits(resources=5)) as session:
        exports = start(session, guest)
        own_context(exports)
        with pytest.raises(GuestTrap, match="the limit `resources`"):
            _ = [floats(exports, 1.0) for _ in range(10)]
        assert len(workers(os.getpid())) == before


class Endless(torch.nn.Module):
    """Never returns."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for _ in range(1 << 60):
            x = x + 1
        return x


def test_an_isolated_model_that_computes_too_long_ends_at_the_time_of_a_later_call(isolating):
    guest = isolating.compile(guest_of(VERSION).wasm)
    before = len(workers(os.getpid()))
    with isolating.session(limits=Limits(timeout=2)) as session:
        exports = start(session, guest)
        context = own_context(exports, Endless())
        began = time.monotonic()
        with pytest.raises(GuestTimeout, match=r"did not return from .*compute within 2 s"):
            computed(exports, context, 1.0)
        assert time.monotonic() - began < 8, "not only when its processor time is over"
        assert len(workers(os.getpid())) == before


class Long(torch.nn.Module):
    """Takes some hundredths of a second of processor time."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.ones(100, 100)
        for _ in range(200):
            y = (y @ y).clamp(-1.0, 1.0)
        return x + y.min()


@pytest.mark.cpu
def test_the_processor_time_of_an_isolated_model_is_for_each_call(isolating, monkeypatch):
    monkeypatch.setattr("wasi_nn_torch.pytorch.isolation.client._EXTRA_SECONDS", 1)
    guest = isolating.compile(guest_of(VERSION).wasm)
    before = set(workers(os.getpid()))
    of_one_call = 1 + 2 * torch.get_num_threads()
    with isolating.session(limits=Limits(timeout=2)) as session:
        exports = start(session, guest)
        context = own_context(exports, Long())
        [worker] = set(workers(os.getpid())) - before
        while time.clock_gettime((~worker << 3) | 2) < of_one_call + 2:
            assert computed(exports, context, 1.0) == 2.0


def test_the_worker_of_a_session_that_nobody_closed_ends(isolating):
    guest = isolating.compile(guest_of(VERSION).wasm)
    before = len(workers(os.getpid()))
    session = isolating.session()
    exports = start(session, guest)
    context = own_context(exports)
    assert len(workers(os.getpid())) == before + 1
    del session, exports, context
    gc.collect()
    end = time.monotonic() + 30
    while len(workers(os.getpid())) > before and time.monotonic() < end:
        time.sleep(0.01)
    assert len(workers(os.getpid())) == before
    with isolating.session() as session:
        own_context(start(session, guest)).drop()
    assert zombies() == []


# --- forks ---


@pytest.mark.cpu
def test_a_child_makes_sessions_of_its_own_and_leaves_those_of_its_parent_alone():
    program = """
import os, sys, warnings
warnings.simplefilter("ignore")
from tests.wasi_nn_torch.helpers.plugins import *
from wasi_nn_torch import Engine, Limits, GuestTimeout
engine = Engine(cache=False)
guest = compiled(engine)
session = engine.session(stdout=lambda data: None)
plugin = session.start(guest, Plugin)
plugin.count()
child = os.fork()
if not child:
    with engine.session(limits=Limits(timeout=0.3)) as own:
        theirs = own.start(guest, Plugin)
        assert theirs.count() == 1
        try:
            theirs.loop()
        except GuestTimeout:
            print("child: timeout", flush=True)
    sys.exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
print("parent:", plugin.count(), flush=True)
session.close()
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "child: timeout\nparent: 2\n", "")
