"""What Python raises while a guest runs: it comes out as itself, and never ends the process or becomes an answer."""

from __future__ import annotations

import asyncio
import ctypes
import os
import sys
import time
from dataclasses import dataclass

import pytest

from tests.wit_host.helpers.host import THING
from tests.wit_host.helpers.processes import in_a_process
from tests.wit_host.helpers.wat import API, Import
from wit_host import Engine, GuestTimeout, GuestTrap, ResultError, Ticker, WasiConfig, values
from wit_host.running.ticker import INTERVAL

#: How often an exception arrives from another thread.
ROUNDS = int(os.environ.get("SOAK_ROUNDS", "100"))

PING = {"ping": Import("", "")}
ASK = {"ask": Import("(result bool)", "(result i32)")}
NEW = {"new": Import('(param "n" u32) (result (own $thing))', "(param i32) (result i32)")}

#: Asks, and goes on for ever if it is given an answer.
GOES_ON = "(drop (call ask)) (loop $again (br $again))"


# --- exceptions that do their worst ---


@dataclass(frozen=True)
class Frozen(Exception):
    """Takes no notes, as nothing can be set."""

    user: str = "eve"


class Silent(Exception):
    """Has no text, no representation, no notes, no class and no attributes."""

    def __str__(self):
        raise RuntimeError("no text")

    __repr__ = __str__

    def __setattr__(self, name, value):
        raise RuntimeError("no attributes")

    def __getattribute__(self, name):
        raise RuntimeError("no attributes")

    def add_note(self, note):
        raise SystemExit(3)


class Nameless(type):
    @property
    def __name__(cls):
        raise RuntimeError("no name")

    def __instancecheck__(cls, instance):
        raise RuntimeError("no instances")


class Anonymous(Exception, metaclass=Nameless):
    """Belongs to a class that says nothing."""


class Odd(Exception):
    """Whose text is no text, and whose notes are no list."""

    __notes__ = 7

    def __str__(self):
        return 7


class Classless(Exception):
    """Says that it is of another class."""

    @property
    def __class__(self):
        raise RuntimeError("no class")


WORST = [Frozen, Silent, Anonymous, Odd, Classless, KeyboardInterrupt, SystemExit, GeneratorExit, StopIteration]
WORST += [StopAsyncIteration, MemoryError, RecursionError, BaseExceptionGroup, asyncio.CancelledError]


def make(kind):
    return kind("both", [KeyboardInterrupt(), ValueError()]) if kind is BaseExceptionGroup else kind()


@pytest.fixture(params=range(len(WORST)), ids=lambda number: type.__dict__["__name__"].__get__(WORST[number]))
def worst(request):
    return make(WORST[request.param])


def raising(exception):
    def raise_it(*_, **__):
        raise exception

    return raise_it


def assert_comes_out(exception, action):
    """Not by `pytest.raises`, which asks the exception about itself."""
    try:
        action()
    except BaseException as caught:  # noqa: BLE001  # that is the question
        assert caught is exception  # noqa: PT017
    else:
        pytest.fail("nothing was raised")


def test_it_comes_out_of_a_function_without_a_result(worst, host):
    define = lambda i: i.function("ping", raising(worst), {}, None)  # noqa: E731
    assert_comes_out(worst, lambda: host.run(PING, "(call ping)", define))


def test_it_is_not_an_answer_of_a_function_with_a_result(worst, host):
    define = lambda i: i.function("ask", raising(worst), {}, values.BOOL)  # noqa: E731
    assert_comes_out(worst, lambda: host.run(ASK, GOES_ON, define, timeout=60))


def test_it_comes_out_of_a_drop(worst, host):
    class Thing:
        drop = raising(worst)

    define = lambda i: i.function("new", lambda n: Thing(), {"n": values.U32}, values.Own(THING))  # noqa: E731
    assert_comes_out(worst, lambda: host.run(NEW, "(call $drop (call new (i32.const 1)))", define))


def test_it_comes_out_of_a_function_of_a_core_module(worst):
    text = '(module (import "host" "f" (func $f (result i32))) (func (export "_start") (drop (call $f))))'
    engine = Engine()
    with engine.core_store() as store:
        store.linker.function("host", "f", [], raising(worst))
        guest = engine.compile_module(text.encode(), "guest")
        assert_comes_out(worst, lambda: store.run_command(guest))


@pytest.mark.parametrize("kind", ["component", "module"])
def test_it_comes_out_of_a_tick(kind, worst, host, monkeypatch):
    monkeypatch.setattr("wit_host.running.runner.Deadline.tick", raising(worst))
    if kind == "component":
        run = lambda: host.run(PING, "(loop $again (br $again))", lambda i: i.function("ping", print, {}, None))  # noqa: E731
    else:
        engine = Engine()
        guest = engine.compile_module(b'(module (func (export "_start") (loop $again (br $again))))')
        run = lambda: engine.core_store().run_command(guest)  # noqa: E731
    assert_comes_out(worst, run)


