"""Workers for the host: their server is started when it is first needed, and starts each of them in milliseconds."""

from __future__ import annotations

import atexit
import json
import logging
import os
import signal
import sys
import threading
import weakref
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict

from wasi_nn_torch.workers.channel import Channel, ChannelClosed, Patience
from wasi_nn_torch.workers.confinement import Confinement
from wasi_nn_torch.workers.server import START
from wasi_nn_torch.workers.server_process import ServerProcess, WorkerError

if sys.platform == "linux":
    from wasi_nn_torch.workers import rlimits  # whose modules other systems lack

logger = logging.getLogger(__name__)


class Worker:
    """One confined process, and the channel to it. Whoever has it calls `end`."""

    def __init__(self, server: ServerProcess, pid: int, channel: Channel) -> None:
        self.pid = pid
        self.channel = channel
        self._status: int = -signal.SIGKILL
        self._alive = [server]  # emptied by the first of any threads that end it
        _open.add(self)

    @property
    def has_ended(self) -> bool:
        """Whether `end` was called."""
        return not self._alive

    def end(self) -> int:
        """Kill the process, unless it has ended, and return its status: the exit code, or the negative signal.

        A second call returns the same status.
        """
        try:
            server = self._alive.pop()
        except IndexError:
            return self._status
        try:
            self._status = server.end(self.pid)
        finally:
            self.channel.close()
        return self._status

    def allow_time(self, seconds: int) -> None:
        """Give it `seconds` of processor time from now, if its confinement has `more_time`; raises OSError."""
        rlimits.allow(self.pid, seconds)

    def __del__(self) -> None:
        if self._alive:  # nobody has ended it: its end of the channel is closed, so it ends by itself
            _abandoned.append((self._alive[0], self.pid))

    def forget(self) -> None:
        """Close this process's end of the channel, after a fork."""
        self._alive.clear()
        self.channel.close()


class Workers:
    """Starts workers that call `target`, spelled as "package.module:function", with the channel to the host.

    `preload` are modules to import, or functions to call, spelled alike, before workers are forked. The server is
    started by `prepare` or by the first `start`, and again if it has died or this process was forked. Used by any
    number of threads.
    """

    def __init__(self, target: str, preload: Sequence[str] = ()) -> None:
        self._target = target
        self._preload = tuple(preload)
        self._lock = threading.Lock()
        self._server: ServerProcess | None = None
        _all.add(self)

    def prepare(self) -> None:
        """Start the server without waiting for it; raises WorkerError if it cannot be started."""
        with self._lock:
            self._running()

    def wait(self) -> None:
        """Start the server if it does not run, and return when it can start workers; raises WorkerError."""
        with self._lock:
            server = self._running()
        try:
            server.wait_until_ready(None)
        except ChannelClosed:
            self._discard(server)
            raise WorkerError("the server of worker processes ended while it started") from None

    def start(self, confinement: Confinement, most_bytes: int, patience: Patience | None = None) -> Worker:
        """Start a worker, whose messages have at most `most_bytes`.

        Raises WorkerError if the server cannot be started or the worker cannot be confined, and the exceptions of
        `patience`.
        """
        _collect_abandoned()
        channel, there = Channel.pair(most_bytes)
        with there:
            server, pid = self._fork(confinement, there.fileno(), patience)
        worker = Worker(server, pid, channel)
        try:
            refusal = channel.receive(patience)
        except ChannelClosed:
            refusal = bytearray(b"it ended before it was confined")
        except BaseException:
            worker.end()
            raise
        if refusal:
            worker.end()
            raise WorkerError(f"a worker process could not be started: {refusal.decode(errors='replace')}")
        return worker

    def close(self) -> None:
        """End the server and all its workers; `start` starts another one."""
        with self._lock:
            server, self._server = self._server, None
        if server is not None:
            server.close()

    def forget(self) -> None:
        """Forget the server of the parent process, after a fork."""
        self._lock = threading.Lock()
        if self._server is not None:
            self._server.control.close()
            self._server = None

    def _fork(self, confinement: Confinement, descriptor: int, patience: Patience | None) -> tuple[ServerProcess, int]:
        wanted = {name: value for name, value in asdict(confinement).items() if name != "parent"}
        request = json.dumps(wanted, default=sorted).encode()
        for _ in range(2):  # a server that has died since is replaced, once
            with self._lock:
                server = self._running()
            try:
                server.wait_until_ready(patience)
                pid = server.ask(START, request, descriptor)
            except ChannelClosed:
                self._discard(server)
                continue
            if pid < 0:
                raise WorkerError(f"a worker process could not be started: {os.strerror(-pid)}")
            return server, pid
        raise WorkerError("the server of worker processes ended; see whether the memory of this machine was exhausted")

    def _running(self) -> ServerProcess:
        if self._server is None:
            self._server = ServerProcess(self._target, self._preload)
        return self._server

    def _discard(self, server: ServerProcess) -> None:
        with self._lock:
            if self._server is server:
                self._server = None
        server.close()


#: Process-wide, because a server serves all engines of a process, and because a fork concerns the whole process.
_shared: dict[tuple[str, tuple[str, ...]], Workers] = {}
_shared_lock = threading.Lock()
_all: weakref.WeakSet[Workers] = weakref.WeakSet()
_open: weakref.WeakSet[Worker] = weakref.WeakSet()
#: Workers that are gone and that nobody has ended, which their servers keep in mind. They are not ended as soon as they
#: are gone, since that can be at any moment, also while this thread asks a server.
_abandoned: deque[tuple[ServerProcess, int]] = deque()


def shared_workers(target: str, preload: Sequence[str] = ()) -> Workers:
    """The workers with this target and preload, which all engines of this process share."""
    with _shared_lock:
        return _shared.setdefault((target, tuple(preload)), Workers(target, preload))


def _collect_abandoned() -> None:
    """Let the servers forget the workers that nobody has ended."""
    while _abandoned:
        server, pid = _abandoned.popleft()
        server.end(pid)


def _close_all() -> None:
    for workers in list(_all):
        workers.close()


atexit.register(_close_all)


def _after_fork() -> None:
    """Forget the parent's servers and workers: the child has no right to them, and must not keep them alive."""
    global _shared_lock
    _shared_lock = threading.Lock()
    _abandoned.clear()
    for worker in list(_open):
        worker.forget()
    for workers in list(_all):
        workers.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
