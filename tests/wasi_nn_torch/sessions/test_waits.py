"""Sessions of guests that wait: for time, for input, and for the reader of their output."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path

import pytest

from tests.wit_host.helpers.processes import in_a_process
from wasi_nn_torch import Engine, GuestCancelled, GuestTimeout, Limits

# The device does not matter here.
pytestmark = [
    pytest.mark.cpu,
    pytest.mark.skipif(os.name == "nt", reason="Windows has no pipes that one can poll"),
]

#: Seconds within which a session that was told to end has ended, on any machine.
SOON = 30
#: Writes 64 KB at a time for ever, and ends with status 3 if that fails.
POUR = r"""(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 2)
  (data (i32.const 0) "\20\00\00\00\00\fa\00\00")
  (func (export "_start")
    (loop $again (br_if $again (i32.eqz (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))
    (call $exit (i32.const 3))))"""
#: Waits for a very long time.
SLEEP = r"""(module
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "\01\00\00\00\00\00\00\00\00\00\00\00\00\00\00\40")
  (func (export "_start") (drop (call $poll (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128)))))"""
#: What the probe says until a pipe is full.
WORDS = json.dumps([["say", "x" * 4000]] * 100)


@pytest.fixture(scope="module")
def engine():
    with Engine() as engine:
        yield engine


@pytest.fixture(scope="module")
def guests(engine, probe_file):
    return {
        "probe": engine.compile(probe_file),
        "pour": engine.compile(POUR.encode()),
        "sleep": engine.compile(SLEEP.encode()),
    }


@pytest.fixture(params=["buffered", "unbuffered"])
def full(request):
    """A file that leads to a pipe that nobody reads."""
    read, write = os.pipe()
    with os.fdopen(write, "wb", buffering=0 if request.param == "unbuffered" else 8192) as file:
        yield file
    os.close(read)


def stop_after(session, seconds):
    timer = threading.Timer(seconds, session.cancel)
    timer.daemon = True
    timer.start()


# --- time ---


@pytest.mark.parametrize(("guest", "args"), [("probe", ["sleep", "600"]), ("sleep", [])])
def test_a_guest_that_sleeps_ends_at_its_deadline(guest, args, engine, guests):
    begin = time.monotonic()
    with (
        engine.session(args=args, limits=Limits(timeout=0.5)) as session,
        pytest.raises(GuestTimeout, match=r"did not end within 0\.5 s"),
    ):
        session.run(guests[guest])
    assert time.monotonic() - begin < SOON


@pytest.mark.parametrize(("guest", "args"), [("probe", ["sleep", "600"]), ("sleep", [])])
def test_a_guest_that_sleeps_can_be_cancelled(guest, args, engine, guests):
    with engine.session(args=args) as session:
        stop_after(session, 0.3)
        with pytest.raises(GuestCancelled):
            session.run(guests[guest])


def test_a_guest_that_sleeps_less_than_it_may_gets_its_sleep(engine, guests):
    begin = time.monotonic()
    with engine.session(args=["sleep", "0.2"], limits=Limits(timeout=60)) as session:
        assert session.run(guests["probe"]) == 0
    assert time.monotonic() - begin >= 0.2


def test_the_neighbour_of_a_guest_that_is_stopped_runs_on(engine, guests):
    said = []

    def run():
        with engine.session(args=["sleep", "1.5"], limits=Limits(timeout=60)) as session:
            said.append(session.run(guests["probe"]))

    neighbour = threading.Thread(target=run)
    neighbour.start()
    for _ in range(3):
        with engine.session(args=["sleep", "600"], limits=Limits(timeout=0.2)) as session, pytest.raises(GuestTimeout):
            session.run(guests["probe"])
    neighbour.join()
    assert said == [0]


# --- output ---


@pytest.mark.parametrize(("guest", "args"), [("probe", ["play", WORDS]), ("pour", [])])
def test_a_guest_that_writes_to_a_full_pipe_ends_at_its_deadline(guest, args, full, engine, guests):
    begin = time.monotonic()
    with (
        engine.session(args=args, stdout=full, limits=Limits(timeout=0.5)) as session,
        pytest.raises(GuestTimeout, match=r"did not end within 0\.5 s"),
    ):
        session.run(guests[guest])
    assert time.monotonic() - begin < SOON


def test_a_guest_that_writes_to_a_full_pipe_can_be_cancelled(full, engine, guests):
    with engine.session(stdout=full) as session:
        stop_after(session, 0.3)
        with pytest.raises(GuestCancelled):
            session.run(guests["pour"])


def test_everything_arrives_that_a_slow_reader_takes(engine, guests):
    read, write = os.pipe()
    heard = []

    def listen():
        with os.fdopen(read, "rb", buffering=0) as file:
            while piece := file.read(10_000):
                heard.append(piece)
                time.sleep(0.01)

    reader = threading.Thread(target=listen)
    reader.start()
    with os.fdopen(write, "wb") as file:
        file.write(b"before\n")
        with engine.session(args=["play", WORDS], stdout=file, limits=Limits(timeout=60)) as session:
            assert session.run(guests["probe"]) == 0
    reader.join()
    first, *rest = b"".join(heard).splitlines()
    assert (first, len(rest), {len(line) for line in rest}) == (b"before", 100, {4002})


def test_an_output_whose_reader_has_gone_is_an_error_for_the_host(engine, guests):
    read, write = os.pipe()
    os.close(read)
    with (
        os.fdopen(write, "wb", buffering=0) as file,
        engine.session(stdout=file) as session,
        pytest.raises(BrokenPipeError),
    ):
        session.run(guests["pour"])


# --- the streams of the process ---

INHERITED = """
import os, sys, time
from wasi_nn_torch import Engine, GuestTimeout, Limits

