"""A host for guests written in WAT: an engine, and a resource that counts its drops."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from tests.wit_host.helpers.wat import API, Import, command
from wit_host import Component, Engine, Resource, Store
from wit_host.component.linker import InstanceLinker
from wit_host.engine import TRANSPORTS


class Thing:
    """The resource of the tests: remembers how often it was dropped."""

    def __init__(self, number: int = 0) -> None:
        self.number = number
        self.drops = 0

    def drop(self) -> None:
        self.drops += 1


THING = Resource[Thing]("thing")


class Host:
    """An engine, and stores in which a guest runs against what a test defines."""

    def __init__(self, buffers: Collection[str] = (), transports: Collection[str] = TRANSPORTS) -> None:
        self.engine = Engine(transports=transports)
        self.buffers = buffers

    def store(self, **more: object) -> Store:
        return self.engine.store(**more)

    def compile(self, imports: Mapping[str, Import], body: str, **more: object) -> Component:
        return self.engine.compile(command(imports, body, **more).encode(), buffers=self.buffers)

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
        own = store or self.store(timeout=timeout)
        try:
            instance = own.linker.instance(API)
            instance.resource(THING)
            define(instance)
            return own.run_command(self.compile(imports, body, **more), "guest")
        finally:
            if store is None:
                own.close()
