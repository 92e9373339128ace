"""Stands for a process that the server forks: gives it its surroundings, passes signals on, and ends as it does."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys

PASSED_ON = [signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2]


def main(address: str, arguments: list[str]) -> None:
    server = socket.socket(socket.AF_UNIX)
    server.connect(address)
    for number in PASSED_ON:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda number, _: server.send(bytes([number])))
    surroundings = json.dumps([arguments, os.getcwd(), dict(os.environ)]).encode()
    socket.send_fds(server, [len(surroundings).to_bytes(8)], [0, 1, 2])
    server.sendall(surroundings)
    for stream in (0, 1, 2):  # or nobody would see when the other process closes them
        os.close(stream)
    answer = server.recv(8)
    if not answer:
        os._exit(70)
    status = int.from_bytes(answer, signed=True)
    if status >= 0:
        os._exit(status)
    signal.signal(-status, signal.SIG_DFL) if -status != signal.SIGKILL else None
    os.kill(os.getpid(), -status)


main(sys.argv[1], sys.argv[2:])
