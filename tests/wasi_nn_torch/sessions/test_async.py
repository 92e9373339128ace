"""Sessions in asyncio: guests in worker threads, their number, their queue, and the end of a session."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
import weakref

import pytest

from tests.wasi_nn_torch.helpers.awaited import LOOP, QUICK, SAY, SLEEP
from wasi_nn_torch import Engine, EngineBusy, GuestCancelled, GuestTrap, InvalidGuest
from wasi_nn_torch.sessions.offloading import workers
from wasi_nn_torch.sessions.offloading.pulse import Pace, Pulse

# The device does not matter here.
pytestmark = pytest.mark.cpu

#: Seconds within which what should happen at once has happened, on any machine.
SOON = 30


@pytest.fixture
def engine():
    with Engine("cpu", async_threads=2, async_queue=1) as engine:
        yield engine


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("wasi-nn-")]


async def until(condition) -> None:
    """Wait for the condition, which must come true."""
    end = time.monotonic() + SOON
    while not condition():
        assert time.monotonic() < end, "it never came true"
        await asyncio.sleep(0.005)


# --- running ---


def test_the_exit_status_of_a_guest_is_awaited(engine, probe_file):
    said = []

    async def run():
        async with engine.session(args=["speak", "hello"], stdout=said.append) as session:
            return await session.run_async(probe_file)

    assert asyncio.run(run()) == 0
    assert b"".join(said) == b"hello\n"
    assert engine.stats.ended == {"success": 1}


def test_the_loop_runs_on_while_a_guest_loops(engine):
    async def run():
        async with engine.session() as session:
            guest = asyncio.create_task(session.run_async(LOOP))
            for _ in range(10):
                await asyncio.sleep(0.01)
            assert not guest.done()
            session.cancel()
            with pytest.raises(GuestCancelled):
                await guest

    asyncio.run(run())


def test_as_many_guests_run_at_a_time_as_there_may_be_threads(engine):
    inside, both = [], threading.Event()

    def arrive(data):
        inside.append(data)
        if len(inside) == 2:
            both.set()
        assert both.wait(SOON)

    async def run():
        async with engine.session(stdout=arrive) as one, engine.session(stdout=arrive) as two:
            assert await asyncio.gather(one.run_async(SAY), two.run_async(SAY)) == [0, 0]

    asyncio.run(run())
    assert len(inside) == 2
    assert {"wasi-nn-guest-1", "wasi-nn-guest-2"} <= {thread.name for thread in threads()}


def test_no_more_guests_run_at_a_time_than_there_may_be_threads(engine):
    now, most, lock = 0, 0, threading.Lock()

    def count(data):
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.05)
        with lock:
            now -= 1

    async def one():
        async with engine.session(stdout=count) as session:
            while True:
                try:
                    return await session.run_async(SAY)
                except EngineBusy:
                    await asyncio.sleep(0.01)

    async def run():
        return await asyncio.gather(*(one() for _ in range(6)))

    assert asyncio.run(run()) == [0] * 6
    assert most <= 2


def test_a_full_queue_answers_at_once_and_says_what_to_raise(engine):
    async def run():
        tasks = []
        async with engine.session() as one, engine.session() as two, engine.session() as three:
            for session in (one, two, three):
                tasks.append(asyncio.create_task(session.run_async(LOOP)))
                await asyncio.sleep(0)
            await until(lambda: engine.stats.running == 2)
            async with engine.session() as session:
                for _ in range(2):
                    with pytest.raises(EngineBusy, match=r"runs 2 guests for asyncio, and 1 wait; raise `async_queue`"):
                        await session.run_async(QUICK)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            async with engine.session() as session:
                assert await session.run_async(QUICK) == 0

    asyncio.run(run())


def test_without_a_queue_a_guest_runs_if_a_thread_is_free():
    async def run():
        with Engine("cpu", async_threads=1, async_queue=0) as engine:
            for _ in range(3):
                async with engine.session() as session:
                    assert await session.run_async(QUICK) == 0

    asyncio.run(run())


@pytest.mark.parametrize("options", [{"async_threads": 0}, {"async_threads": -1}, {"async_queue": -1}])
def test_numbers_that_make_no_sense_are_refused(options):
    [name] = options
    with pytest.raises(ValueError, match=f"`{name}`"):
        Engine("cpu", **options)


# --- exceptions ---


def test_exceptions_of_a_run_come_out_of_the_await(engine):
    class Full(Exception):
        pass

    def refuse(data):
        raise Full

    async def run(guest, **options):
        async with engine.session(**options) as session:
            await session.run_async(guest)

    with pytest.raises(GuestTrap, match="unreachable"):
        asyncio.run(run(b'(module (memory (export "memory") 1) (func (export "_start") unreachable))'))
    with pytest.raises(InvalidGuest):
        asyncio.run(run(b"no guest"))
    with pytest.raises(Full):
        asyncio.run(run(SAY, stdout=refuse))


def test_a_session_that_is_awaited_serves_no_second_task(engine):
    async def run():
        async with engine.session() as session:
            first = asyncio.create_task(session.run_async(LOOP))
            await until(lambda: engine.stats.running == 1)
            with pytest.raises(RuntimeError, match="one call at a time"):
                await session.run_async(QUICK)
            first.cancel()
            with pytest.raises(asyncio.CancelledError):
                await first

    asyncio.run(run())


def test_a_session_leaves_no_cycle_behind(engine):
    async def run(gone):
        session = engine.session()
        gone.append(weakref.ref(session))
        async with session:
            await session.run_async(QUICK)

    gone: list[weakref.ref] = []
    gc.collect()
    gc.disable()
    try:
        asyncio.run(run(gone))
        assert [reference() for reference in gone] == [None]
    finally:
        gc.enable()


# --- the end of a session ---


def test_leaving_the_block_stops_what_another_task_runs(engine):
    async def run():
        async with engine.session() as session:
            task = asyncio.create_task(session.run_async(LOOP))
            await until(lambda: engine.stats.running == 1)
        assert engine.stats.running == 0
        with pytest.raises(GuestCancelled):
            await task

    asyncio.run(run())


def test_a_session_is_closed_while_all_threads_are_busy(engine):
    async def run():
        async with engine.session() as one, engine.session() as two:
            tasks = [asyncio.create_task(session.run_async(LOOP)) for session in (one, two)]
            await until(lambda: engine.stats.running == 2)
            async with asyncio.timeout(SOON), engine.session():
                pass
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    asyncio.run(run())


def test_a_session_that_was_closed_runs_nothing(engine):
    async def run():
        async with engine.session() as session:
            pass
        await session.run_async(QUICK)

    with pytest.raises(RuntimeError, match="make another session"):
        asyncio.run(run())


def test_a_session_of_a_plain_block_is_awaited_too(engine):
    async def run():
        with engine.session() as session:
            return await session.run_async(QUICK)

    assert asyncio.run(run()) == 0


# --- threads ---


def test_threads_end_when_the_engine_is_closed():
    before = set(threads())

    async def run(engine):
        async with engine.session() as session:
            await session.run_async(QUICK)

    with Engine("cpu") as engine:
        asyncio.run(run(engine))
        made = set(threads()) - before
        assert made
    for thread in made:
        thread.join(SOON)
    assert not set(threads()) & made


def test_threads_end_when_they_have_had_nothing_to_do(engine, monkeypatch):
    monkeypatch.setattr(workers, "_PATIENCE", 0.05)
    before = set(threads())

    async def run():
        async with engine.session() as session:
            await session.run_async(QUICK)
        await until(lambda: not set(threads()) - before)
        async with engine.session() as session:
            assert await session.run_async(QUICK) == 0

    asyncio.run(run())


def test_the_engine_is_closed_while_a_guest_runs_and_the_guest_runs_on(engine):
    async def run():
        async with engine.session() as session:
            task = asyncio.create_task(session.run_async(SLEEP))
            await until(lambda: engine.stats.running == 1)
            engine.close()
            await asyncio.sleep(0.1)
            assert not task.done()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(run())


def test_a_program_with_small_stacks_runs_guests():
    before = threading.stack_size(128 << 10)
    try:
        with Engine("cpu") as engine:

            async def run():
                async with engine.session() as session:
                    return await session.run_async(QUICK)

            assert asyncio.run(run()) == 0
            # While a thread of the engine starts, such as one that closes a session, the size is another one.
            asyncio.run(until(lambda: threading.stack_size() == 128 << 10))
    finally:
        threading.stack_size(before)


def test_two_loops_in_two_threads_share_an_engine(engine):
    statuses = []

    async def run():
        for _ in range(20):
            async with engine.session() as session:
                statuses.append(await session.run_async(QUICK))

    loops = [threading.Thread(target=lambda: asyncio.run(run())) for _ in range(2)]
    for loop in loops:
        loop.start()
    for loop in loops:
        loop.join()
    assert statuses == [0] * 40


# --- the turn of the loop ---


def test_a_thread_waits_a_moment_for_a_loop_that_is_late_once_for_each_beat(monkeypatch):
    waited = []
    monkeypatch.setattr("wasi_nn_torch.sessions.offloading.pulse.time.sleep", waited.append)

    async def run():
        pulse = Pulse(asyncio.get_running_loop())
        pace = Pace(pulse)
        pace()
        assert waited == [], "no guest runs for the loop"
        pulse.enter()
        pace()
        assert waited == [], "the loop is not late"
        for late in (1, 2):
            pulse.due = time.monotonic() - late
            for _ in range(3):
                pace()
            assert len(waited) == late
        pulse.leave()

    asyncio.run(run())


def test_a_loop_beats_while_guests_run_for_it():
    async def run():
        pulse = Pulse(asyncio.get_running_loop())
        pulse.enter()
        first = pulse.due
        await until(lambda: pulse.due > first)
        assert pulse.due < float("inf")
        pulse.leave()
        await until(lambda: pulse.due == float("inf"))

    asyncio.run(run())
