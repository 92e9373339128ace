"""The host's part of the fork server: it is started when it is first needed, and starts a worker in milliseconds."""

from __future__ import annotations

import atexit
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import weakref
from collections.abc import Sequence
from dataclasses import asdict
from multiprocessing import spawn

from wasi_nn_torch.workers.channel import Channel, ChannelClosed, Patience
from wasi_nn_torch.workers.confinement import Confinement
from wasi_nn_torch.workers.server import END, NUMBER, START

logger = logging.getLogger(__name__)

#: What the new interpreter runs: the path of its modules comes first, since the environment is empty.
_PROGRAM = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[2]); "
    "from wasi_nn_torch.workers.server import main; main(int(sys.argv[1]))"
)
#: The variables that the server's libraries may need to load.
_KEPT = ("LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "OMP_WAIT_POLICY")
#: Keeps libraries from starting threads when they are loaded, which no fork would have.
_ONE_THREAD = {"OMP_NUM_THREADS": "1"}
#: How long a server may take to end by itself, in seconds.
_PATIENCE = 1.0
#: The longest message of a server, in bytes.
_MOST_BYTES = 1 << 16


class WorkerError(Exception):
    """A worker, or the server that makes workers, could not be started; the text says why."""


class Worker:
    """One confined process, and the channel to it. Whoever has it calls `end`."""

    def __init__(self, server: _Server, pid: int, channel: Channel) -> None:
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
        self._status = server.end(self.pid)
        self.channel.close()
        return self._status

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
        self._server: _Server | None = None
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

    def _fork(self, confinement: Confinement, descriptor: int, patience: Patience | None) -> tuple[_Server, int]:
        wanted = {name: value for name, value in asdict(confinement).items() if name != "parent"}
        request = json.dumps(wanted, default=sorted).encode()
        for _ in range(2):  # a server that has died since is replaced, once
            with self._lock:
                server = self._running()
            try:
                server.wait_until_ready(patience)
                return server, server.ask(START, request, descriptor)
            except ChannelClosed:
                self._discard(server)
        raise WorkerError("the server of worker processes ended; see whether the memory of this machine was exhausted")

    def _running(self) -> _Server:
        if self._server is None:
            self._server = _Server(self._target, self._preload)
        return self._server

    def _discard(self, server: _Server) -> None:
        with self._lock:
            if self._server is server:
                self._server = None
        server.close()


class _Server:
    """One server process."""

    def __init__(self, target: str, preload: Sequence[str]) -> None:
        self.control, there = Channel.pair(_MOST_BYTES)
        self._lock = threading.Lock()
        self._answered = threading.Condition()
        self._is_reading = False
        self._asked = 0
        self._answers: dict[int, int | None] = {}
        self._is_ready = False
        with there:
            self._process = _spawn(there)
        self.control.send(json.dumps({"target": target, "preload": preload}).encode())
        logger.info("process %d loads what workers need", self._process.pid)

    def wait_until_ready(self, patience: Patience | None) -> None:
        """Return when everything is loaded; raises WorkerError if that fails, and the exceptions of `patience`."""
        if self._is_ready:
            return
        while not self._lock.acquire(timeout=-1 if patience is None else max(patience(), 0.001)):
            pass  # another thread waits for the same server
        try:
            if self._is_ready:
                return
            failure = self.control.receive(patience)
            self._is_ready = True
        finally:
            self._lock.release()
        if failure:
            text = failure.decode(errors="replace")
            logger.error("the server of worker processes failed:\n%s", text)
            raise WorkerError(f"the server of worker processes failed: {text.strip().splitlines()[-1]}")

    def ask(self, kind: bytes, content: bytes, *descriptors: int) -> int:
        """Send a request, and return the answer, which may come after those to later requests; raises ChannelClosed.

        An answer that nobody waits for any more, because of Ctrl-C, is discarded.
        """
        with self._answered:
            self._asked += 1
            number = self._asked
            self.control.send(kind + number.to_bytes(NUMBER, "little") + content, descriptors=descriptors)
            self._answers[number] = None
            try:
                while (answer := self._answers[number]) is None:
                    if self._is_reading:
                        self._answered.wait()
                    else:
                        self._read()
                return answer
            finally:
                del self._answers[number]

    def _read(self) -> None:
        """Read one answer, for whichever thread waits for it; the others can send requests meanwhile."""
        self._is_reading = True
        self._answered.release()
        try:
            content = self.control.receive()
        finally:
            self._answered.acquire()
            self._is_reading = False
            self._answered.notify_all()
        number = int.from_bytes(content[:NUMBER], "little")
        if number in self._answers:
            self._answers[number] = int(content[NUMBER:])

    def end(self, pid: int) -> int:
        """Kill a worker, and return its status."""
        try:
            return self.ask(END, str(pid).encode())
        except ChannelClosed:  # the server is dead, and its workers died with it
            return -signal.SIGKILL

    def close(self) -> None:
        """End the process, which kills its workers."""
        self.control.close()
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:  # it is still loading
            self._process.kill()
            self._process.wait()


def _spawn(there: socket.socket) -> subprocess.Popen[bytes]:
    path = json.dumps([os.path.abspath(entry) for entry in sys.path])
    command = [os.fsdecode(spawn.get_executable()), "-I", "-c", _PROGRAM, str(there.fileno()), path]
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=[there.fileno()],
            env=_ONE_THREAD | {name: os.environ[name] for name in _KEPT if name in os.environ},
            cwd="/",
            start_new_session=True,  # so that Ctrl-C in a terminal is for the host alone
        )
    except OSError as error:
        raise WorkerError(f"the server of worker processes could not be started: {error}") from None


#: Process-wide, because a server serves all engines of a process, and because a fork concerns the whole process.
_shared: dict[tuple[str, tuple[str, ...]], Workers] = {}
_shared_lock = threading.Lock()
_all: weakref.WeakSet[Workers] = weakref.WeakSet()
_open: weakref.WeakSet[Worker] = weakref.WeakSet()


def shared_workers(target: str, preload: Sequence[str] = ()) -> Workers:
    """The workers with this target and preload, which all engines of this process share."""
    with _shared_lock:
        return _shared.setdefault((target, tuple(preload)), Workers(target, preload))


def _close_all() -> None:
    for workers in list(_all):
        workers.close()


atexit.register(_close_all)


def _after_fork() -> None:
    """Forget the parent's servers and workers: the child has no right to them, and must not keep them alive."""
    global _shared_lock
    _shared_lock = threading.Lock()
    for worker in list(_open):
        worker.forget()
    for workers in list(_all):
        workers.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
