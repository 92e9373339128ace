"""What the tests of the boundary run guests with: an engine, and a resource that counts its drops."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import wasmtime
from wasmtime import component

from tests.wit_host.wat import API, Import, command
from wit_host import Resource, Store, Ticker
from wit_host.linker import InstanceLinker


class Thing:
    """The resource of the tests: remembers how often it was dropped."""

    def __init__(self, number: int = 0) -> None:
        self.number = number
        self.drops = 0

    def drop(self) -> None:
        self.drops += 1


THING = Resource[Thing]("thing")


class Bench:
    """An engine, and stores in which a guest runs against what a test defines."""

    def __init__(self) -> None:
        config = wasmtime.Config()
        config.epoch_interruption = True
        self.engine = wasmtime.Engine(config)
        self.ticker = Ticker(self.engine)

    def store(self) -> Store:
        return Store(self.engine, self.ticker, wasmtime.WasiConfig())

    def compile(self, imports: Mapping[str, Import], body: str, **more: object) -> component.Component:
        return component.Component(self.engine, command(imports, body, **more))

    def run(
        self,
        imports: Mapping[str, Import],
        body: str,
        define: Callable[[InstanceLinker], None],
        store: Store | None = None,
        timeout: float | None = None,
        **more: object,
    ) -> int:
        """Run a guest to its end; a `store` that is given stays open, to be looked into."""
        own = store or self.store()
        try:
            with own.linker.instance(API) as instance:
                instance.resource(THING)
                define(instance)
            return own.run_command(self.compile(imports, body, **more), "guest", timeout)
        finally:
            if store is None:
                own.close()
