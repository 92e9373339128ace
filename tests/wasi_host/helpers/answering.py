"""A guest that answers requests of HTTP, without a server."""

from __future__ import annotations

import asyncio

import wasi_host
from tests.wasi_host.helpers.probe import NoGraphs
from wasi_host import World
from wasi_host.http import Abandoned, Inflow, Request, Response
from wasi_http_bindings import Guest
from wasi_nn_bindings import v2024_10_28 as nn


class Answering:
    """The guest of `tests/guests/http_python`, compiled for an engine; it imports wasi-nn, but gets no graphs."""

    def __init__(self, engine, file) -> None:
        self.engine = engine
        self.guest = engine.compile(file, buffers=[*nn.BUFFERS, *wasi_host.BUFFERS], optimize=False)

    def ask(self, path, *, method="GET", headers=(), body=(b"",), timeout=30, **given):
        """The status, the headers and the body of the answer to a request, or the error code.

        `body` has the pieces of the body, and `given` is for the `World`. The body is None if the guest leaves it.
        """
        return asyncio.run(self._ask(path, method, headers, body, timeout, World(**given)))

    async def _ask(self, path, method, headers, body, timeout, world):
        inflow, answers = Inflow(), []
        request = Request(method, path, "http", "test", list(headers), inflow)
        feeding = asyncio.ensure_future(feed(inflow, body))
        handling = asyncio.ensure_future(asyncio.to_thread(self._handle, request, answers.append, world, timeout))
        while not answers and not handling.done():
            await asyncio.sleep(0.001)
        content = await collected(answers[0]) if answers and isinstance(answers[0], Response) else None
        feeding.cancel()
        await handling
        assert world.open_handles == 0
        if isinstance(answers[0], Response):
            return answers[0].status, dict(answers[0].headers), content
        return answers[0]

    def _handle(self, request, answer, world, timeout):
        with self.engine.store(timeout=timeout) as store:
            world.add_to_linker(store.linker)
            nn.add_to_linker(store.linker, NoGraphs(), NoGraphs())
            instance = Guest(store.instantiate(self.guest))
            instance.incoming_handler.handle(*world.hosts.http_types.request(request, answer))


async def feed(inflow, pieces):
    for piece in pieces:
        await inflow.put(piece)
    inflow.finish()


async def collected(response):
    if response.body is None:
        return b""
    content = b""
    try:
        while piece := await response.body.get():
            content += piece
    except Abandoned:
        return None
    return content
