"""Functions of guests that are `async`: as blocking calls, and as coroutines."""

from __future__ import annotations

import asyncio
import signal
import threading
import time

import pytest

from tests.golden.bindings.waiting.bindings import Guest, add_to_linker
from tests.golden.bindings.waiting.bindings.exports import jobs
from tests.guests.waiting import JOBS, waiting_guest
from wit_host import (
    AsyncGuestFunction,
    Engine,
    GuestCancelled,
    GuestError,
    GuestFunction,
    GuestInterface,
    GuestTimeout,
    GuestTrap,
    LinkError,
)
from wit_host import values as wit


class Log:
    """Keeps what the guest writes."""

    def __init__(self, write=None):
        self.texts = []
        self._write = write

    def write(self, text):
        self.texts.append(text)
        return 0 if self._write is None else self._write(text)


@pytest.fixture(scope="module")
def engine():
    return Engine(async_types=True)


@pytest.fixture(scope="module")
def compiled(engine):
    return engine.compile(waiting_guest())


@pytest.fixture
def store(engine):
    with engine.store(timeout=30) as store:
        yield store


@pytest.fixture
def log():
    return Log()


@pytest.fixture
def guest(store, compiled, log):
    add_to_linker(store.linker, log)
    return Guest(store.instantiate(compiled))


def test_a_call_returns_after_the_guest_has_given_way(guest):
    assert [guest.twice(number) for number in range(100)] == [2 * number for number in range(100)]


def test_plain_functions_of_the_same_guest_are_called_in_between(guest):
    assert [guest.plain(1), guest.twice(2), guest.plain(3)] == [2, 4, 4]


def test_texts_lists_and_results_cross_and_the_host_is_called_meanwhile(guest, log):
    assert guest.jobs.run("clean", [1, 2]) == b"clean"
    with pytest.raises(jobs.JobsFailureError) as caught:
        guest.jobs.run("clean", [])
    assert caught.value.value is jobs.Failure.LOST
    assert log.texts == ["clean", "clean"]


def test_resources_have_async_methods_and_are_passed_to_async_functions(guest, log):
    with guest.jobs.new_job("mill") as job:
        assert job.wait() == 4
        assert job.wait_async() == 4
    assert log.texts == ["finished"]
    opened = guest.jobs.job_open("by")
    with pytest.raises(jobs.JobsFailureError):
        opened.wait()
    guest.jobs.finish(opened)
    assert log.texts == ["finished", "finished"]
    with pytest.raises(ValueError, match="was dropped or passed to the guest"):
        opened.wait()


def test_an_argument_of_another_type_is_refused_before_the_guest_is_called(guest):
    with pytest.raises(TypeError, match=r"twice: x: int is needed, not str"):
        guest.twice("2")
    assert guest.twice(2) == 4


def test_a_trap_comes_out(guest):
    with pytest.raises(GuestTrap, match="unreachable"):
        guest.fail()
    with pytest.raises(GuestTrap, match="trapped before"):
        guest.twice(1)


def test_a_guest_that_waits_for_nothing_traps(guest):
    with pytest.raises(GuestTrap, match="deadlock"):
        guest.stuck()


@pytest.mark.parametrize("function", ["compute", "spin"])
def test_the_time_of_the_guest_ends_a_call(engine, compiled, function):
    with engine.store(timeout=0.2) as store:
        add_to_linker(store.linker, Log())
        guest = Guest(store.instantiate(compiled))
        with pytest.raises(GuestTimeout, match=rf"did not return from {function} within 0\.2 s"):
            getattr(guest, function)()
        with pytest.raises(GuestError, match="cannot be called any more"):
            guest.twice(1)


@pytest.mark.parametrize("function", ["compute", "spin"])
def test_a_call_is_cancelled_from_another_thread(guest, store, function):
    def cancel():
        while not store.is_running:
            time.sleep(0.001)
        store.cancel()

    thread = threading.Thread(target=cancel)
    thread.start()
    with pytest.raises(GuestCancelled):
        getattr(guest, function)()
    thread.join()


@pytest.mark.parametrize("function", ["compute", "spin"])
def test_what_a_handler_of_signals_raises_ends_a_call(guest, function):
    def handle(number, frame):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, handle)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with pytest.raises(KeyboardInterrupt):
            getattr(guest, function)()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    with pytest.raises(GuestError, match="cannot be called any more"):
        guest.twice(1)


def test_an_exception_of_the_host_comes_out_as_itself(store, compiled):
    class Denied(Exception):
        pass

    def write(text):
        raise Denied(text)

    add_to_linker(store.linker, Log(write))
    guest = Guest(store.instantiate(compiled))
    with pytest.raises(Denied, match="secret"):
        guest.jobs.run("secret", [1])


