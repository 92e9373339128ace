"""The world of a guest that may ask servers: `wasi-nn-torch run --allow-http`.

In: the options of the command. Out: WASI in Python, for which the guest is compiled, with the streams of this process.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Mapping, Sequence
from functools import cache

import wasi_host
from wasi_host import Folder, Outgoing, Pipe, World
from wasi_host.pipes import OutputLimit, Received
from wasi_host.world import Receiver
from wasi_nn_torch.contract.limiting import LIMITS, advice
from wasi_nn_torch.sessions.directories import Directory
from wasi_nn_torch.sessions.limits import Limits
from wasi_nn_torch.sessions.worlds import NO_LIMIT, world_limits
from wit_host import GuestError, GuestLimit, Linker

#: The interfaces whose bytes cross by address.
BUFFERS = wasi_host.BUFFERS

_STDIN, _STDOUT, _STDERR = range(3)
_PIECE = 1 << 16
#: The limits of sessions by those of worlds, if their names differ.
_LIMITS = {"handles": "resources"}


def link(linker: Linker) -> None:
    """Define WASI in Python, for sessions whose `data` is a world."""
    wasi_host.add_to_linker(linker, lambda session: session.data)


def make_world(
    name: str,
    args: Sequence[str],
    env: Mapping[str, str],
    dirs: Mapping[str, Directory],
    limits: Limits,
    outgoing: Outgoing,
) -> World:
    """Make the world of a guest, with the standard streams of this process.

    Raises ValueError without h11, and for directories on a system that cannot confine a guest to them.
    """
    try:
        return World(
            arguments=[name, *args],
            env=env,
            stdin=_host_input(),
            stdout=_receiver(_STDOUT),
            stderr=_receiver(_STDERR),
            directories={each.path: Folder(host, writable=each.writable) for host, each in dirs.items()},
            terminal=all(map(os.isatty, (_STDIN, _STDOUT, _STDERR))),
            outgoing=outgoing,
            limits=world_limits(limits),
        )
    except (ImportError, NotImplementedError) as error:
        raise ValueError(f"--allow-http: {error}") from None


def _receiver(descriptor: int) -> Receiver:
    """What takes the output for a stream of this process; that on terminals is not counted."""

    def write(content: bytes) -> None:
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(descriptor, rest) :]

    return Received(write, OutputLimit(NO_LIMIT)) if os.isatty(descriptor) else write


def in_options(error: GuestError) -> str:
    """The text of an error of a guest, with the option for a limit of its world."""
    if not isinstance(error, GuestLimit):
        return str(error)
    name = _LIMITS.get(error.limit, error.limit)
    problem, found, rest = str(error).partition(f"raise the limit `{error.limit}` of `wasi_host.Limits`")
    return f"{problem}{advice(name)}{rest}" if found and name in LIMITS else str(error)


class HostInput:
    """The standard input of this process, as a source. A thread reads it, once a guest has looked for bytes."""

    def __init__(self) -> None:
        self._pipe = Pipe()
        self._is_read = False
        self.signal = self._pipe.signal

    def left(self) -> float | None:
        """Return 0 if there are bytes, or the end."""
        self._begin()
        return self._pipe.source.left()

    def take(self, most: int) -> bytes:
        """Return bytes that are there; raises EOFError after the last one."""
        self._begin()
        return self._pipe.take(most)

    def close(self) -> None:
        """Keep the rest for the next guest."""

    def _begin(self) -> None:
        if not self._is_read:
            self._is_read = True
            # A daemon, since nothing can end a read of a terminal.
            threading.Thread(target=self._read, name="wasi-stdin", daemon=True).start()

    def _read(self) -> None:
        try:
            while content := os.read(_STDIN, _PIECE):
                self._pipe.write(content)
        except OSError as error:
            print(f"the standard input cannot be read: {error.strerror}", file=sys.stderr)
        self._pipe.finish()


_host_input = cache(HostInput)
