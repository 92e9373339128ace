"""Imports PyTorch, and forks a process for each client until its standard input ends.

Between this process and each of those is one that waits for the end of it, and ends it if the client is killed.
"""

from __future__ import annotations

import gc
import json
import os
import runpy
import select
import signal
import socket
import sys
import warnings

import torch.export  # noqa: F401


def serve(address: str) -> list[str] | None:
    """The arguments of a client, in a process of its own, or None at the end of this one."""
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(address)
    listening.listen(64)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
    print("ready", flush=True)
    while True:
        ready, _, _ = select.select([listening, 0], [], [])
        if 0 in ready:
            return None
        client, _ = listening.accept()
        if not os.fork():
            listening.close()
            return watched(client)
        client.close()


def watched(client: socket.socket) -> list[str]:
    """The arguments of a client, in a process of its own; this one ends with that."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    head, streams, _, _ = socket.recv_fds(client, 8, 3)
    rest = bytearray()
    while len(rest) < int.from_bytes(head):
        rest += client.recv(1 << 16)
    arguments, directory, environment = json.loads(rest)
    forked = os.fork()
    if not forked:
        client.close()
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        os.chdir(directory)
        os.environ.clear()
        os.environ.update(environment)
        return arguments
    for stream in (0, 1, 2, *streams):
        os.close(stream)
    answer(client, forked)
    os._exit(0)


def answer(client: socket.socket, forked: int) -> None:
    """Pass signals on to a process until it has ended, and say how it did."""
    process = os.pidfd_open(forked)
    while True:
        ready, _, _ = select.select([process, client], [], [])
        if process in ready:
            _, status = os.waitpid(forked, 0)
            client.send(os.waitstatus_to_exitcode(status).to_bytes(8, signed=True))
            return
        numbers = client.recv(64)
        for number in numbers or [signal.SIGKILL]:
            os.kill(forked, number)
        if not numbers:
            return


def run(arguments: list[str]) -> None:
    """Do what Python does for its environment and its arguments."""
    sys.stdin, sys.stdout, sys.stderr = os.fdopen(0), os.fdopen(1, "w"), os.fdopen(2, "w", buffering=1)
    sys.path[1:1] = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    while arguments[0] == "-W":
        warnings._processoptions([arguments[1]])  # type: ignore[attr-defined]
        del arguments[:2]
    kind, *rest = arguments
    if kind == "-c":
        sys.argv = ["-c", *rest[1:]]
        sys.path[0] = ""
        exec(compile(rest[0], "<string>", "exec"), sys.modules["__main__"].__dict__)
    elif kind == "-m":
        sys.argv = ["-m", *rest[1:]]
        sys.path[0] = os.getcwd()
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    else:
        sys.argv = [kind, *rest]
        sys.path[0] = os.path.dirname(os.path.abspath(kind))
        runpy.run_path(kind, run_name="__main__")


gc.freeze()  # or each process would copy the memory of PyTorch to look for what it may free
if (given := serve(sys.argv[1])) is not None:
    run(given)