way, guest = sys.argv[1:]
read, write = os.pipe()
saved = os.dup(1)
os.dup2(*{"input": (read, 0), "output": (write, 1), "gone": (write, 1)}[way])
if way == "gone":
    os.close(read)
with Engine(cache=True) as engine:
    compiled = engine.compile(guest.encode() if guest.startswith("(") else guest)
    for _ in range(2):
        args = ["surroundings"] if way == "input" else []
        with engine.session(args=args, limits=Limits(timeout=0.5 if way != "gone" else 60)) as session:
            try:
                status = session.run(compiled)
            except GuestTimeout:
                assert way != "gone"
            else:
                assert (way, status) == ("gone", 3), status
os.dup2(saved, 1)
print("fine")
"""


def test_a_guest_that_reads_a_silent_input_ends_at_its_deadline_and_so_does_the_process(probe_file):
    in_a_process(INHERITED, "input", str(probe_file))


def test_a_guest_that_fills_the_output_of_the_process_ends_at_its_deadline():
    in_a_process(INHERITED, "output", POUR)


def test_a_guest_learns_that_the_reader_of_the_output_of_the_process_has_gone():
    in_a_process(INHERITED, "gone", POUR)


# --- nothing is left ---


@pytest.mark.skipif(
    not Path("/proc/self").exists(), reason="what a process holds is counted in /proc, which is missing"
)
def test_guests_that_are_stopped_while_they_wait_leave_nothing_behind(full, engine, guests):
    def run():
        with engine.session(stdout=full, limits=Limits(timeout=0.02)) as session, pytest.raises(GuestTimeout):
            session.run(guests["pour"])
        with engine.session(limits=Limits(timeout=0.02)) as session, pytest.raises(GuestTimeout):
            session.run(guests["sleep"])

    def held():
        return [len(os.listdir(f"/proc/self/{each}")) for each in ("task", "fd")]

    for _ in range(20):
        run()
    before, memory = held(), resident()
    for _ in range(80):
        run()
    assert all(now <= then + 2 for now, then in zip(held(), before, strict=True)), (before, held())
    assert resident() - memory < 16 << 20


def resident():
    """The bytes of memory that this process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
