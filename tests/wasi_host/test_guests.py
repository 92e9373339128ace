"""Real guests: a Python program, which does on `wasi_host` what it does on the engine's WASI."""

from __future__ import annotations

import json
import threading
import time

import pytest

from tests.wasi_host.helpers.attempts import ATTEMPTS
from tests.wasi_host.helpers.probe import NoGraphs
from tests.wasi_host.helpers.trees import in_memory, on_disk, open_files
from tests.wit_host.test_waits import SOON
from wasi_host import Files, Folder, Limits, Pipe, TestClock, World
from wasi_nn_bindings import v2024_10_28 as nn
from wit_host import GuestCancelled, GuestLimit, GuestTimeout, GuestTrap, WasiConfig


@pytest.fixture(scope="module")
def on_the_engine(engine, probe_file):
    """Runs the guest on the engine's WASI; returns its status, its output and its errors."""
    guest = engine.compile(probe_file, buffers=nn.BUFFERS, optimize=False)

    def run(arguments, env=(), stdin=b"", folder=None, writable=True):
        wasi, output, errors = WasiConfig(), bytearray(), bytearray()
        wasi.argv, wasi.env, wasi.stdin_bytes = arguments, list(env), stdin
        wasi.stdout_custom, wasi.stderr_custom = output.extend, errors.extend
        if folder is not None:
            wasi.preopen_dir(str(folder), "/d", fs_mutable=writable)
        with engine.store(timeout=60, wasi=wasi) as store:
            store.linker.add_wasi()
            nn.add_to_linker(store.linker, NoGraphs(), NoGraphs())
            try:
                status = store.run_command(guest)
            except GuestTrap:
                status = "trap"
        return status, bytes(output), bytes(errors)

    return run


@pytest.mark.parametrize(
    ("arguments", "env", "stdin"),
    [
        (["probe", "surroundings", "--x", "", "ü 🙂"], {"A": "b", "EMPTY": "", "Ü": "ß"}, b"some\ninput"),
        (["probe", "speak", "a word"], {}, b""),
        (["probe", "leave_with", "0"], {}, b""),
        (["probe", "leave_with", "3"], {}, b""),
        (["probe", "refuse"], {}, b""),
        (["probe", "trap"], {}, b""),
    ],
    ids=lambda value: value[1] if isinstance(value, list) else "",
)
def test_a_guest_does_what_it_does_on_the_engine(arguments, env, stdin, probe, on_the_engine):
    world = World(arguments=arguments, env=env, stdin=stdin)
    try:
        status = probe.run(world)
    except GuestTrap:
        status = "trap"
    assert (status, world.output, world.errors) == on_the_engine(arguments, env.items(), stdin)
    assert world.open_handles == 0


@pytest.mark.parametrize("writable", [True, False], ids=["writable", "read-only"])
def test_a_guest_gets_the_same_answers_about_files(writable, probe, on_the_engine, tmp_path):
    for name in ("theirs", "ours"):
        on_disk(tmp_path / name).root.drop()
    arguments = ["probe", "execute", ATTEMPTS]
    status, output, errors = on_the_engine(arguments, folder=tmp_path / "theirs" / "d", writable=writable)
    assert status == 0, errors.decode()
    expected = json.loads(output)
    assert len(expected) > 140
    memory = in_memory(writable)
    memory.root.drop()
    before = open_files()
    for given in (Folder(tmp_path / "ours" / "d", writable=writable), memory.given):
        outcomes = probe.execute(ATTEMPTS, directories={"/d": given})
        assert _different(outcomes, expected) == {}
    assert open_files() == before


def _different(outcomes, expected):
    return {name: (outcomes.get(name), answer) for name, answer in expected.items() if outcomes.get(name) != answer}


def test_a_world_shows_a_test_what_a_guest_did(probe):
    files = Files({"in.txt": b"text"}, writable=True)
    code = "open('/d/out.txt', 'w').write(open('/d/in.txt').read().upper()); answer(1)"
    assert probe.execute(code, directories={"/d": files}) == 1
    assert files.read("out.txt") == b"TEXT"


def test_a_run_can_be_repeated_exactly(probe):
    code = "import random, time; time.sleep(3600); answer([random.random(), time.time(), time.monotonic()])"
    first, second, other = (probe.execute(code, clock=TestClock(wall=1e9), seed=seed) for seed in (7, 7, 8))
    assert first == second
    assert first[0] != other[0]
    assert first[1:] == [1e9 + 3600, 3600]


@pytest.mark.parametrize("arguments", [["sleep", "1000"], ["surroundings"], ["loop"]])
def test_a_guest_that_waits_or_computes_ends_in_time(arguments, probe):
    begin = time.monotonic()
    world = World(arguments=["probe", *arguments], stdin=Pipe())
    with pytest.raises(GuestTimeout):
        probe.run(world, timeout=0.5)
    assert time.monotonic() - begin < SOON
    assert world.open_handles == 0


def test_a_guest_that_waits_can_be_cancelled(probe):
    world = World(arguments=["probe", "surroundings"], stdin=Pipe())
    with pytest.raises(GuestCancelled):
        probe.run(world, begun=lambda store: threading.Timer(0.3, store.cancel).start())
    assert world.open_handles == 0


def test_the_output_of_a_guest_can_be_read_while_it_runs(probe):
    pipe = Pipe(capacity=100)
    world = World(arguments=["probe", "execute", "for _ in range(100): print('x' * 99)"], stdout=pipe)

    def run():
        with world:
            probe.run(world)

    thread = threading.Thread(target=run)
    thread.start()
    received = b""
    while piece := pipe.read(1000, timeout=SOON):
        received += piece
    thread.join(SOON)
    assert received == (b"x" * 99 + b"\n") * 100


def test_output_that_nobody_reads_stops_a_guest_at_its_deadline(probe):
    world = World(arguments=["probe", "execute", "print('x' * 1000)"], stdout=Pipe(capacity=100))
    with pytest.raises(GuestTimeout):
        probe.run(world, timeout=0.5)


def test_a_guest_that_writes_too_much_ends(probe):
    world = World(arguments=["probe", "execute", "while True: print('x' * 1000)"], limits=Limits(output=10_000))
    with pytest.raises(GuestLimit, match="more than 10000 bytes of output"):
        probe.run(world)
    assert len(world.output) == 10_000


def test_a_guest_that_opens_too_many_files_gets_an_error(probe):
    code = """
kept = []
try:
    while True:
        kept.append(open('/d/a'))
except OSError as error:
    answer([len(kept), error.strerror])
"""
    answer = probe.execute(code, directories={"/d": Files({"a": b""})}, limits=Limits(descriptors=50))
    assert answer == [49, "Out of memory"]


def test_an_exception_of_a_receiver_is_that_of_the_run(probe):
    def receive(data):
        raise KeyError("the receiver")

    with pytest.raises(KeyError, match="the receiver"):
        probe.run(World(arguments=["probe", "speak", "x"], stdout=receive))
