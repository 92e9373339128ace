"""Guests whose exported functions are `async`, in sessions: called, awaited, and stopped like all others."""

from __future__ import annotations

import asyncio

import pytest

from tests.golden.bindings.waiting.bindings import Guest, add_to_linker
from tests.guests.waiting import waiting_guest
from wasi_nn_torch import Engine, GuestError, GuestTimeout, InvalidGuest, Limits

pytestmark = pytest.mark.cpu


class Log:
    def write(self, text):
        return 0


@pytest.fixture(scope="module")
def engine():
    with Engine("cpu", async_types=True) as engine:
        yield engine


@pytest.fixture(scope="module")
def guest(engine):
    return engine.compile(waiting_guest(), link=lambda linker: add_to_linker(linker, Log()))


def test_functions_are_called_and_awaited(engine, guest):
    async def run():
        async with engine.session() as session:
            plugin = await session.start_async(guest, Guest)
            return [await session.call_async(plugin.twice, 4), await plugin.jobs.run_async("mill", [1])]

    with engine.session() as session:
        assert session.start(guest, Guest).twice(21) == 42
    assert asyncio.run(run()) == [8, b"mill"]


def test_the_limit_of_time_ends_them(engine, guest):
    with engine.session(limits=Limits(timeout=0.2)) as session:
        plugin = session.start(guest, Guest)
        with pytest.raises(GuestTimeout):
            plugin.spin()


def test_a_cancelled_task_stops_them(engine, guest):
    async def run():
        async with engine.session() as session:
            plugin = await session.start_async(guest, Guest)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await session.call_async(plugin.spin)
            with pytest.raises(GuestError, match="cancelled"):
                plugin.twice(1)

    asyncio.run(run())


def test_an_engine_without_the_option_says_how_to_get_it():
    with (
        Engine("cpu") as engine,
        pytest.raises(InvalidGuest, match=r"`Engine\(async_types=True\)` accepts it"),
    ):
        engine.compile(waiting_guest())
