"""What a call between guest and host costs, beside stock `wasmtime.component`: `python -m benchmarks.bench_boundary`.

Both run the same guest in WAT, in this process, one after the other; the ratio is what to look at.
"""

from __future__ import annotations

import time
from statistics import median

import wasmtime
from rich.console import Console
from rich.table import Table
from tests.wit_host.bench import Bench
from tests.wit_host.wat import API, Import, command
from wasmtime import component

from wit_host import values as wit

TENSOR = 602_112  # bytes of one 1 x 3 x 224 x 224 tensor of floats
IMPORTS = {
    "empty": Import('(param "a" u32) (param "b" u32) (result u32)', "(param i32 i32) (result i32)"),
    "take": Import('(param "d" (list u8))', "(param i32 i32)"),
    "give": Import("(result (list u8))", "(param i32)"),
}
CASES = {
    "empty call": "(drop (call empty (i32.const 1) (i32.const 2)))" * 2000,
    f"{TENSOR:,} bytes in": f"(call take (i32.const 1024) (i32.const {TENSOR}))" * 6,
    f"{TENSOR:,} bytes out": "(call give (i32.const 64))" * 6,
}


class Marks:
    """Host functions that note when they are called."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def called(self, *_: object) -> int:
        self.times.append(time.perf_counter())
        return 1

    def gives(self, *_: object) -> bytes:
        self.called()
        return bytes(TENSOR)

    def seconds(self) -> float:
        """The usual time from one call to the next."""
        return median(later - sooner for sooner, later in zip(self.times, self.times[1:], strict=False))


def ours(body: str) -> float:
    """Seconds a call through `wit_host`."""
    bench, marks = Bench(), Marks()

    def define(instance) -> None:
        instance.function("empty", marks.called, {"a": wit.U32, "b": wit.U32}, wit.U32)
        instance.function("take", lambda data: marks.times.append(time.perf_counter()), {"a": wit.BYTES}, None)
        instance.function("give", marks.gives, {}, wit.BYTES)

    bench.run(IMPORTS, body, define)
    return marks.seconds()


def stock(body: str) -> float:
    """Seconds a call through `wasmtime.component`."""
    engine, marks = wasmtime.Engine(), Marks()
    linker, store = component.Linker(engine), wasmtime.Store(engine)
    with linker.root() as root, root.add_instance(API) as instance:
        instance.add_resource("thing", component.ResourceType.host(1), lambda store, representation: None)
        instance.add_func("empty", lambda store, a, b: marks.called())
        instance.add_func("take", lambda store, data: marks.times.append(time.perf_counter()))
        instance.add_func("give", lambda store: marks.gives())
    guest = linker.instantiate(store, component.Component(engine, command(IMPORTS, body)))
    interface = guest.get_export_index(store, "wasi:cli/run@0.2.0")
    guest.get_func(store, guest.get_export_index(store, "run", interface))(store)
    return marks.seconds()


def main() -> None:
    """Print the table."""
    table = Table("what", "stock", "ours", "stock / ours")
    for column in table.columns[1:]:
        column.justify = "right"
    for name, body in CASES.items():
        baseline, here = stock(body), ours(body)
        table.add_row(name, f"{baseline * 1e6:,.1f} µs", f"{here * 1e6:,.1f} µs", f"{baseline / here:.1f}")
    Console().print(table)


if __name__ == "__main__":
    main()