@pytest.mark.parametrize("kind", ["component", "module"])
def test_it_comes_out_of_making_a_memory(kind, worst, host, monkeypatch):
    engine = Engine()
    guest = engine.compile_module(b'(module (memory 1) (func (export "_start")))')
    monkeypatch.setattr("wit_host.crossing.memory.LinearMemory.__init__", raising(worst))
    if kind == "component":
        run = lambda: host.run(PING, "", lambda i: i.function("ping", print, {}, None))  # noqa: E731
    else:
        run = lambda: engine.core_store().run_command(guest)  # noqa: E731
    assert_comes_out(worst, run)


GROW = "(drop (memory.grow (i32.const 1)))"


@pytest.mark.parametrize("after", ["(loop $again (br $again))", "(drop (call $f)) (loop $again (br $again))", ""])
def test_it_comes_out_of_a_memory_that_grows(after, worst, monkeypatch):
    """Which the guest cannot tell from one that cannot grow: it goes on for a while."""
    monkeypatch.setattr("wit_host.crossing.memory.LinearMemory.grow", raising(worst))
    text = f"""(module (import "host" "f" (func $f (result i32))) (memory 1)
                 (func (export "_start") {GROW} {after}))"""
    engine = Engine()
    with engine.core_store(timeout=60) as store:
        store.linker.function("host", "f", [], lambda: 0)
        guest = engine.compile_module(text.encode())
        assert_comes_out(worst, lambda: store.run_command(guest))


WRITER = """(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\\10\\00\\00\\00\\05\\00\\00\\00")
  (data (i32.const 16) "hello")
  (func (export "_start") (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))) {after}))"""


@pytest.mark.parametrize("after", ["", "(loop $again (br $again))", "(unreachable)"])
def test_it_comes_out_of_an_output(after, worst, capfd):
    """Whether the guest minds that it could not write, or not."""
    engine, wasi = Engine(), WasiConfig()
    wasi.stdout_custom = raising(worst)
    guest = engine.compile_module(WRITER.replace("{after}", after).encode())
    with engine.core_store(wasi=wasi, timeout=60) as store:
        store.linker.add_wasi()
        assert_comes_out(worst, lambda: store.run_command(guest))
    assert capfd.readouterr() == ("", "")


def test_an_exception_that_takes_notes_says_where_it_was_raised(host):
    with pytest.raises(LookupError) as caught:
        host.run(PING, "(call ping)", lambda i: i.function("ping", raising(LookupError()), {}, None))
    assert caught.value.__notes__ == [f"raised in the host function {API}#ping"]


def test_what_a_guest_left_behind_does_not_hide_why_it_ended(host):
    class Thing:
        drop = raising(SystemExit("in the drop"))

    def define(instance):
        instance.function("new", lambda n: Thing(), {"n": values.U32}, values.Own(THING))
        instance.function("ping", raising(LookupError("lost")), {}, None)

    with pytest.raises(LookupError, match="lost") as caught:
        host.run(NEW | PING, "(drop (call new (i32.const 1))) (call ping)", define)
    assert caught.value.__context__.exceptions[0].args == ("in the drop",)


def forbid_errors(monkeypatch):
    for name in ("_ERRORS", "_TRAPS"):
        monkeypatch.setattr(f"wit_host.capi.errors.{name}._make", raising(MemoryError("no error can be made")))
        monkeypatch.setattr(f"wit_host.capi.errors.{name}._spare", [])


def test_nothing_is_called_where_no_memory_may_be_had(host, monkeypatch):
    """Neither an error nor a text is made once something was raised."""
    forbid_errors(monkeypatch)
    with pytest.raises(MemoryError, match="no error can be made"):
        host.store()
    monkeypatch.undo()
    store = host.store()
    forbid_errors(monkeypatch)
    with store, pytest.raises(LookupError):
        host.run(PING, "(call ping)", lambda i: i.function("ping", raising(LookupError()), {}, None), store)


# --- answers that are none ---


async def coroutine(*_):
    """Never runs."""


