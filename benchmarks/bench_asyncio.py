"""The event loop beside guests at work: how late it is, what cancelling takes, and how late deadlines are.

A coroutine sleeps for a millisecond again and again; what it sleeps longer is the delay of the loop.
"""

from __future__ import annotations

import asyncio
import gc
import io
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from statistics import median, quantiles

import pytest
import torch
from tests.guests import witx
from tests.wasi_nn_torch.helpers.awaited import COMPUTE, LOOP, SLEEP
from tests.wasi_nn_torch.helpers.models import scripted, slow

from benchmarks.comparison import Row, duration
from wasi_nn_torch import Engine, Guest, GuestTimeout, Limits

#: The number of guests at work, and of threads in one of the baselines.
GUESTS = 32
#: The time that the loop is watched, in seconds, and how often each way of stopping is timed.
WATCH, TIMES = 5.0, 20

_OPEN = f"""
  (drop (call $load_by_name (i32.const {witx.NAME}) (i32.const 4) (i32.const 0)))
  (drop (call $init_execution_context (i32.load (i32.const 0)) (i32.const 4)))
  (drop (call $set_input (i32.load (i32.const 4)) (i32.const 0) (i32.const {witx.RECORD})))"""
_WORK = {
    "loops in wasm": """
      (local.set $i (i32.const 10000000))
      (loop $again (br_if $again (local.tee $i (i32.sub (local.get $i) (i32.const 1)))))""",
    "tensor calls": f"""
      (local.set $i (i32.const 200))
      (loop $again
        (drop (call $set_input (i32.load (i32.const 4)) (i32.const 0) (i32.const {witx.RECORD})))
        (br_if $again (local.tee $i (i32.sub (local.get $i) (i32.const 1)))))""",
    "models that compute": "(if (call $compute (i32.load (i32.const 4))) (then unreachable))",
}
KINDS = list(_WORK)


def reactor(kind: str) -> bytes:
    """A guest that stays, whose `work` takes some milliseconds."""
    return f"""(module {witx.imports()} {witx.MEMORY}
      (data (i32.const {witx.NAME}) "slow")
      (data (i32.const {witx.RECORD}) "\\00\\04\\00\\00\\01\\00\\00\\00\\01\\00\\00\\00")
      (data (i32.const {witx.RECORD + 12}) "\\00\\10\\00\\00\\10\\00\\00\\00")
      (data (i32.const {witx.DIMENSIONS}) "\\04\\00\\00\\00")
      (func (export "_initialize") {_OPEN})
      (func (export "work") (local $i i32) {_WORK[kind]}))""".encode()


