"""Sessions: how many a second, with one and with more threads, beside the engine's own steps.

The baseline is what a program does with wasmtime's package alone: one linker with WASI for all, and for each session a
store, an instance and a call.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
import wasmtime
from wasmtime import component

from benchmarks.comparison import Comparison, Work
from benchmarks.conftest import ROOT
from wasi_nn_torch import Engine

THREADS = (1, 2, 4)
PYTHON_GUEST = ROOT / "build/classify/guest.wasm"

COMPONENT = b"""(component
  (core module $main (func (export "run") (result i32) i32.const 0))
  (core instance $main (instantiate $main))
  (func $run (result (result)) (canon lift (core func $main "run")))
  (instance $command (export "run" (func $run)))
  (export "wasi:cli/run@0.2.0" (instance $command)))"""
#: The same, but it imports WASI, so that it has arguments and standard streams.
PRINTS = COMPONENT.replace(
    b"(component\n",
    b"""(component
  (import "wasi:io/error@0.2.0" (instance $error (export "error" (type (sub resource)))))
  (alias export $error "error" (type $e))
  (import "wasi:io/streams@0.2.0" (instance $streams
    (alias outer 1 $e (type $e)) (export "error" (type (eq $e))) (export "output-stream" (type (sub resource)))))
  (alias export $streams "output-stream" (type $stream))
  (import "wasi:cli/stdout@0.2.0" (instance
    (alias outer 1 $stream (type $s)) (export "output-stream" (type $o (eq $s)))
    (export "get-stdout" (func (result (own $o))))))
""",
    1,
)
MODULE = '(module (func (export "_start")))'


def in_threads(threads: int, session: Callable[[], object]) -> Callable[[int], None]:
    """Work that runs sessions in as many threads, which share them equally."""

    def work(times: int) -> None:
        def run() -> None:
            for _ in range(times // threads):
                session()

        others = [threading.Thread(target=run) for _ in range(threads - 1)]
        for other in others:
            other.start()
        run()
        for other in others:
            other.join()

    return work


def stock_component(wasm: bytes) -> Callable[[], object]:
    """A session with wasmtime's package alone."""
    engine = wasmtime.Engine()
    linker = component.Linker(engine)
    linker.add_wasip2()
    guest = component.Component(engine, wasm)

    def session() -> None:
        with wasmtime.Store(engine) as store:
            store.set_wasi(wasmtime.WasiConfig())
            instance = linker.instantiate(store, guest)
            command = instance.get_export_index(store, "wasi:cli/run@0.2.0")
            function = instance.get_export_index(store, "run", command)
            assert function is not None
            run = instance.get_func(store, function)
            assert run is not None
            run(store)

    return session


def stock_module() -> Callable[[], object]:
    """The same for a core module."""
    engine = wasmtime.Engine()
    linker = wasmtime.Linker(engine)
    linker.define_wasi()
    guest = wasmtime.Module(engine, MODULE)

    def session() -> None:
        with wasmtime.Store(engine) as store:
            store.set_wasi(wasmtime.WasiConfig())
            run = linker.instantiate(store, guest).exports(store)["_start"]
            assert isinstance(run, wasmtime.Func)
            run(store)

    return session


def sessions(engine: Engine, wasm: bytes) -> Callable[[], object]:
    """A session of this host."""
    guest = engine.compile(wasm)

    def session() -> None:
        with engine.session() as opened:
            opened.run(guest)

    return session


@pytest.mark.parametrize("threads", THREADS)
def test_an_empty_component(compare: Comparison, threads: int) -> None:
    compare_sessions(compare, "empty component", stock_component(COMPONENT), COMPONENT, threads)


@pytest.mark.parametrize("threads", THREADS)
def test_a_component_that_imports_wasi(compare: Comparison, threads: int) -> None:
    compare_sessions(compare, "component with streams", stock_component(PRINTS), PRINTS, threads, goal=None)


@pytest.mark.parametrize("threads", THREADS)
def test_an_empty_core_module(compare: Comparison, threads: int) -> None:
    compare_sessions(compare, "empty core module", stock_module(), MODULE.encode(), threads)


def compare_sessions(
    compare: Comparison, what: str, stock: Callable[[], object], wasm: bytes, threads: int, goal: float | None = 0.5
) -> None:
    with Engine("cpu") as engine:
        ours = Work(in_threads(threads, sessions(engine, wasm)), 1000)
        own, other = compare.measure(ours, Work(in_threads(threads, stock), 1000), rounds=15)
    plural = "thread" if threads == 1 else "threads"
    compare.rate(f"{what}, {threads} {plural}", "wasmtime's package, linker shared", other, own, goal)


def test_the_start_of_a_guest_in_python(compare: Comparison) -> None:
    if not PYTHON_GUEST.exists():
        pytest.skip(f"{PYTHON_GUEST.relative_to(ROOT)} is missing; run `make demo` once")
    with Engine("cpu") as engine:
        linked = engine.compile(PYTHON_GUEST).linked

        def start(times: int) -> None:
            for _ in range(times):
                with engine._runtime._engine.store() as store:
                    store.instantiate(linked)

        ours, other = compare.measure(Work(start, 10), Work(stock_start(PYTHON_GUEST.read_bytes()), 10), rounds=20)
    what = f"start of a {PYTHON_GUEST.stat().st_size / 1e6:.0f} MB guest in Python"
    compare.within(what, "wasmtime's package, linker shared", other, ours, goal=1.2)


def stock_start(wasm: bytes) -> Callable[[int], None]:
    """The start of a component with wasmtime's package alone; its imports of wasi-nn would trap."""
    engine = wasmtime.Engine()
    guest = component.Component(engine, wasm)
    linker = component.Linker(engine)
    linker.add_wasip2()
    linker.define_unknown_imports_as_traps(guest)

    def start(times: int) -> None:
        for _ in range(times):
            with wasmtime.Store(engine) as store:
                store.set_wasi(wasmtime.WasiConfig())
                linker.instantiate(store, guest)

    return start
