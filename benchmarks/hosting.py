"""Running the guests of the benchmarks on our host and on stock `wasmtime.component`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import wasmtime
from wasmtime import component

from wasi_nn_torch import Engine, Limits, hosts
from wasi_nn_torch.contract.ledger import Ledger
from wit_host import Component, GuestFunction, GuestInterface, Instance, Store
from wit_host import values as wit

#: A function of a guest, which takes numbers.
Call = Callable[..., object]

#: The exports of the guests, with the number of their parameters.
_FUNCTIONS = {
    "empty": 1,
    "in": 2,
    "out": 1,
    "shape": 5,
    "tensors-in": 1,
    "keep": 0,
    "forget": 0,
    "tensors-out": 1,
    "open": 0,
    "infer": 1,
}


class Guest(GuestInterface):
    """The functions of one guest, by their names."""

    def __init__(self, instance: Instance, names: list[str]) -> None:
        self._functions: dict[str, GuestFunction[object]] = {
            name: GuestFunction(name, {f"p{index}": wit.U32 for index in range(_FUNCTIONS[name])}, None)
            for name in names
        }
        super().__init__(instance, None, list(self._functions.values()))

    def __getitem__(self, name: str) -> Call:
        function = self._functions[name]
        return lambda *numbers: function(self, *numbers)


@contextmanager
def on_ours(store: Store, guest: Component) -> Iterator[Guest]:
    """A guest in a store that has all of its imports."""
    with store:
        instance = store.instantiate(guest)
        yield Guest(instance, [name for name in _FUNCTIONS if name in guest.exports])


@contextmanager
def on_wasi_nn(engine: Engine, wat: str) -> Iterator[Guest]:
    """A guest that uses wasi-nn, as a session runs it."""
    ledger, store = Ledger(), engine._runtime.open_store(wasmtime.WasiConfig(), Limits())
    hosts.add_to_linker(store.linker)
    hosts.serve(store, engine._runtime.serve(ledger))
    try:
        with on_ours(store, engine.compile(wat.encode()).compiled) as guest:
            yield guest
    finally:
        ledger.sweep()


class StockGuest:
    """The same on stock `wasmtime.component`."""

    def __init__(self, wat: str, interface: str, functions: Mapping[str, Call], resource: str = "") -> None:
        engine = wasmtime.Engine()
        self._store = wasmtime.Store(engine)
        linker = component.Linker(engine)
        with linker.root() as root, root.add_instance(interface) as instance:
            if resource:
                instance.add_resource(resource, component.ResourceType.host(1), lambda store, representation: None)
            for name, function in functions.items():
                instance.add_func(name, function)
        self._instance = linker.instantiate(self._store, component.Component(engine, wat))

    def __getitem__(self, name: str) -> Call:
        index = self._instance.get_export_index(self._store, name)
        function = self._instance.get_func(self._store, index)
        store = self._store

        def call(*numbers: int) -> None:
            function(store, *numbers)
            function.post_return(store)

        return call
