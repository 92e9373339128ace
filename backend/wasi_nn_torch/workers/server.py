"""The fork server: a process that has loaded what workers need, and forks a confined worker at every request.

It has an empty environment and no files but its channel. When the host is gone, it kills all workers and ends.
"""

from __future__ import annotations

import errno
import gc
import json
import os
import select
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from importlib import import_module

from wasi_nn_torch.workers.channel import Channel, ChannelClosed
from wasi_nn_torch.workers.confinement import Confinement, ConfinementError, confine

#: The requests: start a worker, and kill one to get its status. A number follows, which the answer begins with.
START, END = b"S", b"E"
#: The most characters of the traceback of a server that cannot load.
_LONGEST = 8000
#: The bytes of that number.
NUMBER = 8
#: The time between two looks at workers that were killed, whose memory the system frees, in milliseconds.
_INTERVAL = 2


def main(descriptor: int) -> None:
    """Load what the first message asks for, and answer requests until the host closes the channel."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the host, which ends this server
    os.environ.clear()
    control = Channel(socket.socket(fileno=descriptor))
    workers: set[int] = set()
    try:
        target = _load(control)
        _serve(control, target, workers)
    except ChannelClosed:
        return  # in a worker that could not start as well as here
    finally:
        for pid in workers:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _load(control: Channel) -> Callable[[Channel], object]:
    """Import and run what is to be loaded; the answer is empty, or says why that failed."""
    wanted = json.loads(control.receive())
    try:
        for name in wanted["preload"]:
            module, _, function = name.partition(":")
            imported = import_module(module)
            if function:
                getattr(imported, function)()
        module, _, function = wanted["target"].partition(":")
        target: Callable[[Channel], object] = getattr(import_module(module), function)
    except Exception as error:  # noqa: BLE001  # modules may raise anything, and the host reports it
        control.send("".join(traceback.format_exception(error))[-_LONGEST:].encode())
        raise ChannelClosed from None
    gc.collect()
    gc.freeze()  # so that workers do not copy pages by collecting garbage
    control.send(b"")
    return target


def _serve(control: Channel, target: Callable[[Channel], object], workers: set[int]) -> None:
    waiting = select.poll()
    waiting.register(control, select.POLLIN)
    ending: dict[int, bytes] = {}
    while True:
        for pid, status in _ended(ending):
            control.send(ending.pop(pid) + str(status).encode())
        if not waiting.poll(_INTERVAL if ending else None):
            continue
        request, descriptors = control.receive_with_descriptors()
        number, content = bytes(request[1 : NUMBER + 1]), request[NUMBER + 1 :]
        if request[:1] == START:
            confinement = Confinement(**json.loads(content), parent=os.getpid())
            control.send(number + str(_start(control, target, confinement, descriptors, workers)).encode())
        else:
            pid = int(content)
            workers.remove(pid)  # a number that is not a worker's must never be killed
            ending[pid] = number
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _start(
    control: Channel,
    target: Callable[[Channel], object],
    confinement: Confinement,
    descriptors: Sequence[int],
    workers: set[int],
) -> int:
    """Fork a worker, which owns the descriptor of its channel.

    Return its process number, or the negative number of the system's error if there can be no more processes.
    """
    try:
        pid = os.fork()
        if not pid:
            workers.clear()
            control.close()
            _work(target, confinement, descriptors[0])
        workers.add(pid)
        return pid
    except OSError as error:
        return -(error.errno or errno.EAGAIN)
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def _work(target: Callable[[Channel], object], confinement: Confinement, descriptor: int) -> None:
    """Run a worker to its end; does not return. Its first message is empty, or says why it is not confined."""
    status = 1
    try:
        channel = Channel(socket.socket(fileno=descriptor))
        try:
            confine(confinement)
        except ConfinementError as error:
            channel.send(str(error).encode())
            return
        channel.send(b"")
        target(channel)
        status = 0
    except ChannelClosed:
        status = 0
    finally:
        os._exit(status)


def _ended(ending: Collection[int]) -> list[tuple[int, int]]:
    """The workers among these that have ended, with their status: the exit code, or the negative signal."""
    waited = [os.waitpid(pid, os.WNOHANG) for pid in ending]
    return [(pid, os.waitstatus_to_exitcode(status)) for pid, status in waited if pid]


if __name__ == "__main__":
    main(int(sys.argv[1]))
