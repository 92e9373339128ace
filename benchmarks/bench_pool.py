"""Guests that stay: what a call costs in a session and through a pool, and the memory of each instance.

The baselines are the same guest in a store of `wit_host`, without a session, and a fresh session for each call.
`python -m benchmarks.bench_pool GUEST HOLDER COUNT` prints the bytes that each of several instances takes.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from benchmarks.comparison import Comparison, Work
from benchmarks.conftest import ROOT
from wasi_nn_torch import Engine, Guest
from wit_host import GuestFunction, GuestInterface, Instance
from wit_host import values as wit

SMALL = b"""(component
  (core module $m
    (memory (export "memory") 1)
    (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1))))
  (core instance $i (instantiate $m))
  (func (export "add") (param "a" u32) (param "b" u32) (result u32) (canon lift (core func $i "add"))))"""
#: The plug-in of `make plugins`, and where its bindings are.
PLUGIN = ROOT / "build/plugins/plugin.wasm"

_ADD = GuestFunction[int]("add", {"a": wit.U32, "b": wit.U32}, wit.U32)


class Adder(GuestInterface):
    """The exports of `SMALL`."""

    def __init__(self, instance: Instance) -> None:
        super().__init__(instance, None, [_ADD])


@dataclass(frozen=True)
class Case:
    """A guest: what it is compiled from, its class, one call of it, and how often to do things in a round."""

    name: str
    source: bytes | Path
    cls: Callable[[Any], Any]
    call: Callable[[Any], object]
    link: Callable[[Any], object] | None
    calls: int
    sessions: int

    def compiled(self, engine: Engine) -> Guest:
        """The guest, compiled."""
        return engine.compile(self.source, self.link)

    @contextmanager
    def in_store(self, engine: Engine, guest: Guest) -> Iterator[Any]:
        """The guest in a store, without a session."""
        with engine._runtime._engine.store() as store:
            yield self.cls(store.instantiate(guest.linked))

    @contextmanager
    def in_session(self, engine: Engine, guest: Guest) -> Iterator[Any]:
        """The guest in a session."""
        with engine.session() as session:
            yield session.start(guest, self.cls)


def small() -> Case:
    """A component without imports."""
    return Case("small component", SMALL, Adder, lambda guest: _ADD(guest, 1, 2), None, 2000, 50)


@cache
def in_python() -> Case:
    """A reactor of componentize-py."""
    sys.path.insert(0, str(PLUGIN.parent))
    bindings = import_module("plugin_bindings")

    class Library(bindings.notes.Host):  # type: ignore[name-defined,misc]
        def get_notebook(self, name: str) -> None:
            return None

    def link(linker: object) -> None:
        bindings.add_to_linker(linker, Library())

    size = f"{PLUGIN.stat().st_size / 1e6:.0f} MB guest in Python"
    return Case(size, PLUGIN, bindings.Guest, lambda guest: guest.actions.available(), link, 100, 3)


CASES = [
    pytest.param(small, id="small"),
    pytest.param(in_python, id="python", marks=pytest.mark.skipif(not PLUGIN.exists(), reason="run `make plugins`")),
]


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Engine() as engine:
        yield engine


@pytest.mark.parametrize("case", CASES)
def test_calls(compare: Comparison, engine: Engine, case: Callable[[], Case]) -> None:
    """What sessions and pools add to a call, and what they save."""
    it = case()
    guest = it.compiled(engine)
    with (
        it.in_store(engine, guest) as bare,
        it.in_session(engine, guest) as kept,
        engine.pool(guest, it.cls) as pool,
    ):

        def call(times: int, target: object) -> None:
            for _ in range(times):
                it.call(target)

        def lease(times: int) -> None:
            for _ in range(times):
                with pool.lease() as lent:
                    it.call(lent)

        def begin(times: int) -> None:
            for _ in range(times):
                with it.in_session(engine, guest) as fresh:
                    it.call(fresh)

        works = [
            Work(lambda times: call(times, bare), it.calls),
            Work(lambda times: call(times, kept), it.calls),
            Work(begin, it.sessions),
        ]
        pooled, direct, held, fresh = compare.measure(Work(lease, it.calls), *works, rounds=15)
    compare.within(f"{it.name}: a call in a session", "a call in a store", direct, held, None)
    compare.within(f"{it.name}: a lease and a call", "a call in a store", direct, pooled, None)
    compare.faster(f"{it.name}: a lease and a call", "a fresh session for each", fresh, pooled, goal=2)


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_threads(compare: Comparison, engine: Engine, threads: int) -> None:
    """The rate of leases in several threads, of a pool with an instance for each; the baseline is one thread."""
    it = small()
    with engine.pool(it.compiled(engine), it.cls, size=4) as pool:

        def lease(times: int) -> None:
            for _ in range(times):
                with pool.lease() as lent:
                    it.call(lent)

        def in_threads(times: int) -> None:
            workers = [Thread(target=lease, args=(times // threads,)) for _ in range(threads)]
            for worker in workers:
                worker.start()
            for worker in workers:
                worker.join()

        ours, one = compare.measure(Work(in_threads, it.calls), Work(lease, it.calls), rounds=15)
    compare.within(f"a lease and a call, {threads} threads", "in one thread", one, ours, None)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.benchmark(group="memory")
def test_memory(compare: Comparison, engine: Engine, case: Callable[[], Case], request: pytest.FixtureRequest) -> None:
    """The memory of each instance of a pool, beside that of a guest in a store; each in a process of its own."""
    it = case()
    it.compiled(engine)  # so that it is in the cache
    count = 200 if case is small else 10
    bare, pooled = (memory_of(request.node.callspec.id, holder, count) for holder in ("store", "pool"))
    compare.memory(f"{it.name}: memory of an instance in a pool", "in a store", bare, pooled)


def memory_of(case: str, holder: str, count: int) -> int:
    """The bytes that each of several instances takes."""
    command = [sys.executable, "-m", "benchmarks.bench_pool", case, holder, str(count)]
    return int(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _measure(case: Case, holder: str, count: int) -> int:
    with Engine() as engine, ExitStack() as stack:
        guest = case.compiled(engine)
        pool = stack.enter_context(engine.pool(guest, case.cls, size=count + 1))
        one = {"store": lambda: case.in_store(engine, guest), "pool": pool.lease}[holder]
        case.call(stack.enter_context(one()))  # what all of them share
        before = _resident()
        for _ in range(count):
            case.call(stack.enter_context(one()))
        return (_resident() - before) // count


if __name__ == "__main__":
    print(_measure({"small": small, "python": in_python}[sys.argv[1]](), sys.argv[2], int(sys.argv[3])))
