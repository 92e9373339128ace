"""Pools in asyncio: awaiting a lease, awaitable calls, and instances that are overdue or cancelled."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from tests.wasi_nn_torch.helpers.plugins import Misfit, Plugin, compiled
from tests.wasi_nn_torch.sessions.test_async import SOON, until
from wasi_nn_torch import Engine, EngineBusy, GuestCancelled, GuestTimeout, GuestTrap, Limits, LinkError

pytestmark = pytest.mark.cpu


@pytest.fixture(scope="module")
def engine():
    with Engine("cpu", async_threads=4) as engine:
        yield engine


@pytest.fixture(scope="module")
def guest(engine):
    return compiled(engine)


def test_a_lease_is_awaited_and_its_instance_called(engine, guest):
    async def run():
        async with engine.pool(guest, Plugin, size=2) as pool:
            counts = []
            for _ in range(3):
                async with pool.lease() as plugin:
                    counts.append(await pool.call_async(plugin.count))
            assert (pool.stats.started, pool.stats.lent, pool.stats.idle) == (1, 0, 1)
            return counts

    assert asyncio.run(run()) == [1, 2, 3]


def test_many_tasks_share_few_instances(engine, guest):
    async def one(pool):
        async with pool.lease() as plugin:
            return await pool.call_async(plugin.count)

    async def run():
        async with engine.pool(guest, Plugin, size=2) as pool:
            counts = await asyncio.gather(*(one(pool) for _ in range(40)))
            assert pool.stats.started <= 2
            assert pool.stats.uses == 40
            assert pool.stats.lent == 0
            return counts

    assert sum(asyncio.run(run())) >= 40


def test_the_loop_runs_on_while_a_task_waits_for_an_instance(engine, guest):
    async def run():
        async with engine.pool(guest, Plugin, size=1) as pool:
            async with pool.lease():
                with pytest.raises(TimeoutError, match=r"no instance of .* became free within 0\.1 s"):
                    async with pool.lease(timeout=0.1):
                        pass
            async with pool.lease(timeout=0.1) as plugin:
                assert await pool.call_async(plugin.add, 1, 2) == 3
            assert pool.stats.waits == 1

    asyncio.run(run())


def test_a_task_that_is_cancelled_while_it_waits_takes_no_place(engine, guest):
    async def wait(pool):
        async with pool.lease():
            pass

    async def run():
        async with engine.pool(guest, Plugin, size=1) as pool:
            async with pool.lease():
                tasks = [asyncio.create_task(wait(pool)) for _ in range(3)]
                await until(lambda: pool.stats.waiting == 3)
                tasks[1].cancel()
                await asyncio.wait([tasks[1]])
                assert pool.stats.waiting == 2
            await asyncio.gather(tasks[0], tasks[2])
            async with asyncio.timeout(SOON), pool.lease() as plugin:
                await pool.call_async(plugin.count)

    asyncio.run(run())


def test_a_task_that_is_cancelled_when_its_place_comes_gives_it_back(engine, guest):
    async def wait(pool):
        async with pool.lease():
            pass

    async def run():
        async with engine.pool(guest, Plugin, size=1) as pool:
            for _ in range(20):
                lease = pool.lease()
                await lease.__aenter__()
                task = asyncio.create_task(wait(pool))
                await until(lambda: pool.stats.waiting == 1)
                await lease.__aexit__(None, None, None)  # gives the place to the task, which does not know it yet
                task.cancel()
                await asyncio.wait([task])
            async with asyncio.timeout(SOON), pool.lease() as plugin:
                await pool.call_async(plugin.count)
            assert pool.stats.lent == 0

    asyncio.run(run())


def test_an_instance_that_does_not_start_leaves_its_place_free(engine, guest):
    async def run():
        async with engine.pool(guest, Misfit, size=1) as pool:
            for _ in range(3):
                with pytest.raises(LinkError, match="missing"):
                    async with pool.lease():
                        pass
            assert pool.stats.lent == 0

    asyncio.run(run())


def test_a_queue_that_is_full_leaves_the_place_free():
    async def run():
        with Engine("cpu", async_threads=1, async_queue=0) as engine:
            guest = compiled(engine)
            async with engine.session() as session, engine.pool(guest, Plugin, size=1) as pool:
                plugin = await session.start_async(guest, Plugin)
                looping = asyncio.create_task(session.call_async(plugin.loop))
                await until(lambda: session.is_running)
                for _ in range(3):
                    with pytest.raises(EngineBusy):
                        async with pool.lease():
                            pass
                looping.cancel()
                await asyncio.wait([looping])
                async with pool.lease() as plugin:
                    assert await pool.call_async(plugin.count) == 1

    asyncio.run(run())


SLOW_START = b"""(module (import "env" "wait" (func $wait (result i32)))
  (func (export "_initialize") (drop (call $wait))))"""


def test_a_task_that_is_cancelled_while_its_instance_starts_leaves_nothing_behind(engine):
    goes_on, has_begun = threading.Event(), threading.Event()

    def wait():
        has_begun.set()
        return int(goes_on.wait(SOON))

    async def visit(pool):
        async with pool.lease():
            pass

    async def run():
        slow = engine.compile(SLOW_START, link=lambda linker: linker.function("env", "wait", [], wait))
        async with engine.pool(slow, size=1) as pool:
            task = asyncio.create_task(visit(pool))
            await until(has_begun.is_set)
            task.cancel()
            await asyncio.sleep(0.1)
            assert not task.done(), "it did not wait for the host function"
            goes_on.set()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert pool.stats.lent == 0
            async with asyncio.timeout(SOON), pool.lease():
                pass

    asyncio.run(run())


def test_a_trap_replaces_the_instance(engine, guest):
    async def run():
        async with engine.pool(guest, Plugin, size=1) as pool:
            with pytest.raises(GuestTrap):
                async with pool.lease() as plugin:
                    await pool.call_async(plugin.fail)
            async with pool.lease() as plugin:
                assert await pool.call_async(plugin.count) == 1
            assert pool.stats.replaced == {"trap": 1}

    asyncio.run(run())


def test_a_call_that_is_cancelled_replaces_the_instance(engine, guest):
    async def loop(pool):
        async with pool.lease() as plugin:
            await pool.call_async(plugin.loop)

    async def run():
        async with engine.pool(guest, Plugin, size=1) as pool:
            task = asyncio.create_task(loop(pool))
            await asyncio.sleep(0.2)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            async with pool.lease() as plugin:
                assert await pool.call_async(plugin.count) == 1
            assert pool.stats.replaced == {"cancelled": 1}

    asyncio.run(run())


def test_an_instance_that_is_overdue_keeps_its_place_until_it_ends(engine):
    goes_on = threading.Event()

    async def run():
        guest = compiled(engine, ping=lambda: goes_on.wait(SOON) and None)
        async with engine.pool(guest, Plugin, size=1, limits=Limits(timeout=0.1)) as pool:
            begin = time.monotonic()
            with pytest.raises(GuestTimeout):
                async with pool.lease() as plugin:
                    await pool.call_async(plugin.ping)
            assert time.monotonic() - begin < SOON / 2
            with pytest.raises(TimeoutError):
                async with pool.lease(timeout=0.1):
                    pass
            assert engine.stats.overdue == 1
            goes_on.set()
            async with asyncio.timeout(SOON), pool.lease() as plugin:
                assert await pool.call_async(plugin.count) == 1
            assert pool.stats.replaced == {"timeout": 1}
            assert engine.stats.overdue == 0

    asyncio.run(run())


def test_an_instance_is_replaced_after_its_uses(engine, guest):
    async def run():
        async with engine.pool(guest, Plugin, size=1, max_uses=1) as pool:
            for _ in range(3):
                async with pool.lease() as plugin:
                    assert await pool.call_async(plugin.count) == 1
            assert pool.stats.replaced == {"uses": 3}

    asyncio.run(run())


def test_tenants_are_told_apart(engine, guest):
    async def run():
        async with engine.pool(guest, Plugin, size=1, by_tenant=True) as pool:
            for tenant in ("a", "b", "a"):
                async with pool.lease(tenant) as plugin:
                    assert await pool.call_async(plugin.count) == 1

    asyncio.run(run())


def test_call_async_needs_one_lease_of_the_task(engine, guest):
    async def run():
        async with engine.pool(guest, Plugin, size=2) as pool:
            with pytest.raises(RuntimeError, match="this task has 0 leases"):
                await pool.call_async(int)
            first = pool.lease()
            async with first as plugin, pool.lease():
                with pytest.raises(RuntimeError, match="this task has 2 leases"):
                    await pool.call_async(plugin.count)
                assert await first.session.call_async(plugin.count) == 1
            with pytest.raises(RuntimeError, match="this task has 0 leases"):
                await pool.call_async(plugin.count)

    asyncio.run(run())


def test_an_instance_that_is_returned_while_it_is_called_is_cancelled(engine, guest):
    tasks = []

    async def leave(pool):
        async with pool.lease() as plugin:
            tasks.append(asyncio.create_task(pool.call_async(plugin.loop)))
            await asyncio.sleep(0.2)

    async def run():
        async with engine.pool(guest, Plugin, size=1) as pool:
            with pytest.raises(RuntimeError, match="returned to its pool while it was called"):
                await leave(pool)
            with pytest.raises(GuestCancelled):
                await tasks[0]
            async with asyncio.timeout(SOON), pool.lease() as plugin:
                assert await pool.call_async(plugin.count) == 1

    asyncio.run(run())


def test_whoever_waits_is_told_that_the_pool_is_closed(engine, guest):
    async def wait(pool):
        async with pool.lease():
            pass

    async def run():
        pool = engine.pool(guest, Plugin, size=1)
        async with pool.lease():
            task = asyncio.create_task(wait(pool))
            await until(lambda: pool.stats.waiting == 1)
            pool.close()
            with pytest.raises(RuntimeError, match="is closed"):
                await task
        assert pool.stats.idle == pool.stats.lent == 0

    asyncio.run(run())
