"""The cost of a core module's calls of `wasi_ephemeral_nn`, compared with stock wasmtime and PyTorch."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch
import wasmtime
from torch import nn

from benchmarks.bench_boundary import copying
from benchmarks.bench_inference import directly, resnet18, scripted
from benchmarks.comparison import Comparison, Work, difference
from wasi_nn_torch import Engine, Limits, hosts
from wasi_nn_torch.contract.ledger import Ledger
from wit_host import Engine as BareEngine
from wit_host.core import CoreInstance

STOCK = "Linker.define_func"
SHAPE = (1, 3, 224, 224)
SIZE = 4 * torch.Size(SHAPE).numel()
_DATA = 1 << 20

#: A function that calls the host a number of times, and does nothing else.
EMPTY = """(module
  (import "bench" "empty" (func $empty (param i32 i32) (result i32)))
  (func (export "run") (param $n i32)
    (loop $again
      (if (local.get $n) (then
        (drop (call $empty (i32.const 1) (i32.const 2)))
        (local.set $n (i32.sub (local.get $n) (i32.const 1)))
        (br $again))))))"""


def _repeating(name: str, body: str) -> str:
    """A function that repeats `body` a number of times, and traps if a host call fails."""
    return f"""(func (export "{name}") (param $n i32)
      (loop $again
        (if (local.get $n) (then
          {body}
          (local.set $n (i32.sub (local.get $n) (i32.const 1)))
          (br $again)))))"""


_SET = "(call $check (call $set-input (global.get $context) (i32.const 0) (i32.const 32)))"
_COMPUTE = "(call $check (call $compute (global.get $context)))"
_GET = (
    f"(call $check (call $get-output (global.get $context) (i32.const 0) (i32.const {_DATA}) "
    "(global.get $size) (i32.const 0)))"
)

#: The record of a tensor is at address 32, its dimensions are at 64, and the name of the graph is at 128.
WITX = f"""(module
  (import "wasi_ephemeral_nn" "load_by_name" (func $load (param i32 i32 i32) (result i32)))
  (import "wasi_ephemeral_nn" "init_execution_context" (func $init (param i32 i32) (result i32)))
  (import "wasi_ephemeral_nn" "set_input" (func $set-input (param i32 i32 i32) (result i32)))
  (import "wasi_ephemeral_nn" "compute" (func $compute (param i32) (result i32)))
  (import "wasi_ephemeral_nn" "get_output" (func $get-output (param i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_ephemeral_nn" "fini_single" (func $fini (param i32) (result i32)))
  (memory (export "memory") 64)
  (data (i32.const 128) "model")
  (global $context (mut i32) (i32.const 0))
  (global $other (mut i32) (i32.const 0))
  (global $size (mut i32) (i32.const 0))
  (func $check (param i32) (if (local.get 0) (then unreachable)))
  (func (export "open") (param $rank i32) (param i32 i32 i32 i32) (param $size i32)
    (memory.fill (i32.const {_DATA}) (i32.const 0x3f) (i32.const 0x200000))
    (call $check (call $load (i32.const 128) (i32.const 5) (i32.const 0)))
    (call $check (call $init (i32.load (i32.const 0)) (i32.const 4)))
    (global.set $context (i32.load (i32.const 4)))
    (call $check (call $init (i32.load (i32.const 0)) (i32.const 4)))
    (global.set $other (i32.load (i32.const 4)))
    (i32.store (i32.const 64) (local.get 1))
    (i32.store (i32.const 68) (local.get 2))
    (i32.store (i32.const 72) (local.get 3))
    (i32.store (i32.const 76) (local.get 4))
    (global.set $size (local.get $size))
    (i32.store (i32.const 32) (i32.const 64))
    (i32.store (i32.const 36) (local.get $rank))
    (i32.store8 (i32.const 40) (i32.const 1))
    (i32.store (i32.const 44) (i32.const {_DATA}))
    (i32.store (i32.const 48) (local.get $size)))
  {_repeating("empty", "(call $check (call $fini (global.get $other)))")}
  {_repeating("set", _SET)}
  {_repeating("get", _GET)}
  {_repeating("compute", _SET + _COMPUTE)}
  {_repeating("infer", _SET + _COMPUTE + _GET)})"""

Calls = Callable[[int], object]


@contextmanager
def guest_with(model: bytes, *shape: int) -> Iterator[Callable[[str], Calls]]:
    """The functions of a guest that has opened the model, and gives it tensors of a shape."""
    with Engine("cpu", cache=False) as engine:
        engine.register("model", model, optimize="none")
        ledger = Ledger()
        with engine._runtime.open_core_store(wasmtime.WasiConfig(), Limits()) as store:
            hosts.add_to_core_linker(store.linker)
            hosts.serve(store, engine._runtime.serve(ledger))
            instance = store.instantiate(engine.compile(WITX.encode()).compiled)
            size = 4 * torch.Size(shape).numel()
            instance.call("open", len(shape), *shape, *[1] * (4 - len(shape)), size)
            yield lambda name: _function(instance, name)
        ledger.sweep()


def _function(instance: CoreInstance, name: str) -> Calls:
    return lambda times: instance.call(name, times)


@pytest.fixture(scope="module")
def stock() -> Calls:
    """Calls of a host function on stock wasmtime."""
    engine = wasmtime.Engine()
    linker, store = wasmtime.Linker(engine), wasmtime.Store(engine)
    i32 = wasmtime.ValType.i32
    linker.define_func("bench", "empty", wasmtime.FuncType([i32(), i32()], [i32()]), lambda a, b: 0)
    run = linker.instantiate(store, wasmtime.Module(engine, EMPTY)).exports(store)["run"]
    assert isinstance(run, wasmtime.Func)
    return lambda times: run(store, times)


def test_an_empty_call(compare: Comparison, stock: Calls) -> None:
    engine = BareEngine()
    with engine.core_store() as store:
        store.linker.function("bench", "empty", ["a", "b"], lambda a, b: 0)
        instance = store.instantiate(engine.compile_module(EMPTY.encode()))
        here, there = compare.measure(Work(_function(instance, "run"), 20_000), Work(stock, 2000), rounds=31)
    compare.faster("core module: empty host call", STOCK, there, here, goal=10)


def test_a_call_that_does_nothing(compare: Comparison, stock: Calls) -> None:
    """`fini_single` finds its context, which holds nothing to free."""
    with guest_with(scripted(nn.Identity()), 1, 4) as function:
        here, there = compare.measure(Work(function("empty"), 20_000), Work(stock, 2000), rounds=31)
    compare.within("WITX: fini_single, nothing to free", f"empty {STOCK}", there, here, goal=None)


@pytest.mark.parametrize("way", ["set", "get"])
def test_a_tensor_beyond_an_empty_call(way: str, compare: Comparison) -> None:
    with guest_with(scripted(nn.Identity()), *SHAPE) as function:
        function("compute")(1)  # so that there is an output
        here, copy, empty = compare.measure(
            Work(function(way), 100), Work(copying(SIZE), 100), Work(function("empty"), 1000), rounds=31
        )
    name = {"set": "set_input", "get": "get_output"}[way]
    compare.within(
        f"WITX: {name} of {SIZE:,} bytes, beyond an empty call", "one copy", copy, difference(here, empty), 3
    )


def test_a_small_model(compare: Comparison) -> None:
    model = scripted(nn.Identity())
    with guest_with(model, 1, 4) as function:
        here, there = compare.measure(Work(function("infer"), 500), Work(directly(model, 1, 4), 500), rounds=21)
    compare.above("WITX: inference of a 1x4 identity", "PyTorch directly", there, here, goal=100e-6)


def test_a_usual_model(compare: Comparison) -> None:
    model = scripted(resnet18())
    module = torch.jit.load(io.BytesIO(model))
    picture = torch.zeros(SHAPE)

    def call(times: int) -> None:
        with torch.inference_mode():
            for _ in range(times):
                module(picture)

    with guest_with(model, *SHAPE) as function:
        here, there = compare.measure(Work(function("infer"), 5), Work(call, 5), rounds=15)
    compare.within("WITX: ResNet-18, batch 1", "the module called directly", there, here, goal=1.03)
