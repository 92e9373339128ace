"""Running an application with uvicorn until the process is told to stop."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, Any, cast

import uvicorn

from wasi_nn_torch.http.guarding import GuardedProtocol
from wasi_nn_torch.http.recording import record_refusal
from wasi_nn_torch.sessions.durations import require_duration

if TYPE_CHECKING:
    from wasi_nn_torch.http.app import Application

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@dataclass(frozen=True)
class Listening:
    """Where to listen, and how to stop: requests that run have `stop_seconds` to be answered.

    More than `connections` connections at a time are answered with status 503.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    connections: int = 1000
    stop_seconds: float = 30.0

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise ValueError(f"`port` is {self.port}; give a number from 0, for any free port, to 65535")
        if self.connections < 1:
            raise ValueError("`connections` is less than 1; give at least 1")
        require_duration("`stop_seconds`", self.stop_seconds)


class Server(uvicorn.Server):
    """uvicorn's server for an application; `started` is called with the port once it listens.

    `beside` is a coroutine that runs as long as the server, such as one that looks for changed files.
    """

    def __init__(
        self,
        app: Application,
        listening: Listening,
        on_start: Callable[[int], object] = bool,
        beside: Callable[[], Coroutine[Any, Any, None]] | None = None,
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                host=listening.host,
                port=listening.port,
                http=cast(Any, partial(GuardedProtocol, partial(record_refusal, app.metrics))),
                ws="none",
                lifespan="off",
                limit_concurrency=listening.connections,
                timeout_graceful_shutdown=max(1, round(listening.stop_seconds)),
                proxy_headers=False,
                server_header=False,
                access_log=False,
                log_config=None,
            )
        )
        self._application = app
        self._on_start = on_start
        self._beside = beside
        self._task: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[Any] | None = None) -> None:
        """Listen."""
        await super().startup(sockets)
        if not self.started:
            return
        if self._beside is not None:
            self._task = asyncio.create_task(self._beside())
            await asyncio.sleep(0)  # it has begun, and takes signals, before anybody is told that the server runs
        self._on_start(self.servers[0].sockets[0].getsockname()[1])

    async def shutdown(self, sockets: list[Any] | None = None) -> None:
        """Listen no longer, and answer the requests that have arrived."""
        self._application.stop()
        if self._task is not None:
            self._task.cancel()
        await super().shutdown(sockets)


def run(server: Server) -> bool:
    """Run a server until SIGTERM or SIGINT, and return whether it could listen; the caller is the main thread."""
    # uvicorn raises the signal again after it has stopped, which must not end the process before everything is closed.
    before = {each: signal.signal(each, _ignore) for each in _SIGNALS}
    try:
        server.run()
    except SystemExit:  # uvicorn has logged why it cannot listen
        return False
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
    return server.started


def _ignore(number: int, frame: FrameType | None) -> None:
    """Do nothing: uvicorn has its own handler while it runs."""
