"""The cost of passing bytes to a function that a guest exports, and of getting them back."""

from __future__ import annotations

import pytest
import wasmtime
from wasmtime import component

from benchmarks.comparison import Comparison, Work
from wit_host import Engine, GuestFunction, GuestInterface, Instance
from wit_host import values as wit

#: The size of an image as input of a model.
SIZE = 602_112
#: A guest that returns the bytes that it is given; its allocator always returns the same place.
GUEST = b"""(component
  (core module $m
    (memory (export "memory") 64)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 65536))
    (func (export "echo") (param i32 i32) (result i32)
      (i32.store (i32.const 16) (local.get 0))
      (i32.store (i32.const 20) (local.get 1))
      (i32.const 16)))
  (core instance $i (instantiate $m))
  (func (export "echo") (param "data" (list u8)) (result (list u8))
    (canon lift (core func $i "echo") (memory (core memory $i "memory")) (realloc (core func $i "realloc")))))"""
_ECHO = GuestFunction[bytes]("echo", {"data": wit.BYTES}, wit.COPIED_BYTES)


class _Guest(GuestInterface):
    def __init__(self, instance: Instance) -> None:
        super().__init__(instance, None, [_ECHO])


@pytest.mark.parametrize("size", [64, SIZE])
def test_bytes_through_an_export(compare: Comparison, size: int) -> None:
    data = bytes(size)
    engine, stock = Engine(), wasmtime.Engine()
    with engine.store() as store, wasmtime.Store(stock) as other:
        guest = _Guest(store.instantiate(engine.compile(GUEST)))
        echo = component.Linker(stock).instantiate(other, component.Component(stock, GUEST)).get_func(other, "echo")
        assert echo is not None

        def here(times: int) -> None:
            for _ in range(times):
                _ECHO(guest, data)

        def there(times: int) -> None:
            for _ in range(times):
                echo(other, data)

        ours, theirs = compare.measure(Work(here, 100), Work(there, 1 if size == SIZE else 100), rounds=3)
    compare.faster(f"{size:,} bytes to an export and back", "stock wasmtime", theirs, ours, goal=1)