@pytest.fixture(scope="module", autouse=True)
def _frozen() -> Iterator[None]:
    """Keep PyTorch's objects away from the garbage collector, as docs/embedding.md advises."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(scope="module")
def slow_engine() -> Iterator[Engine]:
    """An engine whose model computes for a second."""
    with Engine("cpu", async_threads=4) as engine:
        engine.register("slow", scripted(slow(1.0)))
        yield engine


# --- the delay of the loop ---


async def delays(seconds: float) -> list[float]:
    """The delays of the loop, for this time."""
    late: list[float] = []
    end = time.perf_counter() + seconds
    while (begin := time.perf_counter()) < end:
        await asyncio.sleep(0.001)
        late.append(time.perf_counter() - begin - 0.001)
    return late


async def beside(engine: Engine, guests: list[Guest]) -> list[float]:
    """The delays of the loop while these guests start, are called again and again, and are closed."""
    calls = [0] * len(guests)

    async def work(index: int) -> None:
        async with engine.session() as session:
            instance = await session.start_async(guests[index])
            while True:
                await session.call_async(instance.call, "work")
                calls[index] += 1

    watch = asyncio.create_task(delays(WATCH))
    await asyncio.sleep(0.1)
    tasks = [asyncio.create_task(work(index)) for index in range(len(guests))]
    await asyncio.sleep(WATCH - 0.5)
    for task in tasks:
        task.cancel()
    done = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(each) for each in done] == [asyncio.CancelledError] * len(guests)
    assert min(calls) > 0, "a guest was never served"
    return await watch


async def beside_threads(number: int) -> list[float]:
    """The delays of the loop while plain threads compute with torch."""
    is_over = threading.Event()
    model = torch.jit.load(io.BytesIO(scripted(slow(0.005))))

    def compute() -> None:
        x = torch.zeros(4)
        while not is_over.is_set():
            model(x)

    threads = [threading.Thread(target=compute) for _ in range(number)]
    for thread in threads:
        thread.start()
    late = await delays(WATCH)
    is_over.set()
    for thread in threads:
        thread.join()
    return late


@pytest.mark.parametrize(
    ("kinds", "threads"),
    [*(([kind], None) for kind in KINDS), (KINDS, None), (KINDS, GUESTS)],
    ids=[*KINDS, "each a third", f"each a third on {GUESTS} threads"],
)
def test_the_loop(kinds: list[str], threads: int | None, rows: list[Row]) -> None:
    with Engine("cpu", async_threads=threads) as engine:
        engine.register("slow", scripted(slow(0.005)))
        compiled = [engine.compile(reactor(kind)) for kind in kinds]
        guests = [compiled[index % len(compiled)] for index in range(GUESTS)]
        idle, plain = asyncio.run(delays(WATCH)), asyncio.run(beside_threads(GUESTS))
        ours = asyncio.run(beside(engine, guests))
    where = "" if threads is None else f" on {threads} threads"
    name = f"the loop beside {GUESTS} guests{where} ({kinds[0] if len(kinds) == 1 else 'each a third'})"
    goal = 0.02 if threads is None else None
    for baseline, late in (("nothing running", idle), (f"{GUESTS} threads with torch", plain)):
        rows.append(_row(f"{name}: largest delay", baseline, max(late), max(ours), goal))
        rows.append(_row(f"{name}: p99", baseline, _p99(late), _p99(ours)))


def _p99(late: list[float]) -> float:
    return quantiles(late, n=100)[-1]


def _row(what: str, baseline: str, theirs: float, ours: float, goal: float | None = None) -> Row:
    text, reached = ("", None) if goal is None else (f"≤ {goal * 1e3:g} ms", ours <= goal)
    return Row(
        what, baseline, max(theirs, 1e-9), ours, f"{ours / max(theirs, 1e-9):,.3g} x", text, reached, 0.0, duration
    )


# --- cancelling ---


async def cancelling(begin: Callable[[], Awaitable[object]], is_ready: Callable[[], bool]) -> float:
    """The time from the cancelling of a task to its end."""
    task = asyncio.ensure_future(begin())
    while not is_ready():
        await asyncio.sleep(0.001)
    await asyncio.sleep(0.02)
    started = time.perf_counter()
    task.cancel()
    await asyncio.wait([task])
    return time.perf_counter() - started


async def stopping(engine: Engine, guest: Guest | None) -> list[float]:
    """What cancelling takes: of a guest that runs, or of one in the queue."""
    taken = []
    for _ in range(TIMES):
        async with engine.session() as session:
            if guest is None:
                async with _full(engine):
                    taken.append(await cancelling(lambda: session.run_async(engine.compile(LOOP)), lambda: True))
            else:
                taken.append(await cancelling(lambda: session.run_async(guest), lambda: engine.stats.running > 0))
    return taken


@asynccontextmanager
async def _full(engine: Engine) -> AsyncIterator[None]:
    """Every thread of the engine is taken."""
    guest = engine.compile(LOOP)

    async def visit() -> None:
        async with engine.session() as session:
            await session.run_async(guest)

    tasks = [asyncio.create_task(visit()) for _ in range(4)]
    while engine.stats.running < 4:
        await asyncio.sleep(0.001)
    yield
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


@pytest.mark.parametrize("what", ["in a loop", "waiting in WASI", "in the queue"])
def test_cancelling(what: str, slow_engine: Engine, rows: list[Row]) -> None:
    source = {"in a loop": LOOP, "waiting in WASI": SLEEP, "in the queue": None}[what]
    guest = None if source is None else slow_engine.compile(source)

    async def nothing() -> list[float]:
        return [await cancelling(lambda: asyncio.sleep(600), lambda: True) for _ in range(TIMES)]

    plain, ours = asyncio.run(nothing()), asyncio.run(stopping(slow_engine, guest))
    rows.append(_row(f"cancelling a guest {what}: median", "cancelling a sleep", median(plain), median(ours)))
    rows.append(_row(f"cancelling a guest {what}: largest", "cancelling a sleep", max(plain), max(ours)))


# --- deadlines ---


async def lateness(engine: Engine, guest: Guest, timeout: float) -> float:
    """How late the caller gets GuestTimeout."""
    async with engine.session(limits=Limits(timeout=timeout)) as session:
        started = time.perf_counter()
        with pytest.raises(GuestTimeout):
            await session.run_async(guest)
        late = time.perf_counter() - started - timeout
    while engine.stats.running:
        await asyncio.sleep(0.01)
    return late


@pytest.mark.parametrize("what", ["in a loop", "whose model computes for 1 s"])
def test_deadlines(what: str, slow_engine: Engine, rows: list[Row]) -> None:
    guest = slow_engine.compile(LOOP if what == "in a loop" else COMPUTE)
    times = TIMES if what == "in a loop" else 5

    async def ours() -> list[float]:
        return [await lateness(slow_engine, guest, 0.1) for _ in range(times)]

    async def plain() -> list[float]:
        late = []
        for _ in range(times):
            started = time.perf_counter()
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(asyncio.sleep(600), 0.1)
            late.append(time.perf_counter() - started - 0.1)
        return late

    baseline, late = asyncio.run(plain()), asyncio.run(ours())
    rows.append(
        _row(
            f"lateness of a deadline, guest {what}: largest", "wait_for on a sleep", max(baseline), max(late), goal=0.05
        )
    )
