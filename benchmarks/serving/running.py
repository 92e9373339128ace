"""Servers in processes of their own, and what a load on one of them showed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.serving.cases import ROOT, Case
from benchmarks.serving.load import Load, load

_PATIENCE = 120.0


@dataclass(frozen=True)
class Row:
    """The load that a server took, and the processor time for each request, in seconds."""

    load: Load
    cpu: float


@dataclass(frozen=True)
class Running:
    """A server, which may consist of several processes."""

    port: int
    process: subprocess.Popen[str]
    request: bytes

    def measured(self, clients: int, seconds: float) -> Row:
        """Load it for some seconds."""
        began = self._cpu_seconds()
        found = load(("127.0.0.1", self.port), self.request, clients, seconds, warm_up=0)
        return Row(found, (self._cpu_seconds() - began) / max(found.rate * seconds, 1))

    def wait(self) -> None:
        """Return when it listens."""
        end = time.monotonic() + _PATIENCE
        while True:
            with suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            if time.monotonic() > end or self.process.poll() is not None:
                raise RuntimeError(f"the server of {self.process.args} does not listen")
            time.sleep(0.1)

    def _cpu_seconds(self) -> float:
        """The processor time that all its processes have taken so far."""
        ticks = 0
        for file in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):  # it has ended meanwhile
                fields = file.read_text().rpartition(")")[2].split()
                if int(fields[3]) == self.process.pid:  # the session
                    ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")


@contextmanager
def running(server: str, case: Case, model: Path) -> Iterator[Running]:
    """A server for a case, in a session of its own, which ends with the block."""
    command = [sys.executable, "-m", "benchmarks.serving.servers", server, case.name, str(model)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, start_new_session=True)
    try:
        if process.stdout is None:
            raise RuntimeError("the server has no standard output")
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"the server {server} ended with status {process.wait()}")
        found = Running(int(line), process, case.request(server))
        found.wait()
        yield found
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(30)
