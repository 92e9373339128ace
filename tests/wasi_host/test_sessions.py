"""Sessions of `wasi_nn_torch` whose guests get WASI from `wasi_host`."""

from __future__ import annotations

import asyncio

import pytest

import wasi_host
from tests.wit_host.helpers.waiting import blocking
from wasi_host import TestClock, World

pytest.importorskip("torch", reason="PyTorch is not installed")

from wasi_nn_torch import Engine, GuestTimeout, Limits


@pytest.fixture(scope="module")
def engine():
    return Engine()


@pytest.fixture(scope="module")
def sleeper(engine):
    """A command that sleeps for 146 years."""

    def link(linker):
        wasi_host.add_to_linker(linker, lambda session: session.data)

    return engine.compile(blocking(), link=link, buffers=wasi_host.BUFFERS)


def test_each_session_has_a_world_of_its_own(engine, sleeper):
    clocks = [TestClock(), TestClock()]
    for clock in clocks:
        with engine.session(data=World(clock=clock)) as session:
            assert session.run(sleeper) == 0
    assert clocks[0].elapsed == clocks[1].elapsed == 0x3FFFFFFFFFFFFFFF / 1e9


def test_a_session_ends_at_its_deadline(engine, sleeper):
    world = World()
    with engine.session(data=world, limits=Limits(timeout=0.3)) as session, pytest.raises(GuestTimeout):
        session.run(sleeper)
    assert world.open_handles == 0


def test_cancelling_a_task_stops_its_guest(engine, sleeper):
    async def run():
        with engine.session(data=World()) as session:
            task = asyncio.create_task(session.run_async(sleeper))
            await asyncio.sleep(0.1)
            assert not task.done(), "the event loop goes on while the guest waits"
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return session.ended

    assert asyncio.run(asyncio.wait_for(run(), 30)) is not None
