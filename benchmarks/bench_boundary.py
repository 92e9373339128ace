"""The cost of crossing between guest and host: calls, bytes, and tensors of wasi-nn."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from types import ModuleType

import pytest
from wasmtime import component

from benchmarks.comparison import Comparison, Work, difference
from benchmarks.guests import API, BARE, NN, TENSORS
from benchmarks.hosting import Call, Guest, StockGuest, on_ours, on_wasi_nn
from wasi_nn_torch import Engine
from wit_host import Engine as BareEngine

#: The size of an image as input of a model: 602,112 bytes.
SHAPE = (1, 3, 224, 224)
SIZE = 4 * 3 * 224 * 224
LARGE = (1, 1, 4096, 4096)
STOCK = "stock wasmtime"


class Host:
    """A host without wasi-nn: copies the bytes it is given, and returns bytes it has."""

    def __init__(self) -> None:
        self.buffer = memoryview(bytearray(SIZE))  # a bytearray itself would be copied twice
        self.prepared = b"?" * SIZE

    def empty(self, a: int, b: int) -> int:
        return a

    def take(self, data: memoryview) -> None:
        self.buffer[:] = data

    def give(self) -> bytes:
        return self.prepared


@pytest.fixture(scope="module")
def ours() -> Iterator[Guest]:
    """Tensors on our host."""
    with Engine("cpu", cache=False) as engine, on_wasi_nn(engine, TENSORS) as guest:
        yield guest


@pytest.fixture(scope="module")
def bare(bindings: ModuleType) -> Iterator[Guest]:
    """The bare boundary of our host, through generated bindings."""
    engine = BareEngine()
    store = engine.store()
    bindings.add_to_linker(store.linker, Host())
    with on_ours(store, engine.compile(BARE.encode(), buffers=bindings.BUFFERS)) as guest:
        yield guest


@pytest.fixture(scope="module")
def stock() -> StockGuest:
    """Tensors on stock wasmtime: the minimum that a host can do."""
    kept: list[bytes] = [bytes(SIZE)]

    def new(store: object, dimensions: list[int], ty: str, data: bytes) -> object:
        kept[0] = data
        return component.ResourceHost.own(1, 1)

    functions: dict[str, Call] = {
        "[constructor]tensor": new,
        "[method]tensor.data": lambda store, tensor: tensor.drop(store) or kept[0],
    }
    guest = StockGuest(TENSORS, f"wasi:nn/tensor@{NN}", functions, "tensor")
    guest["shape"](4, *SHAPE)
    return guest


@pytest.fixture(scope="module")
def bare_stock() -> StockGuest:
    """The bare boundary of stock wasmtime."""
    host = Host()
    functions: dict[str, Call] = {
        "empty": lambda store, a, b: host.empty(a, b),
        "take": lambda store, data: host.take(data),
        "give": lambda store: host.give(),
    }
    return StockGuest(BARE, API, functions)


def copying(size: int) -> Callable[[int], None]:
    """Copies a number of bytes within memory that is already in use."""
    source, target = (ctypes.create_string_buffer(size) for _ in range(2))

    def copy(times: int) -> None:
        for _ in range(times):
            ctypes.memmove(target, source, size)

    return copy


def test_a_call(compare: Comparison, bare: Guest, bare_stock: StockGuest) -> None:
    here, there = compare.measure(Work(bare["empty"], 5000), Work(bare_stock["empty"], 1000), rounds=21)
    compare.faster("empty host call", STOCK, there, here, goal=5, most=5e-6)


def test_bytes_in(compare: Comparison, bare: Guest, bare_stock: StockGuest) -> None:
    here, there = compare.measure(
        Work(lambda times: bare["in"](times, SIZE), 200), Work(lambda times: bare_stock["in"](times, SIZE)), rounds=5
    )
    compare.faster(f"{SIZE:,} bytes in, copied by the host function", STOCK, there, here, goal=1000)


def test_bytes_out(compare: Comparison, bare: Guest, bare_stock: StockGuest) -> None:
    here, there = compare.measure(Work(bare["out"], 200), Work(bare_stock["out"]), rounds=5)
    compare.faster(f"{SIZE:,} bytes out, prepared by the host function", STOCK, there, here, goal=1000)


@pytest.mark.parametrize(("way", "function"), [("in", "tensors-in"), ("out", "tensors-out")])
def test_a_tensor(way: str, function: str, compare: Comparison, ours: Guest, stock: StockGuest) -> None:
    ours["shape"](4, *SHAPE)
    for guest in (ours, stock):
        guest["keep"]()
    here, there = compare.measure(Work(ours[function], 100), Work(stock[function]), rounds=5)
    compare.faster(f"{SIZE:,}-byte tensor {way}", STOCK, there, here, goal=1000)
    ours["forget"]()


@pytest.mark.parametrize("way", ["in", "out"])
def test_bytes_beyond_a_call(way: str, compare: Comparison, bare: Guest) -> None:
    call = (lambda times: bare["in"](times, SIZE)) if way == "in" else bare["out"]
    here, copy, empty = compare.measure(Work(call, 100), Work(copying(SIZE), 100), Work(bare["empty"], 1000), rounds=31)
    compare.within(f"{SIZE:,} bytes {way}, beyond an empty call", "one copy", copy, difference(here, empty), goal=3)


@pytest.mark.parametrize(("way", "function"), [("in", "tensors-in"), ("out", "tensors-out")])
def test_a_tensor_beyond_an_empty_one(way: str, function: str, compare: Comparison, ours: Guest) -> None:
    """The cost of the bytes is compared with a copy, without the calls that make, read and drop a tensor."""

    def working(*shape: int) -> Callable[[int], None]:
        def work(times: int) -> None:
            ours["shape"](4, *shape)
            ours["keep"]()
            ours[function](times)
            ours["forget"]()

        return work

    here, copy, empty = compare.measure(
        Work(working(*SHAPE), 100), Work(copying(SIZE), 100), Work(working(1, 3, 224, 0), 100), rounds=31
    )
    what = f"{SIZE:,}-byte tensor {way}, beyond one of no bytes"
    compare.within(what, "one copy", copy, difference(here, empty), goal=3)


@pytest.mark.parametrize(("way", "function"), [("in", "tensors-in"), ("out", "tensors-out")])
def test_a_large_tensor(way: str, function: str, compare: Comparison, ours: Guest) -> None:
    ours["shape"](4, *LARGE)
    ours["keep"]()
    here, copy = compare.measure(Work(ours[function], 2), Work(copying(64 << 20), 2), rounds=9)
    compare.bandwidth(f"64 MiB tensor {way}", "one copy (stock cannot)", copy, here, 64 << 20)
    ours["forget"]()
