"""Compiling in processes of their own: the same results, limits of time and memory, and nothing left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from functools import cache
from pathlib import Path

import pytest
import wasmtime

from wasi_nn_torch import CompileLimits, Engine, InvalidGuest
from wasi_nn_torch.sessions import compiling
from wasi_nn_torch.sessions.cache import user_cache_directory
from wasi_nn_torch.sessions.compiling import ProcessCompiler, why_not_limited
from wit_host import CompileTask, precompile

pytestmark = [
    pytest.mark.cpu,
    pytest.mark.skipif(bool(why_not_limited()), reason=f"no processes of their own: {why_not_limited()}"),
]

#: Far more than any of these guests takes, on a busy machine.
GENEROUS = 60.0

MODULE = b'(module (memory (export "memory") 1) (func (export "_start")))'
COMPONENT = b"""
(component
  (core module $m (func (export "run") (result i32) (i32.const 0)))
  (core instance $i (instantiate $m))
  (func $run (result (result)) (canon lift (core func $i "run")))
  (instance (export "wasi:cli/run@0.2.0") (export "run" (func $run))))
"""


# --- guests that take long to compile ---


@cache  # a million functions have the same size
def number(value):
    """An unsigned LEB128 number."""
    result = bytearray()
    while value > 0x7F:
        result.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*result, value])


def section(kind, body):
    return bytes([kind]) + number(len(body)) + body


def module(*bodies):
    """A module of functions without parameters and results, given by the bytes of their bodies."""
    count = number(len(bodies))
    code = b"".join(number(len(body)) + body for body in bodies)
    types = section(1, b"\x01\x60\x00\x00") + section(3, count + bytes(len(bodies)))
    return b"\0asm\x01\0\0\0" + types + section(10, count + code)


def nested_loops(depth):
    return b"\x00" + b"\x03\x40" * depth + b"\x0b" * depth + b"\x0b"


def live_locals(count, loops):
    """Each local is changed before and inside the loops."""
    changes = b"".join(b"\x20" + number(i) + b"\x41\x01\x6a\x21" + number(i) for i in range(count))
    return b"\x01" + number(count) + b"\x7f" + changes + b"\x03\x40" * loops + changes + b"\x0b" * loops + b"\x0b"


#: Guests that take minutes, or gigabytes, without limits.
SLOW = {
    "loops inside each other": module(nested_loops(100_000)),
    "many such functions": module(*[nested_loops(9_000)] * 100),
    "locals that live in all loops": module(live_locals(20_000, 200)),
}
#: Guests that take more than 128 MiB at once.
LARGE = {
    "loops inside each other": module(nested_loops(100_000)),
    "a million functions": module(*[b"\x00\x0b"] * 1_000_000),
}


def workers():
    """The processes that the server of this process has forked."""
    server = compiling.shared_workers(compiling._WORK, compiling._PRELOAD)._server
    if server is None:
        return set()
    return set(Path(f"/proc/{server._process.pid}/task/{server._process.pid}/children").read_text().split())


@pytest.fixture
def engine_with():
    """Make engines without a cache."""
    engines = []

    def make(**limits):
        engines.append(Engine("cpu", cache=False, compile_limits=CompileLimits(**{"seconds": GENEROUS, **limits})))
        return engines[-1]

    yield make
    for engine in engines:
        engine.close()


# --- limits ---


@pytest.mark.parametrize("guest", SLOW.values(), ids=SLOW)
def test_a_guest_that_takes_too_long_is_refused(engine_with, guest):
    engine, started = engine_with(seconds=0.5, memory=4 << 30), time.monotonic()
    with pytest.raises(InvalidGuest) as caught:
        engine.compile(guest)
    assert time.monotonic() - started < GENEROUS
    assert str(caught.value) == (
        "the guest takes more than 0.5 s to compile; if you trust it, raise the limit: `--compile-timeout`, "
        "in Python `Engine(compile_limits=CompileLimits(seconds=…))`"
    )
    assert workers() == set()


@pytest.mark.parametrize("guest", LARGE.values(), ids=LARGE)
def test_a_guest_that_needs_too_much_memory_is_refused(engine_with, guest):
    engine = engine_with(memory=128 << 20)
    with pytest.raises(InvalidGuest) as caught:
        engine.compile(guest)
    assert str(caught.value) == (
        "the guest needs more memory than 134.2 MB to compile; if you trust it, raise the limit: `--compile-memory`, "
        "in Python `Engine(compile_limits=CompileLimits(memory=…))`"
    )
    assert workers() == set()


def test_a_text_is_limited_as_well(engine_with):
    depth = 20_000
    labels = "".join(f"block $l{i} " for i in range(depth)) + "br $l0 " * 200_000 + "end " * depth
    with pytest.raises(InvalidGuest, match=r"the guest takes more than 0\.3 s to compile"):
        engine_with(seconds=0.3).compile(f"(module (func {labels}))".encode())


def test_after_a_limit_the_engine_compiles_other_guests(engine_with):
    engine = engine_with(seconds=1.0)
    with pytest.raises(InvalidGuest):
        engine.compile(SLOW["loops inside each other"])
    with Engine("cpu", cache=False) as other, other.session() as session:
        assert session.run(MODULE) == 0


def test_a_guest_that_passes_a_limit_leaves_nothing_in_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("WASI_NN_TORCH_CACHE", str(tmp_path / "cache"))
    with Engine("cpu", compile_limits=CompileLimits(seconds=0.5)) as engine:
        for _ in range(2):
            with pytest.raises(InvalidGuest, match="takes more than"):
                engine.compile(SLOW["loops inside each other"])
    assert list(user_cache_directory().folder.iterdir()) == []


def test_other_threads_run_while_a_guest_is_compiled(engine_with):
    gaps, done = [], threading.Event()

    def tick():
        last = time.monotonic()
        while not done.wait(0.005):
            now = time.monotonic()
            gaps.append(now - last)
            last = now

    thread = threading.Thread(target=tick)
    thread.start()
    try:
        with pytest.raises(InvalidGuest):
            engine_with(seconds=2.0).compile(SLOW["many such functions"])
    finally:
        done.set()
        thread.join()
    assert len(gaps) > 50
    assert max(gaps) < 1.0


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"seconds": 0}, "the compile limit `seconds` is 0"),
        ({"seconds": -1}, "the compile limit `seconds` is -1"),
        ({"seconds": float("nan")}, "the compile limit `seconds` is nan"),
        ({"memory": 0}, "the compile limit `memory` is 0; give at least 1 byte, or None for no limit"),
    ],
)
def test_a_limit_is_a_positive_number(limits, message):
    with pytest.raises(ValueError, match=message):
        CompileLimits(**limits)


def test_limits_can_be_lifted_one_by_one(engine_with):
    for engine in (engine_with(seconds=None), engine_with(memory=None)):
        engine.compile(MODULE)


# --- the same results ---


@pytest.mark.parametrize("guest", [MODULE, COMPONENT], ids=["a core module", "a component"])
def test_a_guest_runs_as_if_it_were_compiled_in_this_process(guest):
    transports = set()
    for limits in (CompileLimits(), None):
        with Engine("cpu", cache=False, compile_limits=limits) as engine, engine.session() as session:
            assert session.run(guest) == 0
            transports.add(session.stats.transport)
    assert len(transports) == 1


@pytest.mark.parametrize("optimize", [True, False])
@pytest.mark.parametrize("reserves", [True, False])
@pytest.mark.parametrize("guest", [MODULE, COMPONENT], ids=["a core module", "a component"])
def test_the_code_is_the_same(guest, reserves, optimize):
    task = CompileTask(bytes(wasmtime.wat2wasm(guest)), guest is COMPONENT, reserves, optimize)
    assert ProcessCompiler(CompileLimits()).compile(task) == precompile(task)


@pytest.mark.parametrize("limits", [CompileLimits(), None], ids=["in a process of its own", "in this process"])
@pytest.mark.parametrize("guest", [MODULE, COMPONENT], ids=["a core module", "a component"])
def test_a_guest_runs_without_optimization(guest, limits):
    with Engine("cpu", cache=False, compile_limits=limits) as engine, engine.session() as session:
        assert session.run(engine.compile(guest, optimize=False)) == 0


def test_a_long_text_is_parsed_as_a_short_one(engine_with):
    padding = b"(; " + b"x" * (1 << 17) + b" ;)"
    engine = engine_with()
    with engine.session() as session:
        assert session.run(MODULE + padding) == 0
    with pytest.raises(InvalidGuest, match=r"the guest is not valid WebAssembly text: .*expected"):
        engine.compile(b"(module x)" + padding)


@pytest.mark.parametrize("guest", [b"\0asm\x01\0\0\0\x63", b"\0asm\x0d\0\x01\0\x63"], ids=["a module", "a component"])
def test_a_guest_that_is_not_valid_is_refused_as_in_this_process(guest):
    texts = set()
    for limits in (CompileLimits(), None):
        with Engine("cpu", cache=False, compile_limits=limits) as engine, pytest.raises(InvalidGuest) as caught:
            engine.compile(guest)
        texts.add(str(caught.value))
    assert len(texts) == 1


def test_what_a_process_compiled_is_kept_and_authenticated(tmp_path, monkeypatch):
    monkeypatch.setenv("WASI_NN_TORCH_CACHE", str(tmp_path / "cache"))

    def from_cache():
        with Engine("cpu") as engine:
            return engine.compile(MODULE).from_cache

    assert [from_cache(), from_cache()] == [False, True]
    [entry] = user_cache_directory().entries()
    entry.path.write_bytes(entry.path.read_bytes()[:-1] + b"\xff")
    assert [from_cache(), from_cache()] == [False, True]


def test_many_threads_compile_at_once(engine_with):
    engine, compiled = engine_with(), []

    def work(index):
        text = f'(module (memory (export "memory") {index + 1}) (func (export "_start")))'
        compiled.append(engine.compile(text.encode()))

    threads = [threading.Thread(target=work, args=[index]) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(compiled) == 8
    assert workers() == set()


# --- processes that end ---


@pytest.fixture
def compiling_slowly(engine_with):
    """Start to compile in a thread; returns the process that does it, and the errors of the thread."""
    errors = []

    def work():
        try:
            engine_with(memory=8 << 30).compile(SLOW["loops inside each other"])
        except InvalidGuest as error:
            errors.append(str(error))

    thread = threading.Thread(target=work)
    thread.start()
    while not (found := workers()):
        time.sleep(0.01)
    worker = int(found.pop())
    while processor_seconds(worker) < 0.3:  # it has received the guest by then
        time.sleep(0.01)
    yield worker, errors, thread
    thread.join()


def test_a_process_that_is_killed_is_reported(compiling_slowly):
    worker, errors, thread = compiling_slowly
    os.kill(worker, signal.SIGKILL)
    thread.join()
    assert errors == [
        "the guest could not be compiled, because the process that compiled it ended by SIGKILL; see whether the "
        "memory of this machine is exhausted"
    ]
    assert workers() == set()


def test_when_the_host_is_killed_nothing_goes_on(tmp_path):
    (tmp_path / "slow.wasm").write_bytes(SLOW["loops inside each other"])
    command = [sys.executable, "-m", "wasi_nn_torch", "run", "--no-cache", "--compile-memory", "8GiB"]
    with subprocess.Popen([*command, tmp_path / "slow.wasm"], start_new_session=True) as host:
        children = started_by(host.pid)
        host.kill()
    wait_until_gone(children)


def test_ctrl_c_ends_compiling_at_once(tmp_path):
    (tmp_path / "slow.wasm").write_bytes(SLOW["loops inside each other"])
    command = [sys.executable, "-m", "wasi_nn_torch", "run", "--no-cache", "--compile-memory", "8GiB"]
    with subprocess.Popen([*command, tmp_path / "slow.wasm"], stderr=subprocess.PIPE, text=True) as host:
        children = started_by(host.pid)
        time.sleep(0.3)
        interrupted = time.monotonic()
        host.send_signal(signal.SIGINT)
        _, text = host.communicate(timeout=GENEROUS)
        assert time.monotonic() - interrupted < 10.0
        assert host.returncode != 0
        assert "Traceback" not in text
    wait_until_gone(children)


def started_by(host):
    """The server and the worker that a process has started, once both are there."""
    end = time.monotonic() + GENEROUS
    while time.monotonic() < end:
        for server in children_of(host):
            if found := children_of(server):
                return [server, *found]
        time.sleep(0.02)
    raise AssertionError("the process has started no worker")


def processor_seconds(pid):
    """What a process has used so far."""
    numbers = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, numbers[11:13])) / os.sysconf("SC_CLK_TCK")


def children_of(pid):
    try:
        return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except FileNotFoundError:
        return []


def wait_until_gone(pids):
    end = time.monotonic() + GENEROUS
    while left := [pid for pid in pids if is_alive(pid)]:
        assert time.monotonic() < end, f"processes {left} go on"
        time.sleep(0.05)


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_the_server_has_loaded_wasmtime_but_not_pytorch(engine_with):
    engine_with().compile(MODULE)
    server = compiling.shared_workers(compiling._WORK, compiling._PRELOAD)._server
    loaded = Path(f"/proc/{server._process.pid}/maps").read_text()
    assert "libwasmtime" in loaded
    assert "libtorch" not in loaded


# --- the command line ---


def run(tmp_path, content, *options):
    (tmp_path / "guest.wasm").write_bytes(content)
    command = [sys.executable, "-m", "wasi_nn_torch", "run", "--no-cache", *options, str(tmp_path / "guest.wasm")]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize(
    ("option", "value", "reason"),
    [
        ("--compile-timeout", "500ms", "takes more than 0.5 s to compile"),
        ("--compile-memory", "64MiB", "needs more memory than 67.1 MB to compile"),
    ],
)
def test_the_command_line_refuses_a_guest_that_passes_a_limit(tmp_path, option, value, reason):
    result = run(tmp_path, SLOW["loops inside each other"], option, value)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.splitlines()[-1].startswith(
        f"error: guest.wasm {reason}; if you trust it, raise the limit: `{option}`"
    )


def test_the_command_line_compiles_in_its_own_process(tmp_path):
    assert run(tmp_path, MODULE, "--compile-in-process").returncode == 0


def test_compiling_in_the_own_process_has_no_limits(tmp_path):
    result = run(tmp_path, MODULE, "--compile-in-process", "--compile-timeout", "1s")
    assert result.returncode == 2
    assert "error: `--compile-in-process` has no limits; leave out `--compile-timeout`" in result.stderr


# --- systems without such processes ---


def test_elsewhere_guests_are_compiled_in_this_process(monkeypatch, caplog):
    caplog.set_level("INFO")
    monkeypatch.setattr(compiling.kernel, "unsupported", lambda: "this system is z/OS, not Linux")
    monkeypatch.setattr(compiling, "ProcessCompiler", None)
    with Engine("cpu", cache=False) as engine, engine.session() as session:
        assert session.run(MODULE) == 0
    assert "guests are compiled in this process, without limits of time and memory: this system is z/OS" in caplog.text
