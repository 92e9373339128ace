"""Guests in asyncio when something else goes wrong: loops that end, forks, and the end of the interpreter."""

from __future__ import annotations

import asyncio
import gc
import os

import pytest

from tests import warm
from tests.wasi_nn_torch.helpers.awaited import LOOP, QUICK
from tests.wasi_nn_torch.sessions.test_async import until
from tests.wit_host.helpers.processes import in_a_process
from wasi_nn_torch import Engine

pytestmark = pytest.mark.cpu

needs_posix = pytest.mark.skipif(os.name == "nt", reason="Windows has neither forks nor signals that a test can raise")


@pytest.fixture
def engine():
    with Engine("cpu", async_threads=2) as engine:
        yield engine


def test_an_exception_in_the_loop_stops_the_guests_of_its_tasks(engine):
    def fail():
        raise SystemExit(3)

    async def run():
        async with engine.session() as session:
            task = asyncio.create_task(session.run_async(LOOP))
            await until(lambda: engine.stats.running == 1)
            asyncio.get_running_loop().call_soon(fail)
            await task

    with pytest.raises(SystemExit):
        asyncio.run(run())
    assert engine.stats.running == 0
    assert engine.stats.ended == {"cancelled": 1}


def test_an_exception_of_a_callback_does_not_disturb_the_guests(engine):
    said = []

    async def run():
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: said.append(context["exception"]))
        async with engine.session() as session:
            loop.call_soon(lambda: 1 / 0)
            assert await session.run_async(QUICK) == 0

    asyncio.run(run())
    assert [type(each) for each in said] == [ZeroDivisionError]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_guests_stop_when_their_loop_is_closed_and_forgotten(engine):
    async def visit():
        async with engine.session() as session:
            await session.run_async(LOOP)

    async def begin():
        task = asyncio.create_task(visit())
        await until(lambda: engine.stats.running == 1)
        return task

    loop = asyncio.new_event_loop()
    task = loop.run_until_complete(begin())
    loop.close()
    del task, loop
    gc.collect()
    asyncio.run(until(lambda: engine.stats.running == 0))


COMMON = """
import asyncio, logging, os, signal, sys, threading, time
from tests.wasi_nn_torch.helpers.awaited import COMPUTE, LOOP, QUICK, SLEEP
from wasi_nn_torch import Engine, GuestTimeout, Limits

logging.getLogger("asyncio").disabled = True  # it complains about tasks that are not awaited, as the tests want them
engine = Engine("cpu", async_threads=4)

async def visit(guest, timeout=None):
    async with engine.session(limits=Limits(timeout=timeout)) as session:
        try:
            return await session.run_async(guest)
        except GuestTimeout:
            pass

async def begin(guest, timeout=None, number=6):
    tasks = [asyncio.create_task(visit(guest, timeout)) for _ in range(number)]
    end = time.monotonic() + 60
    while engine.stats.running < min(number, 4) and time.monotonic() < end:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
    return tasks
"""

EXIT = (
    COMMON
    + """
kind, way = sys.argv[1:]
if kind == "compute":
    from tests.wasi_nn_torch.helpers.models import scripted, slow
    engine.register("slow", scripted(slow(0.5)))
guest = engine.compile({"loop": LOOP, "sleep": SLEEP, "compute": COMPUTE}[kind])

if way == "returned":
    asyncio.run(begin(guest))
elif way == "overdue":
    asyncio.run(begin(guest, timeout=0.05))
elif way == "abandoned":
    loop = asyncio.new_event_loop()
    tasks = loop.run_until_complete(begin(guest))
elif way == "closed":
    loop = asyncio.new_event_loop()
    tasks = loop.run_until_complete(begin(guest))
    loop.close()
print("fine", flush=True)
"""
)


@pytest.mark.parametrize("way", ["returned", "overdue", "abandoned", "closed"])
@pytest.mark.parametrize("kind", ["loop", "sleep", "compute"])
def test_the_interpreter_ends_while_guests_run(kind, way):
    in_a_process(EXIT, kind, way, python=warm.python())


INTERRUPT = (
    COMMON
    + """
guest = engine.compile({"loop": LOOP, "sleep": SLEEP}[sys.argv[1]])

async def main():
    tasks = await begin(guest, number=3)
    threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
    await asyncio.wait(tasks)

try:
    asyncio.run(main())
except KeyboardInterrupt:
    assert engine.stats.running == 0
    assert engine.stats.ended == {"cancelled": 3}, engine.stats.ended
    print("fine")
"""
)


@needs_posix
@pytest.mark.parametrize("kind", ["loop", "sleep"])
def test_ctrl_c_stops_the_guests(kind):
    in_a_process(INTERRUPT, kind, python=warm.python())


FORK = (
    COMMON
    + """
loop_guest, quick = engine.compile(LOOP), engine.compile(QUICK)
loop = asyncio.new_event_loop()
threading.Thread(target=loop.run_forever, daemon=True).start()
tasks = asyncio.run_coroutine_threadsafe(begin(loop_guest), loop).result()

child = os.fork()
if not child:
    assert engine.stats.overdue == 0
    for _ in range(10):
        assert asyncio.run(visit(quick)) == 0
    assert asyncio.run(visit(loop_guest, 0.2)) is None
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("wasi-nn-guest")]
    asyncio.run(begin(loop_guest))
    sys.exit(7)

end = time.monotonic() + 60
while True:
    pid, status = os.waitpid(child, os.WNOHANG)
    if pid:
        break
    if time.monotonic() > end:
        os.kill(child, signal.SIGKILL)
        sys.exit("the child hangs")
    time.sleep(0.05)
assert os.waitstatus_to_exitcode(status) == 7, status
assert engine.stats.running == 4
for task in tasks:
    loop.call_soon_threadsafe(task.cancel)
while engine.stats.running:
    time.sleep(0.01)
print("fine", flush=True)
"""
)


@needs_posix
def test_the_child_of_a_fork_runs_guests_and_ends():
    in_a_process(FORK, python=warm.python())
