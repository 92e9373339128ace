"""The process of a fork server, as the host sees it: it is spawned, loads, answers requests, and ends with the host."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing import spawn

from wasi_nn_torch.workers.channel import Channel, ChannelClosed, Patience
from wasi_nn_torch.workers.server import END, NUMBER

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


class ServerProcess:
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
        with suppress(ChannelClosed):  # it has ended already, as `wait_until_ready` finds
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
