"""Fixtures of the tests of workers: native code, and what it aims at."""

import ctypes
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.wasi_nn_torch.workers.children import Aim, compiled


@pytest.fixture(scope="session")
def native(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """The functions of `attempts.c`."""
    return compiled(tmp_path_factory.mktemp("native"))


@pytest.fixture(scope="session")
def victim(native: ctypes.CDLL) -> Iterator[int]:
    """Another process of the same user, in which the same code is loaded."""
    process = os.fork()
    if not process:
        try:
            signal.pause()
        finally:
            os._exit(1)
    yield process
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)


@pytest.fixture
def aim(tmp_path: Path, victim: int) -> Iterator[Aim]:
    """Files, listening sockets and a process."""
    file, path = tmp_path / "file", tmp_path / "socket"
    file.write_text("content")
    abstract = f"wasi-nn-torch-{os.getpid()}"
    with (
        socket.create_server(("127.0.0.1", 0)) as port,
        socket.socket(socket.AF_UNIX) as named,
        socket.socket(socket.AF_UNIX) as unnamed,
    ):
        for listener, address in ((named, str(path)), (unnamed, f"\0{abstract}")):
            listener.bind(address)
            listener.listen()
        names = (file, tmp_path / "new", tmp_path, abstract, path)
        yield Aim(*(os.fsencode(name) for name in names), port.getsockname()[1], victim)
