"""The Python guest of the tests, which executes code that a test gives it."""

from __future__ import annotations

import json
from typing import Any

import wasi_host
from wasi_host import World
from wasi_nn_bindings import v2024_10_28 as nn


class Probe:
    """The guest, compiled for an engine; it imports wasi-nn, but gets no graphs."""

    def __init__(self, engine, file) -> None:
        self.engine = engine
        self.guest = engine.compile(file, buffers=[*nn.BUFFERS, *wasi_host.BUFFERS], optimize=False)

    def run(self, world: World, timeout: float = 60, begun=lambda store: None) -> int:
        """Run it in `world`, and return its status; `begun` gets the store before that."""
        with self.engine.store(timeout=timeout) as store:
            world.add_to_linker(store.linker)
            nn.add_to_linker(store.linker, NoGraphs(), NoGraphs())
            begun(store)
            return store.run_command(self.guest)

    def execute(self, code: str, **given) -> Any:
        """Execute code, which calls `answer`, and return what it answers."""
        world = World(arguments=["probe", "execute", code], **given)
        status = self.run(world)
        assert status == 0, world.errors.decode()
        assert world.open_handles == 0
        return json.loads(world.output)


class NoGraphs(nn.graph.Host, nn.tensor.Host):
    """wasi-nn without graphs."""

    def load(self, builder, encoding, target):
        raise NotImplementedError

    def load_by_name(self, name):
        raise NotImplementedError

    def new_tensor(self, dimensions, ty, data):
        raise NotImplementedError