def generator(*_):
    """Never runs either."""
    yield


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("implementation", "message"),
    [
        (coroutine, "ping is a coroutine function, which needs an event loop: run the guest with `run_async`"),
        (generator, "ping returned a value of type generator, but its type has no result; return nothing"),
        (lambda: False, "ping returned a value of type bool, but its type has no result; return nothing"),
    ],
)
def test_a_function_without_a_result_returns_nothing(implementation, message, host):
    with pytest.raises(TypeError, match=message):
        host.run(PING, "(call ping)", lambda i: i.function("ping", implementation, {}, None))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("types", "body", "result"),
    [
        (ASK["ask"], "(drop (call ask))", values.BOOL),
        (Import("(result (list u8))", "(param i32)"), "(call ask (i32.const 65536))", values.BYTES),
        (
            Import("(result (result u32))", "(param i32)"),
            "(call ask (i32.const 65536))",
            values.Result(values.U32, None, ResultError),
        ),
    ],
    ids=["bool", "list<u8>", "result<u32>"],
)
def test_a_coroutine_is_not_a_result(types, body, result, host):
    with pytest.raises(TypeError, match="ask is a coroutine function"):
        host.run({"ask": types}, body, lambda i: i.function("ask", coroutine, {}, result))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("drop", [coroutine, generator, lambda _: 0], ids=["coroutine", "generator", "number"])
@pytest.mark.parametrize("body", ["(call $drop (call new (i32.const 1)))", "(drop (call new (i32.const 1)))"])
def test_a_drop_returns_nothing(drop, body, host):
    kind = type("Thing", (), {"drop": drop})
    define = lambda i: i.function("new", lambda n: kind(), {"n": values.U32}, values.Own(THING))  # noqa: E731
    with pytest.raises((TypeError, ExceptionGroup)) as caught:
        host.run(NEW, body, define)
    error = caught.value if isinstance(caught.value, TypeError) else caught.value.exceptions[0]
    assert str(error).startswith("the drop of ")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("implementation", "message"),
    [
        (coroutine, "host#f is a coroutine function"),
        (lambda *_: None, "host#f returned a value of type NoneType; it must return a number"),
        (lambda *_: "1", "host#f returned a value of type str; it must return a number"),
    ],
)
def test_a_function_of_a_core_module_returns_a_number(implementation, message):
    text = '(module (import "host" "f" (func $f (result i32))) (func (export "_start") (drop (call $f))))'
    engine = Engine()
    guest = engine.compile_module(text.encode())
    with engine.core_store() as store:
        store.linker.function("host", "f", [], implementation)
        with pytest.raises(TypeError, match=message):
            store.run_command(guest)


class Refusal(ResultError[int]):
    """The error of the function below."""


def test_an_error_of_another_type_names_the_one_that_is_needed(host):
    imports = {"try": Import("(result (result u32 (error u32)))", "(param i32)")}
    result = values.Result(values.U32, values.U32, Refusal)
    with pytest.raises(TypeError, match="try raised ResultError; raise Refusal, which is the error of its type"):
        host.run(
            imports,
            "(call try (i32.const 65536))",
            lambda i: i.function("try", raising(ResultError(1)), {}, result),
        )


def test_a_function_whose_type_has_no_error_cannot_answer_with_one(host):
    with pytest.raises(TypeError, match="ping raised Refusal, but its type has no error to answer with"):
        host.run(PING, "(call ping)", lambda i: i.function("ping", raising(Refusal(1)), {}, None))


# --- exceptions that arrive from elsewhere ---


INJECT = """
import ctypes, sys, threading, time
from tests.wit_host.helpers.host import THING, Host
from tests.wit_host.helpers.wat import API, Import
from wit_host.values import BOOL

class Late(BaseException):
    pass

component_body, module_body, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])
host = Host()
imports = {"ping": Import("", ""), "ask": Import("(result bool)", "(result i32)")}
component = host.compile(imports, component_body)
module = host.engine.compile_module(
    f'(module (import "host" "f" (func $f (result i32))) (func (export "_start") {module_body}))'.encode()
)

def run_component():
    with host.store(timeout=30) as store:
        instance = store.linker.instance(API)
        instance.resource(THING)
        instance.function("ping", begin, {}, None)
        instance.function("ask", lambda: True, {}, BOOL)
        store.run_command(component)

def run_module():
    with host.engine.core_store(timeout=30) as store:
        store.linker.function("host", "f", [], lambda: begin() or 1)
        store.run_command(module)

def begin():
    global has_begun
    if not has_begun:  # once in each round, so that nothing is raised after it
        has_begun = True
        go.set()

main, go = threading.get_ident(), threading.Event()

def inject():
    for number in range(rounds):
        go.wait()
        go.clear()
        time.sleep(number % 17 / 20_000)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(main), ctypes.py_object(Late))

threading.Thread(target=inject, daemon=True).start()
for number in range(rounds):
    has_begun = False
    try:
        (run_component if number % 2 else run_module)()
    except Late:
        continue
    raise AssertionError(f"round {number}: the guest ended by itself")
print("fine")
"""


