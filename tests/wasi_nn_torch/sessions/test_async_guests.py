"""Guests that stay, in asyncio: awaitable starts and calls, and implementations that are coroutine functions."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time

import pytest

from tests.wasi_nn_torch.helpers.plugins import Plugin, compiled
from tests.wasi_nn_torch.sessions.test_async import SOON, until
from wasi_nn_torch import Engine, GuestCancelled, GuestError, GuestTimeout, GuestTrap, Limits
from wasi_nn_torch.sessions.offloading import workers

pytestmark = pytest.mark.cpu


@pytest.fixture(scope="module")
def engine():
    with Engine("cpu", async_threads=2) as engine:
        yield engine


@pytest.fixture(scope="module")
def guest(engine):
    return compiled(engine)


def test_calls_are_awaited_and_the_guest_keeps_its_state(engine, guest):
    async def run():
        async with engine.session() as session:
            plugin = await session.start_async(guest, Plugin)
            return [await session.call_async(plugin.count) for _ in range(3)], await session.call_async(
                plugin.add, 40, b=2
            )

    assert asyncio.run(run()) == ([1, 2, 3], 42)


def test_a_core_module_is_started_and_called(engine):
    text = b'(module (func (export "twice") (param i32) (result i32) (i32.mul (local.get 0) (i32.const 2))))'

    async def run():
        async with engine.session() as session:
            instance = await session.start_async(text)
            return await session.call_async(instance.call, "twice", 21)

    assert asyncio.run(run()) == 42


def test_a_trap_ends_the_guest_for_later_calls(engine, guest):
    async def run():
        async with engine.session() as session:
            plugin = await session.start_async(guest, Plugin)
            with pytest.raises(GuestTrap):
                await session.call_async(plugin.fail)
            with pytest.raises(GuestError, match="it trapped before"):
                await session.call_async(plugin.count)

    asyncio.run(run())


def test_two_tasks_cannot_call_one_guest_at_the_same_time(engine, guest):
    async def run():
        async with engine.session() as session:
            plugin = await session.start_async(guest, Plugin)
            looping = asyncio.create_task(session.call_async(plugin.loop))
            await until(lambda: session.is_running)
            with pytest.raises(RuntimeError, match="one call at a time"):
                await session.call_async(plugin.count)
            looping.cancel()
            await asyncio.wait([looping])

    asyncio.run(run())


def test_a_call_that_is_cancelled_ends_the_guest(engine, guest):
    async def run():
        async with engine.session() as session:
            plugin = await session.start_async(guest, Plugin)
            looping = asyncio.create_task(session.call_async(plugin.loop))
            await until(lambda: session.is_running)
            looping.cancel()
            with pytest.raises(asyncio.CancelledError):
                await looping
            assert not session.is_running
            with pytest.raises(GuestError):
                await session.call_async(plugin.count)
            assert session.ended == "cancelled"

    asyncio.run(run())


def test_leaving_the_block_stops_a_call(engine, guest):
    async def run():
        async with engine.session() as session:
            plugin = await session.start_async(guest, Plugin)
            looping = asyncio.create_task(session.call_async(plugin.loop))
            await until(lambda: session.is_running)
        assert not session.is_running
        with pytest.raises(GuestCancelled):
            await looping

    asyncio.run(run())


def test_each_call_has_its_own_time(engine, guest):
    async def run():
        async with engine.session(limits=Limits(timeout=0.3)) as session:
            plugin = await session.start_async(guest, Plugin)
            for _ in range(3):
                await asyncio.sleep(0.15)
                await session.call_async(plugin.count)
            with pytest.raises(
                GuestTimeout, match=r"did not return from loop within 0\.3 s; raise the limit `timeout`"
            ):
                await session.call_async(plugin.loop)
            with pytest.raises(GuestError, match=r"within 0\.3 s"):
                await session.call_async(plugin.count)

    asyncio.run(run())


def test_a_call_that_is_overdue_has_ended_the_guest(engine):
    """The host function that blocks stands for a model that computes."""
    goes_on = threading.Event()

    async def run():
        guest = compiled(engine, ping=lambda: goes_on.wait(SOON) and None)
        async with engine.session(limits=Limits(timeout=0.1)) as session:
            plugin = await session.start_async(guest, Plugin)
            with pytest.raises(GuestTimeout, match=r"did not return from call-ping within 0\.1 s; raise the limit"):
                await session.call_async(plugin.ping)
            assert session.stats.overdue == engine.stats.overdue == 1
            with pytest.raises(RuntimeError):
                await session.call_async(plugin.count)
            goes_on.set()
            await until(lambda: session.stats.overdue == 0)
            with pytest.raises(GuestError, match=r"did not return from call-ping within 0\.1 s"):
                await session.call_async(plugin.count)
            assert session.ended == "timeout"

    asyncio.run(run())


def test_a_session_that_is_left_while_a_call_is_overdue_is_closed_by_its_thread(engine):
    goes_on = threading.Event()

    async def run():
        guest = compiled(engine, ping=lambda: goes_on.wait(SOON) and None)
        begin = time.monotonic()
        async with engine.session(limits=Limits(timeout=0.1)) as session:
            plugin = await session.start_async(guest, Plugin)
            with pytest.raises(GuestTimeout):
                await session.call_async(plugin.ping)
        assert time.monotonic() - begin < SOON / 2
        assert session.ended is None
        goes_on.set()
        await until(lambda: engine.stats.overdue == 0)
        with pytest.raises(ValueError, match="closed"):
            plugin.count()
        assert session.ended == "timeout"

    asyncio.run(run())


# --- implementations that are coroutine functions ---


def test_an_implementation_runs_in_the_loop_while_the_guest_waits(engine):
    tenant = contextvars.ContextVar("tenant", default="nobody")
    seen = []

    async def ping():
        await asyncio.sleep(0.01)
        seen.append((threading.current_thread(), tenant.get()))

    async def run():
        tenant.set("one")
        async with engine.session() as session:
            plugin = await session.start_async(compiled(engine, ping), Plugin)
            await session.call_async(plugin.ping)

    asyncio.run(run())
    assert seen == [(threading.main_thread(), "one")]


@pytest.mark.parametrize("way", ["timeout", "cancel"])
def test_the_end_of_a_guest_ends_the_coroutine_that_it_waits_for(way, engine):
    ended = []

    async def ping():
        try:
            await asyncio.sleep(600)
        finally:
            ended.append("ping")

    async def run():
        async with engine.session(limits=Limits(timeout=0.2 if way == "timeout" else None)) as session:
            plugin = await session.start_async(compiled(engine, ping), Plugin)
            task = asyncio.create_task(session.call_async(plugin.ping))
            await asyncio.sleep(0.1)
            if way == "cancel":
                task.cancel()
            with pytest.raises(GuestTimeout if way == "timeout" else asyncio.CancelledError):
                await task
            assert ended == ["ping"]
            assert engine.stats.overdue == 0

    begin = time.monotonic()
    asyncio.run(run())
    assert time.monotonic() - begin < SOON


def test_a_coroutine_may_use_the_engine_of_the_guest_that_waits_for_it():
    """With one thread for each of the two guests; the session of the inner one is closed while the outer one waits."""
    with Engine("cpu", async_threads=2) as engine:

        async def ping():
            async with engine.session() as session:
                plugin = await session.start_async(compiled(engine), Plugin)
                counted.append(await session.call_async(plugin.count))

        async def run():
            async with asyncio.timeout(SOON), engine.session() as session:
                plugin = await session.start_async(compiled(engine, ping), Plugin)
                await session.call_async(plugin.ping)

        counted = []
        asyncio.run(run())
    assert counted == [1]


def test_guests_that_wait_for_coroutines_leave_their_place_to_others():
    """On an engine that runs one guest at a time, and has no queue: each waits until all are there."""
    number = 6

    async def ping():
        arrived.append(engine.stats.running)
        if len(arrived) == number:
            all_are_there.set()
        await all_are_there.wait()

    async def one():
        async with engine.session() as session:
            plugin = await session.start_async(guest, Plugin)
            await session.call_async(plugin.ping)
            return await session.call_async(plugin.count)

    async def run():
        async with asyncio.timeout(SOON):
            return await asyncio.gather(*(one() for _ in range(number)))

    arrived, all_are_there = [], asyncio.Event()
    with Engine("cpu", async_threads=1) as engine:
        guest = compiled(engine, ping)
        assert asyncio.run(run()) == [1] * number
    assert len(arrived) == number


def test_only_so_many_guests_that_wait_leave_their_place(monkeypatch):
    """With one place, and one guest that may leave its own, two run: the third begins when one of them has ended."""
    monkeypatch.setattr(workers, "_MOST_RESTING", 1)

    async def ping():
        waiting.append(1)
        await both_may_go_on.wait()

    async def one():
        async with engine.session() as session:
            plugin = await session.start_async(guest, Plugin)
            await session.call_async(plugin.ping)

    async def run():
        async with asyncio.timeout(SOON):
            tasks = [asyncio.create_task(one()) for _ in range(3)]
            await until(lambda: len(waiting) == 2)
            await asyncio.sleep(0.1)
            assert len(waiting) == 2
            both_may_go_on.set()
            await asyncio.gather(*tasks)

    waiting, both_may_go_on = [], asyncio.Event()
    with Engine("cpu", async_threads=1) as engine:
        guest = compiled(engine, ping)
        asyncio.run(run())
    assert len(waiting) == 3


def test_guests_that_went_on_are_counted_again():
    """One at a time: while one loops, none begins, whoever waited before."""

    async def ping():
        await asyncio.sleep(0.01)

    async def run():
        async with asyncio.timeout(SOON), engine.session() as one, engine.session() as two:
            plugin = await one.start_async(guest, Plugin)
            await one.call_async(plugin.ping)
            other = await two.start_async(guest, Plugin)
            looping = asyncio.create_task(one.call_async(plugin.loop))
            await until(lambda: one.is_running)
            waiting = asyncio.create_task(two.call_async(other.count))
            await asyncio.sleep(0.1)
            assert not waiting.done()
            looping.cancel()
            await asyncio.wait([looping])
            assert await waiting == 1

    with Engine("cpu", async_threads=1) as engine:
        guest = compiled(engine, ping)
        asyncio.run(run())


@pytest.mark.filterwarnings("error")
def test_without_asyncio_a_coroutine_function_is_an_error_that_says_what_to_do(engine):
    async def ping():
        pass

    with engine.session() as session:
        plugin = session.start(compiled(engine, ping), Plugin)
        with pytest.raises(TypeError, match="ping is a coroutine function, which needs an event loop: run the guest"):
            plugin.ping()


def test_a_program_of_plain_calls_and_awaited_ones_is_stopped_in_time(engine, guest):
    """A guest that was patient in asyncio is not afterwards."""

    async def begin():
        async with engine.session(limits=Limits(timeout=0.3)) as other:
            plugin = await other.start_async(guest, Plugin)
            with pytest.raises(GuestTimeout):
                await other.call_async(plugin.loop)

    with engine.session(limits=Limits(timeout=0.2)) as session:
        plugin = asyncio.run(session.start_async(guest, Plugin))
        asyncio.run(begin())
        started = time.monotonic()
        with pytest.raises(GuestTimeout):
            plugin.loop()
        assert time.monotonic() - started < SOON