def test_a_host_function_may_recurse_as_deeply_as_elsewhere(store, compiled):
    def nested(depth):
        return 0 if depth == 0 else max([depth], key=lambda _: nested(depth - 1))

    def write(text):
        with pytest.raises(RecursionError):
            nested(100_000)
        return 0

    add_to_linker(store.linker, Log(write))
    assert Guest(store.instantiate(compiled)).jobs.run("deep", [1]) == b"deep"


def test_a_host_function_may_run_another_guest(engine, store, compiled):
    def write(text):
        with engine.store() as other:
            add_to_linker(other.linker, Log())
            return Guest(other.instantiate(compiled)).twice(len(text))

    log = Log(write)
    add_to_linker(store.linker, log)
    assert Guest(store.instantiate(compiled)).jobs.run("outer", [1]) == b"outer"


# --- as coroutines ---


def test_the_event_loop_goes_on_while_a_coroutine_is_awaited(guest):
    async def run():
        ticks = 0

        async def tick():
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0.01)

        ticking = asyncio.create_task(tick())
        with pytest.raises(GuestTimeout):
            await guest.compute_async()
        ticking.cancel()
        return ticks

    guest._instance.runner._timeout = 0.3
    assert asyncio.run(run()) > 3


def test_coroutines_return_and_raise_as_the_calls_do(guest):
    async def run():
        assert await guest.twice_async(4) == 8
        with await guest.jobs.job_open_async("long name") as job:
            assert await job.wait_async_() == 9
        assert await guest.jobs.run_async("x", [1]) == b"x"
        with pytest.raises(jobs.JobsFailureError):
            await guest.jobs.run_async("x", [])

    asyncio.run(run())


@pytest.mark.parametrize("function", ["compute_async", "spin_async"])
def test_cancelling_the_task_stops_the_guest(guest, store, function):
    async def run():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await getattr(guest, function)()
        assert not store.is_running

    asyncio.run(run())
    with pytest.raises(GuestError, match="cannot be called any more"):
        guest.twice(1)


def test_coroutines_of_the_host_are_awaited_in_the_same_event_loop(store, compiled):
    class Waiting:
        async def write(self, text):
            self.thread = threading.current_thread()
            await asyncio.sleep(0.01)
            return 1

    waiting = Waiting()
    add_to_linker(store.linker, waiting)
    guest = Guest(store.instantiate(compiled))
    assert asyncio.run(guest.jobs.run_async("host", [1])) == b"host"
    assert waiting.thread is threading.main_thread()


def test_two_tasks_cannot_be_in_one_guest_at_a_time(guest):
    async def run():
        first = asyncio.create_task(guest.compute_async())
        while not guest._instance.runner.is_inside:
            await asyncio.sleep(0.001)
        with pytest.raises(RuntimeError, match="nor can two threads call one guest"):
            await guest.twice_async(1)
        first.cancel()
        await asyncio.wait([first])

    asyncio.run(run())


# --- who may call what ---


def test_other_engines_refuse_such_a_guest_and_say_which_accepts_it():
    with pytest.raises(GuestError, match=r"async feature .*; `Engine\(async_types=True\)` accepts it"):
        Engine().compile(waiting_guest())


@pytest.mark.parametrize(
    ("function", "difference"),
    [
        (GuestFunction("twice", {"x": wit.U32}, wit.U32), "this host has a plain function, the guest has an async one"),
        (
            AsyncGuestFunction("plain", {"x": wit.U32}, wit.U32),
            "this host has an async function, the guest has a plain one",
        ),
        (AsyncGuestFunction("twice", {"x": wit.U32}, wit.U64), "result: this host has u64, the guest has u32"),
    ],
)
def test_a_function_of_another_kind_is_refused_before_it_is_called(store, compiled, log, function, difference):
    add_to_linker(store.linker, log)
    instance = store.instantiate(compiled)
    with pytest.raises(LinkError, match=difference):
        GuestInterface(instance, None, [function])


def test_nothing_is_kept_of_calls_that_were_ended(engine, compiled):
    from wit_host import capi

    def once():
        with engine.store(timeout=0.02) as store:
            add_to_linker(store.linker, Log())
            with pytest.raises(GuestTimeout):
                Guest(store.instantiate(compiled)).spin()

    once()
    before = len(capi.all_kept())
    for _ in range(10):
        once()
    assert len(capi.all_kept()) == before


def test_the_interface_has_its_name_in_messages(guest):
    with pytest.raises(TypeError, match=f"{JOBS}#run: name: str is needed, not int"):
        guest.jobs.run(1, [])
