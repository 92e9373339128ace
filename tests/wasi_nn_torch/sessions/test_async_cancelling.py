"""Cancelling tasks that await a guest: before, during and after its run, in the queue, while a model computes."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.wasi_nn_torch.helpers.awaited import COMPUTE, LOOP, QUICK, SAY, SLEEP
from tests.wasi_nn_torch.helpers.models import scripted, slow
from tests.wasi_nn_torch.sessions.test_async import SOON, until
from wasi_nn_torch import Engine, Limits

pytestmark = pytest.mark.cpu


@pytest.fixture(scope="module")
def engine():
    with Engine("cpu", async_threads=1) as engine:
        engine.register("slow", scripted(slow(0.7)))
        yield engine


@pytest.fixture(scope="module")
def guests(engine):
    sources = {"loop": LOOP, "sleep": SLEEP, "compute": COMPUTE, "quick": QUICK}
    return {name: engine.compile(source) for name, source in sources.items()}


@pytest.mark.parametrize("name", ["loop", "sleep", "compute"])
def test_the_guest_has_stopped_when_the_task_is_told(name, engine, guests):
    async def run():
        async with engine.session() as session:
            task = asyncio.create_task(session.run_async(guests[name]))
            await until(lambda: engine.stats.running == 1)
            await asyncio.sleep(0.2)
            if name == "compute":
                assert session.stats.memory.live_tensors == 1
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert engine.stats.running == 0
            assert session.stats.memory.live_tensors == 0
            assert session.stats.memory.live_bytes == 0
        return engine.stats.ended

    before = engine.stats.ended.get("cancelled", 0)
    assert asyncio.run(run())["cancelled"] == before + 1


def test_a_task_that_is_cancelled_before_it_begins_runs_no_guest(engine):
    said = []

    async def run():
        async with engine.session(stdout=said.append) as session:
            task = asyncio.create_task(session.run_async(SAY))
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(run())
    assert said == []


def test_a_guest_in_the_queue_never_starts(engine, guests):
    said = []

    async def run():
        async with engine.session() as first, engine.session(stdout=said.append) as second:
            running = asyncio.create_task(first.run_async(guests["loop"]))
            waiting = asyncio.create_task(second.run_async(SAY))
            await until(lambda: engine.stats.running == 1)
            waiting.cancel()
            begin = time.monotonic()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            assert not running.done()
            running.cancel()
            await asyncio.wait([running])
            assert time.monotonic() - begin < SOON
        async with engine.session() as third:
            assert await third.run_async(guests["quick"]) == 0

    asyncio.run(run())
    assert said == []


def test_a_second_cancellation_changes_nothing(engine, guests):
    async def run():
        async with engine.session() as session:
            task = asyncio.create_task(session.run_async(guests["compute"]))
            await until(lambda: session.stats.memory.live_tensors == 1)
            for _ in range(5):
                task.cancel()
                await asyncio.sleep(0.01)
            with pytest.raises(asyncio.CancelledError):
                await task
            assert session.stats.memory.live_bytes == 0
        async with engine.session() as session:
            assert await session.run_async(guests["quick"]) == 0

    asyncio.run(run())


def test_a_task_that_is_cancelled_after_its_guest_has_ended_has_its_result(engine, guests):
    async def run():
        async with engine.session() as session:
            task = asyncio.create_task(session.run_async(guests["quick"]))
            await asyncio.wait([task])
            task.cancel()
            return await task

    assert asyncio.run(run()) == 0


def test_a_timeout_of_asyncio_is_a_timeout_error(engine, guests):
    async def run():
        async with engine.session() as session:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await session.run_async(guests["loop"])
            assert engine.stats.running == 0
        async with engine.session() as session:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(session.run_async(guests["sleep"]), 0.2)
            assert engine.stats.running == 0
        await asyncio.sleep(0)

    asyncio.run(run())


def test_a_group_of_tasks_stops_its_guests_when_one_fails(engine, guests):
    async def fail():
        await until(lambda: engine.stats.running == 1)
        raise ValueError("of a neighbour")

    async def run():
        async def both():
            async with asyncio.TaskGroup() as group:
                group.create_task(session.run_async(guests["loop"]))
                group.create_task(fail())

        async with engine.session() as session:
            with pytest.raises(ExceptionGroup) as raised:
                await both()
            assert [type(each) for each in raised.value.exceptions] == [ValueError]
            assert engine.stats.running == 0

    asyncio.run(run())


def test_leaving_a_session_goes_to_its_end_although_the_task_is_cancelled(engine):
    async def run():
        session = engine.session()

        async def visit():
            async with session:
                pass

        task = asyncio.create_task(visit())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(RuntimeError, match="make another session"):
            session.run(QUICK)

    asyncio.run(run())


def test_cancelling_wins_over_the_deadline(engine, guests):
    async def run():
        async with engine.session(limits=Limits(timeout=0.3)) as session:
            task = asyncio.create_task(session.run_async(guests["compute"]))
            await until(lambda: session.stats.memory.live_tensors == 1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert session.stats.overdue == 0
            assert session.stats.memory.live_bytes == 0

    asyncio.run(run())
