"""Deadlines in asyncio: the caller is answered in time, and the model that computes ends in its own time."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from tests.wasi_nn_torch.helpers.awaited import COMPUTE, LOOP, SAY, SLEEP
from tests.wasi_nn_torch.helpers.models import scripted, slow
from tests.wasi_nn_torch.sessions.test_async import SOON, until
from wasi_nn_torch import Engine, GuestTimeout, Limits
from wasi_nn_torch.cli.stats_table import print_stats

pytestmark = pytest.mark.cpu

#: How long the model computes, in seconds; much longer than a guest may take.
LONG = 2.0


@pytest.fixture(scope="module")
def engine():
    with Engine("cpu", async_threads=2) as engine:
        engine.register("slow", scripted(slow(LONG)))
        yield engine


@pytest.fixture(scope="module")
def guests(engine):
    return {name: engine.compile(source) for name, source in {"loop": LOOP, "sleep": SLEEP, "compute": COMPUTE}.items()}


@pytest.mark.parametrize("name", ["loop", "sleep"])
def test_a_guest_has_stopped_at_its_deadline(name, engine, guests):
    async def run():
        async with engine.session(limits=Limits(timeout=0.2)) as session:
            begin = time.monotonic()
            with pytest.raises(GuestTimeout, match=r"did not end within 0\.2 s; raise the limit `timeout`"):
                await session.run_async(guests[name])
            assert time.monotonic() - begin >= 0.2
            await until(lambda: engine.stats.running == 0)

    asyncio.run(run())


def test_the_caller_is_answered_while_a_model_computes(engine, guests, capsys):
    async def run():
        async with engine.session(limits=Limits(timeout=0.3)) as session:
            begin = time.monotonic()
            with pytest.raises(GuestTimeout, match=r"did not end within 0\.3 s; raise the limit `timeout`"):
                await session.run_async(guests["compute"])
            assert time.monotonic() - begin < LONG / 2
            assert session.stats.overdue == engine.stats.overdue == 1
            assert session.stats.memory.live_bytes == 16
            print_stats(session.stats)
            assert "computing beyond the guest's time" in capsys.readouterr().err
            assert session.stats.to_dict()["overdue"] == engine.stats.to_dict()["overdue"] == 1
        assert time.monotonic() - begin < LONG / 2, "leaving the session waited for the model"
        await until(lambda: engine.stats.overdue == 0)
        assert engine.stats.running == session.stats.overdue == 0
        assert session.stats.memory.live_bytes == 0
        return engine.stats.ended

    before = engine.stats.ended.get("timeout", 0)
    assert asyncio.run(run())["timeout"] == before + 1


def test_a_session_of_a_plain_block_does_not_wait_for_the_model_either(engine, guests):
    async def run():
        begin = time.monotonic()
        with pytest.raises(GuestTimeout), engine.session(limits=Limits(timeout=0.2)) as session:
            await session.run_async(guests["compute"])
        assert time.monotonic() - begin < LONG / 2
        await until(lambda: session.stats.overdue == 0)

    asyncio.run(run())


def test_closing_the_engine_does_not_wait_for_the_model():
    async def run():
        engine = Engine("cpu")
        engine.register("slow", scripted(slow(LONG)))
        async with engine.session(limits=Limits(timeout=0.2)) as session:
            with pytest.raises(GuestTimeout):
                await session.run_async(COMPUTE)
        begin = time.monotonic()
        engine.close()
        assert time.monotonic() - begin < LONG / 4
        assert engine.stats.overdue == 1
        await until(lambda: engine.stats.overdue == 0)

    asyncio.run(run())


def test_a_session_with_a_guest_that_is_overdue_refuses_another_one(engine, guests):
    async def run():
        async with engine.session(limits=Limits(timeout=0.2)) as session:
            with pytest.raises(GuestTimeout):
                await session.run_async(guests["compute"])
            with pytest.raises(RuntimeError):
                await session.run_async(guests["loop"])
        await until(lambda: engine.stats.overdue == 0)

    asyncio.run(run())


def test_the_time_in_the_queue_does_not_count():
    async def run():
        with Engine("cpu", async_threads=1) as engine:
            async with engine.session() as first, engine.session(limits=Limits(timeout=0.2)) as second:
                running = asyncio.create_task(first.run_async(LOOP))
                await until(lambda: engine.stats.running == 1)
                waiting = asyncio.create_task(second.run_async(SAY))
                await asyncio.sleep(0.6)
                assert not waiting.done()
                running.cancel()
                assert await waiting == 0

    asyncio.run(run())


def test_the_error_of_closing_a_session_that_is_overdue_is_logged(engine, caplog):
    """The receiver of the output, which blocks, stands for a host function that takes long."""
    goes_on = threading.Event()

    def receive(data):
        assert goes_on.wait(SOON)
        raise OSError("disk full")

    async def run():
        async with engine.session(limits=Limits(timeout=0.1), stdout=receive) as session:
            with pytest.raises(GuestTimeout):
                await session.run_async(SAY)
            assert session.stats.overdue == 1
        goes_on.set()
        await until(lambda: engine.stats.overdue == 0)

    asyncio.run(run())
    assert engine.stats.running == 0