@pytest.mark.parametrize(
    ("component", "module"),
    [
        ("(call ping) (loop $again (br $again))", "(drop (call $f)) (loop $again (br $again))"),
        ("(loop $again (call ping) (drop (call ask)) (br $again))", "(loop $again (drop (call $f)) (br $again))"),
    ],
    ids=["in a loop of the guest", "in calls of the host"],
)
def test_an_exception_from_another_thread_ends_the_guest_and_comes_out(component, module):
    in_a_process(INJECT, component, module, str(ROUNDS), timeout=120 + ROUNDS)


def test_an_exception_that_reaches_the_clock_is_passed_on_and_the_clock_goes_on(host):
    class Late(BaseException):
        pass

    def strike():
        time.sleep(2 * INTERVAL)  # until the clock ticks
        [clock] = [thread for thread, frame in sys._current_frames().items() if frame.f_code is Ticker._tick.__code__]
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(clock), ctypes.py_object(Late))

    endless = "(call ping) (loop $again (br $again))"
    with pytest.raises(Late):
        host.run(PING, endless, lambda i: i.function("ping", strike, {}, None), timeout=30)
    with pytest.raises(GuestTimeout):
        host.run(PING, endless, lambda i: i.function("ping", lambda: None, {}, None), timeout=3 * INTERVAL)


ANYWHERE = (
    INJECT[: INJECT.index("def begin():")]
    + """
import _thread, os, random

def begin():
    pass

main, dice, is_over = threading.get_ident(), random.Random(7), False

def inject():
    while not is_over:  # and no lock, which an exception could leave locked
        time.sleep(dice.random() / 500)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(main), ctypes.py_object(Late))

sys.unraisablehook = lambda _: None  # destructors of Python objects tell of theirs there
came = number = 0
_thread.start_new_thread(inject, ())
while not is_over:
    try:
        while number < rounds:
            number += 1
            (run_component if number % 2 else run_module)()
        is_over = True
    except BaseException:  # Late, or what it spoiled
        came += 1
while True:
    try:
        time.sleep(0.01)
        break
    except Late:
        pass
print("fine" if came else "nothing came", flush=True)
os._exit(0)
"""
)


def test_exceptions_from_another_thread_end_no_process_wherever_they_arrive():
    in_a_process(ANYWHERE, "(call ping)", "(drop (call $f))", str(5 * ROUNDS), timeout=120 + ROUNDS)


DEEP = """
import ctypes
import sys
import time
from tests.wit_host.helpers.host import THING, Host
from tests.wit_host.helpers.wat import API, Import

host = Host()
guest = host.compile({"ping": Import("", "")}, "(call ping)")

def run():
    with host.store() as store:
        instance = store.linker.instance(API)
        instance.resource(THING)
        instance.function("ping", lambda: None, {}, None)
        return store.run_command(guest)

def deep(levels):
    return run() if not levels else deep(levels - 1)

ran = refused = 0
for levels in range(sys.getrecursionlimit() - 150, sys.getrecursionlimit()):
    try:
        ran += deep(levels) == 0
    except (RecursionError, ctypes.ArgumentError):  # which ctypes makes of the former
        refused += 1
assert ran and refused, (ran, refused)
print("fine")
"""


def test_a_guest_that_is_run_where_the_stack_of_python_ends_is_refused_or_runs():
    in_a_process(DEEP)


SHORT_OF_MEMORY = """
import resource
from tests.wit_host.helpers.host import Host, THING
from tests.wit_host.helpers.wat import API, Import

host = Host()
compiled = host.compile({"ping": Import("", "")}, "(loop $again (call ping) (br $again))")
size = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size + (6 << 30), size + (6 << 30)))
hoard = []

def ping():
    hoard.append(bytearray(64 << 20))

with host.store(timeout=60) as store:
    instance = store.linker.instance(API)
    instance.resource(THING)
    instance.function("ping", ping, {}, None)
    try:
        store.run_command(compiled, "guest")
    except MemoryError:
        hoard.clear()
        print("fine")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not bound address space")
def test_an_implementation_that_runs_out_of_memory_ends_the_guest():
    in_a_process(SHORT_OF_MEMORY)


def test_a_guest_that_cannot_have_its_memory_traps(host, monkeypatch):
    monkeypatch.setattr("wit_host.crossing.memory.mmap.mmap", raising(OSError(12, "Cannot allocate memory")))
    with pytest.raises(GuestTrap, match=r"a memory of 13107200 bytes could not be made: .*Cannot allocate memory"):
        host.run(PING, "", lambda i: i.function("ping", print, {}, None))
