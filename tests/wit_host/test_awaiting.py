"""Implementations that are coroutine functions: they run in an event loop, while the thread of the guest waits."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import threading
import time
import weakref

import pytest

from tests.wit_host.helpers.host import Host
from tests.wit_host.helpers.wat import API, Import
from wit_host import Engine, GuestCancelled, GuestTimeout, ResultError, awaiting_in, values
from wit_host.running.runner import Deadline

PING = {"ping": Import("", "")}
ASK = {"ask": Import("(result u32)", "(result i32)")}
TRY = {"try": Import("(result (result u32))", "(param i32)")}
TAKE = {"take": Import('(param "data" (list u8))', "(param i32 i32)")}
GIVE = {"give": Import("(result (list u8))", "(param i32)")}

#: Seconds within which what should happen at once has happened, on any machine.
SOON = 30


def awaited(call):
    """Call `call` on another thread; coroutines are awaited in the event loop, which runs on this one."""

    async def run():
        loop = asyncio.get_running_loop()

        def inside():
            with awaiting_in(loop):
                return call()

        return await asyncio.to_thread(inside)

    return asyncio.run(run())


# --- results ---


def test_a_coroutine_runs_on_the_thread_of_the_loop_and_answers(host):
    threads = []

    async def ask():
        await asyncio.sleep(0.01)
        threads.append(threading.current_thread())
        return 42

    run = lambda: host.run(  # noqa: E731
        ASK, "(call $check (call ask) (i32.const 42))", lambda i: i.function("ask", ask, {}, values.U32)
    )
    assert awaited(run) == 0
    assert threads == [threading.main_thread()]


def test_a_coroutine_without_a_result_answers_nothing(host):
    said = []

    async def ping():
        await asyncio.sleep(0)
        said.append("ping")

    run = lambda: host.run(PING, "(call ping) (call ping)", lambda i: i.function("ping", ping, {}, None))  # noqa: E731
    assert awaited(run) == 0
    assert said == ["ping", "ping"]


@pytest.mark.filterwarnings("error")
def test_a_coroutine_that_returns_what_it_should_not_is_a_type_error(host):
    async def ping():
        return 1

    with pytest.raises(TypeError, match="ping returned a value of type int, but its type has no result"):
        awaited(lambda: host.run(PING, "(call ping)", lambda i: i.function("ping", ping, {}, None)))


def test_a_coroutine_answers_with_an_error(host):
    async def attempt():
        await asyncio.sleep(0)
        raise ResultError(None)

    result = values.Result(values.U32, None, ResultError)
    body = "(call try (i32.const 1024)) (call $check (i32.load8_u (i32.const 1024)) (i32.const 1))"
    assert awaited(lambda: host.run(TRY, body, lambda i: i.function("try", attempt, {}, result))) == 0


def test_an_exception_of_a_coroutine_comes_out_as_itself(host):
    class Denied(Exception):
        pass

    async def ping():
        await asyncio.sleep(0)
        raise Denied("no")

    with pytest.raises(Denied) as raised:
        awaited(lambda: host.run(PING, "(call ping)", lambda i: i.function("ping", ping, {}, None)))
    assert "in the host function" in raised.value.__notes__[0]


def test_a_coroutine_that_is_cancelled_by_the_host_is_an_error(host):
    async def ping():
        asyncio.current_task().cancel()
        await asyncio.sleep(SOON)

    with pytest.raises(RuntimeError, match=r"the coroutine of .*ping was cancelled"):
        awaited(lambda: host.run(PING, "(call ping)", lambda i: i.function("ping", ping, {}, None)))


def test_bytes_that_a_coroutine_returns_reach_the_guest():
    host = Host(buffers=[API])

    async def give():
        await asyncio.sleep(0)
        return b"\x07\x08"

    body = """(call give (i32.const 1024))
        (call $check (i32.load (i32.const 1028)) (i32.const 2))
        (call $check (i32.load8_u offset=1 (i32.load (i32.const 1024))) (i32.const 8))"""
    assert awaited(lambda: host.run(GIVE, body, lambda i: i.function("give", give, {}, values.BYTES))) == 0


@pytest.mark.parametrize("buffers", [[API], []], ids=["pointer", "list"])
def test_the_bytes_that_a_coroutine_was_given_stay_valid_until_it_ends(buffers):
    host = Host(buffers=buffers)
    seen, kept = [], []

    async def take(data):
        kept.append(data)
        for _ in range(5):
            seen.append(bytes(data[:3]))
            await asyncio.sleep(0.01)

    body = "(call take (i32.const 2048) (i32.const 3))"
    define = lambda i: i.function("take", take, {"data": values.BYTES}, None)  # noqa: E731
    assert awaited(lambda: host.run(TAKE, body, define, data='(data (i32.const 2048) "abc")')) == 0
    assert seen == [b"abc"] * 5
    if isinstance(kept[0], memoryview):
        with pytest.raises(ValueError, match="released"):
            bytes(kept[0])


def test_a_function_of_a_core_module_may_be_a_coroutine():
    text = """(module (import "host" "f" (func $f (result i32)))
      (func (export "_start") (if (i32.ne (call $f) (i32.const 7)) (then unreachable))))"""
    engine = Engine()
    guest = engine.compile_module(text.encode())

    async def f():
        await asyncio.sleep(0)
        return 7

    def run():
        with engine.core_store() as store:
            store.linker.function("host", "f", [], f)
            return store.run_command(guest)

    assert awaited(run) == 0


def test_a_coroutine_sees_the_context_variables_of_the_caller(host):
    tenant = contextvars.ContextVar("tenant", default="nobody")
    seen = []

    async def ping():
        seen.append(tenant.get())

    def run():
        tenant.set("one")
        host.run(PING, "(call ping)", lambda i: i.function("ping", ping, {}, None))

    awaited(run)
    assert seen == ["one"]


# --- without a loop ---


@pytest.mark.filterwarnings("error")
def test_without_a_loop_a_coroutine_function_is_a_type_error_that_says_what_to_do(host):
    async def ping():
        pass

    with pytest.raises(TypeError, match="ping is a coroutine function, which needs an event loop: run the guest with"):
        host.run(PING, "(call ping)", lambda i: i.function("ping", ping, {}, None))


@pytest.mark.filterwarnings("error")
def test_a_loop_that_is_closed_is_an_error(host):
    loop = asyncio.new_event_loop()
    loop.close()

    async def ping():
        pass

    with awaiting_in(loop), pytest.raises(RuntimeError, match="closed"):
        host.run(PING, "(call ping)", lambda i: i.function("ping", ping, {}, None))


# --- stopping ---


@pytest.mark.parametrize("way", ["timeout", "cancel"])
def test_a_guest_that_is_stopped_ends_its_wait_and_the_coroutine(way, host):
    ended, ended_before = [], []

    async def ping():
        if way == "cancel":
            asyncio.get_running_loop().call_later(0.1, store.cancel)
        try:
            await asyncio.sleep(600)
        finally:
            await asyncio.sleep(0.05)
            ended.append("ping")

    def run():
        try:
            host.run(PING, "(call ping)", lambda i: i.function("ping", ping, {}, None), store)
        finally:
            ended_before.extend(ended)

    begin = time.monotonic()
    with host.store(timeout=0.1 if way == "timeout" else None) as store:
        with pytest.raises((GuestTimeout, GuestCancelled)):
            awaited(run)
        assert ended_before == ["ping"], "the guest went on before the coroutine had ended"
    assert time.monotonic() - begin < SOON


def test_a_guest_whose_loop_ends_does_not_wait_for_ever(host):
    """The loop is closed as `asyncio.run` closes it, which cancels the coroutine."""
    outcome = []

    async def ping():
        await asyncio.sleep(600)

    def run(loop):
        with awaiting_in(loop):
            try:
                host.run(PING, "(call ping)", lambda i: i.function("ping", ping, {}, None))
            except RuntimeError as error:
                outcome.append(str(error))

    async def main():
        thread = threading.Thread(target=run, args=[asyncio.get_running_loop()])
        thread.start()
        await asyncio.sleep(0.2)
        return thread

    asyncio.run(main()).join(SOON)
    assert len(outcome) == 1
    assert "was cancelled" in outcome[0]


def test_what_a_coroutine_raised_is_not_kept_alive_by_a_cycle(host):
    gone = []

    class Denied(Exception):
        def __init__(self):
            gone.append(weakref.ref(self))

    async def ping():
        raise Denied

    def run():
        try:
            host.run(PING, "(call ping)", lambda i: i.function("ping", ping, {}, None))
        except Denied:
            return "denied"

    gc.collect()
    gc.disable()
    try:
        assert awaited(run) == "denied"
        assert [reference() for reference in gone] == [None]
    finally:
        gc.enable()


# --- the turns of other threads ---

LOOPING = """(module (func (export "loop") (loop $again (br $again))))"""


@pytest.fixture
def looks(monkeypatch):
    """When guests looked at their time."""
    times = []
    tick = Deadline.tick

    def count(deadline):
        times.append(time.monotonic())
        tick(deadline)

    monkeypatch.setattr(Deadline, "tick", count)
    return times


def test_a_guest_beside_an_event_loop_rarely_looks_at_its_time_and_is_in_time(looks):
    engine = Engine()
    with engine.core_store(timeout=1.0) as store:
        instance = store.instantiate(engine.compile_module(LOOPING.encode()))
        begin = time.monotonic()
        with pytest.raises(GuestTimeout):
            awaited(lambda: instance.call("loop"))
    assert 1.0 <= time.monotonic() - begin < SOON
    assert len(looks) <= 6, "it looks 20 times in a second without a loop"


def test_without_an_event_loop_it_looks_often_also_after_it_was_called_beside_one(looks):
    text = """(module (import "host" "is-over" (func $is-over (result i32)))
      (func (export "wait") (loop $again (br_if $again (i32.eqz (call $is-over)))))
      (func (export "loop") (loop $again (br $again))))"""
    engine = Engine()
    with engine.core_store(timeout=1.0) as store:
        store.linker.function("host", "is-over", [], lambda: int(len(looks) > 0))
        instance = store.instantiate(engine.compile_module(text.encode()))
        awaited(lambda: instance.call("wait"))  # returns after a look, after which the next one may be far away
        looks.clear()
        begin = time.monotonic()
        with pytest.raises(GuestTimeout):
            instance.call("loop")
    assert looks[0] - begin < 0.5, "the first look was as late as beside a loop"
    assert len(looks) >= 3


def test_a_guest_beside_an_event_loop_is_cancelled_at_once(looks):
    engine = Engine()
    with engine.core_store() as store:
        instance = store.instantiate(engine.compile_module(LOOPING.encode()))
        threading.Timer(0.3, store.cancel).start()
        with pytest.raises(GuestCancelled):
            awaited(lambda: instance.call("loop"))


def test_the_pace_is_called_before_each_host_function(host):
    order = []

    loop = asyncio.new_event_loop()
    define = lambda i: i.function("ping", lambda: order.append("ping"), {}, None)  # noqa: E731
    with awaiting_in(loop, lambda: order.append("pace")):
        host.run(PING, "(call ping) (call ping)", define)
    loop.close()
    assert order == ["pace", "ping", "pace", "ping"]
    host.run(PING, "(call ping)", lambda i: i.function("ping", lambda: None, {}, None))
    assert len(order) == 4
