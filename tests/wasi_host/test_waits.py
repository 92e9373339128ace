"""Guests that wait in Python: they get what they wait for, and can be stopped."""

from __future__ import annotations

import gc
import signal
import threading
import time
import weakref

import pytest

import wasi_host
from tests.wit_host.helpers.waiting import Waiting, blocking, component, nested
from tests.wit_host.test_waits import LONG, SHORT, SOON, Alarm, on_posix
from wasi_host import Files, Pipe, TestClock, World
from wit_host import GuestCancelled, GuestTimeout, GuestTrap, Linker, Signal, pause


@pytest.fixture(scope="module", params=["component", "nested"])
def guest(request, engine):
    make = {"component": component, "nested": nested}[request.param]
    return engine.compile(make(), buffers=wasi_host.BUFFERS)


def started(store, guest, world):
    world.add_to_linker(store.linker)
    return Waiting(store.instantiate(guest))


def test_a_guest_gets_what_it_waits_for(engine, guest):
    world = World(stdin=b"some bytes")
    with engine.store(timeout=60) as store:
        call = started(store, guest, world)
        begin = time.monotonic()
        call("sleep", SHORT)
        assert time.monotonic() - begin >= SHORT / 1e9, "it slept less than it wanted"
        assert call("first", SHORT, LONG) == 0b101, "the first pollable is in the list twice"
        assert call("first", LONG, 0) == 0b010
        assert call("first", 0, 0) == 0b111
        assert not call("is-ready", LONG)
        assert (call("read", 4), call("skip", 3), call("read", 100), call("read", 1)) == (4, 3, 3, -1)
        assert world.open_handles == 0


def test_a_guest_that_waits_for_nothing_traps(engine, guest):
    with engine.store() as store, pytest.raises(GuestTrap, match="empty poll list"):
        started(store, guest, World())("nothing")


@pytest.mark.parametrize("wait", [("sleep", LONG), ("first", LONG, LONG), ("read", 1), ("skip", 1)])
def test_a_guest_that_waits_ends_at_its_deadline(wait, engine, guest):
    begin = time.monotonic()
    world = World(stdin=Pipe())
    with engine.store(timeout=0.3) as store:
        call = started(store, guest, world)
        with pytest.raises(GuestTimeout, match=r"within 0\.3 s"):
            call(*wait)
        assert world.open_handles == 0, "what it had is given back at once"
    assert time.monotonic() - begin < SOON


@pytest.mark.parametrize("wait", [("sleep", LONG), ("read", 1)])
def test_a_guest_that_waits_can_be_cancelled(wait, engine, guest):
    with engine.store() as store:
        call = started(store, guest, World(stdin=Pipe()))
        threading.Timer(0.1, store.cancel).start()
        with pytest.raises(GuestCancelled):
            call(*wait)


@on_posix
def test_a_handler_of_signals_ends_a_guest_that_waits(engine, guest):
    def ring(number, frame):
        raise Alarm

    before = signal.signal(signal.SIGALRM, ring)
    try:
        with engine.store() as store:
            call = started(store, guest, World())
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            with pytest.raises(Alarm):
                call("sleep", LONG)
    finally:
        signal.signal(signal.SIGALRM, before)


def test_a_command_may_block_with_a_part_of_an_interface(engine):
    guest = engine.compile(blocking(), buffers=wasi_host.BUFFERS)
    with engine.store(timeout=0.3) as store:
        World().add_to_linker(store.linker)
        with pytest.raises(GuestTimeout):
            store.run_command(guest)


def test_a_guest_is_not_rewritten_to_wait_in_slices(engine):
    with engine.store() as store:
        started(store, engine.compile(component(), buffers=wasi_host.BUFFERS), World())("sleep", 0)
        assert "wasi:io/poll@0.2.1" not in store.state.calls
        assert all("@0.2.0#" in name for name in store.state.calls)


def test_a_pipe_wakes_a_guest_that_reads(engine, guest):
    pipe = Pipe()
    with engine.store(timeout=SOON) as store:
        call = started(store, guest, World(stdin=pipe))
        writer = threading.Timer(0.1, lambda: pipe.write(b"later"))
        writer.start()
        assert call("read", 100) == 5
        writer.join()
        threading.Timer(0.1, pipe.finish).start()
        assert call("read", 100) == -1


def test_a_clock_that_jumps_lets_no_guest_wait(engine, guest):
    clock = TestClock()
    with engine.store(timeout=SOON) as store:
        call = started(store, guest, World(clock=clock))
        call("sleep", 3_600_000_000_000)
        assert clock.elapsed == 3600
        assert call("first", 7_000_000_000, 5_000_000_000) == 0b010, "it jumps to the first moment only"
        assert clock.elapsed == 3605


def test_no_duration_leads_beyond_the_last_moment(engine, guest):
    with engine.store(timeout=SOON) as store:
        world = World(clock=TestClock())
        call = started(store, guest, world)
        call("sleep", (1 << 64) - 1)
        call("sleep", (1 << 64) - 1)
        assert world.hosts.monotonic_clock.now() == (1 << 64) - 1


@pytest.mark.parametrize("clock", [None, TestClock(jumps=False)])
def test_a_guest_that_waits_as_long_as_it_can_is_cancelled(clock, engine, guest):
    with engine.store() as store:
        call = started(store, guest, World(clock=clock))
        threading.Timer(0.1, store.cancel).start()
        with pytest.raises(GuestCancelled):
            call("sleep", (1 << 64) - 1)


def test_a_test_moves_the_clock_of_a_guest(engine, guest):
    clock = TestClock(jumps=False)
    with engine.store(timeout=SOON) as store:
        call = started(store, guest, World(clock=clock))
        assert not call("is-ready", 1)
        threading.Timer(0.1, clock.advance, [59.0]).start()
        threading.Timer(0.2, clock.advance, [1.0]).start()
        call("sleep", 60_000_000_000)
        assert clock.elapsed == 60
    with pytest.raises(ValueError, match="cannot go back"):
        clock.advance(-1)


def test_many_stores_share_one_linker(engine):
    guest = engine.compile(component(), buffers=wasi_host.BUFFERS)
    linker = Linker()
    wasi_host.add_to_linker(linker, lambda data: data)
    linked = engine.link(guest, linker)
    worlds = [World(stdin=bytes(length)) for length in (1, 2, 3)]
    for world in worlds:
        with engine.store(data=world) as store:
            assert Waiting(store.instantiate(linked))("read", 100) == worlds.index(world) + 1
        assert world.open_handles == 0


def test_nothing_of_a_world_stays_after_its_guest(engine, guest):
    gc.disable()
    try:
        world = World(stdin=Pipe(), directories={"/d": Files({"a": b""})})
        with engine.store(timeout=0.05) as store:
            call = started(store, guest, world)
            with pytest.raises(GuestTimeout):
                call("read", 1)
        freed = weakref.ref(world)
        del call, store, world
        assert freed() is None, "reference counting frees it"
    finally:
        gc.enable()


def test_pause_returns_when_there_is_something_outside_a_guest_too():
    left = iter([0.01, None, 0])
    signal_ = Signal()
    threading.Timer(0.2, signal_.notify).start()
    pause(lambda: next(left), [signal_])
    assert not list(left)
