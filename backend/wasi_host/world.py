"""The world that a guest sees: its clocks, files, streams, arguments, and random numbers.

In: what the host gives. Out: definitions of WASI for a linker, and what the guest made of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self, TypeAlias

import wasi_bindings
import wasi_http_bindings
from wit_host import Linker, per_store

from .cli import Environment, Exit, StandardStreams, Terminals
from .clocks import Clock, MonotonicClock, SystemClock, WallClock
from .files import Files, Filesystem, Folder, Preopens
from .files.descriptors import Shared
from .http import Outgoing, OutgoingHandler, Types
from .limits import Count, Limits
from .pipes import Given, OutputLimit, Pipe, Received
from .polling import Polling
from .randomness import Randomness
from .sockets import NoSockets
from .streams import InputStream, OutputStream, Sink, Source

Receiver: TypeAlias = Callable[[bytes], object] | Pipe | Sink
"""What the output of a guest is given to."""


class World:
    """All that one guest gets of WASI 0.2, and nothing of the host's system but what is given here.

    `arguments` begin with the name of the command. `stdin` is bytes, a `Pipe` or a `Source`; `stdout` and `stderr` are
    functions that receive each piece, a `Pipe` or a `Sink`; without them, `output` and `errors` have what was written.
    `directories` are `Files` and `Folder`s by the guest's paths. With a `clock` such as `TestClock`, or a `seed` for
    random numbers, runs can be repeated exactly; both are for tests. `terminal` says that the standard streams are
    those of a terminal. `outgoing` says which requests of HTTP the guest may make; without it, none. One guest uses a
    world at a time; use it in a `with` block if its standard streams are pipes.
    """

    def __init__(
        self,
        *,
        arguments: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        stdin: bytes | Pipe | Source = b"",
        stdout: Receiver | None = None,
        stderr: Receiver | None = None,
        directories: Mapping[str, Files | Folder] | None = None,
        clock: Clock | None = None,
        seed: int | None = None,
        terminal: bool = False,
        outgoing: Outgoing | None = None,
        limits: Limits | None = None,
    ) -> None:
        self.limits = limits or Limits()
        self.clock = clock or SystemClock()
        self._output, self._errors = bytearray(), bytearray()
        self._handles = Count("handles", self.limits.handles)
        self._descriptors = Count("descriptors", self.limits.descriptors)
        bound = OutputLimit(self.limits.output)
        types = Types(self._handles, self.limits, None if outgoing is None else outgoing.request_body)
        shared = Shared(self.limits, self.clock, self._descriptors, self._handles)
        self.hosts = Hosts(
            Environment(arguments, env or {}),
            Exit(),
            MonotonicClock(self.clock, self._handles),
            WallClock(self.clock),
            Polling(self.limits.handles),
            Randomness(self.limits, seed),
            StandardStreams(
                _source(stdin),
                _sink(stdout, self._output, bound),
                _sink(stderr, self._errors, bound),
                self._handles,
                self.limits.read,
            ),
            Terminals(self._handles, are_there=terminal),
            Preopens(directories or {}, shared),
            Filesystem(),
            NoSockets(self._handles),
            types,
            OutgoingHandler(types, outgoing),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the standard streams, whose guest has ended: the host reads the end of a `Pipe` after the last byte."""
        self.hosts.streams.close()

    @property
    def output(self) -> bytes:
        """What the guest wrote to its standard output, unless `stdout` was given."""
        return bytes(self._output)

    @property
    def errors(self) -> bytes:
        """What the guest wrote to its standard error, unless `stderr` was given."""
        return bytes(self._errors)

    @property
    def open_handles(self) -> int:
        """The number of the guest's streams, pollables, open files and directories."""
        return self._handles.used + self._descriptors.used

    def input_stream(self, source: bytes | Pipe | Source) -> InputStream:
        """Return an `input-stream` of WASI for one's own functions; the guest that gets it owns it."""
        return InputStream(_source(source), self._handles, self.limits.read)

    def output_stream(self, sink: Callable[[bytes], object] | Pipe | Sink) -> OutputStream:
        """Return an `output-stream` of WASI, as `input_stream`. What a function receives is not limited."""
        return OutputStream(_sink(sink, bytearray(), OutputLimit(1 << 62)), self._handles)

    def add_to_linker(self, linker: Linker) -> None:
        """Define WASI in `linker` by this world; its guests are compiled with `buffers=wasi_host.BUFFERS`."""
        self.hosts.define(linker)


@dataclass(frozen=True)
class Hosts:
    """The implementations of all interfaces for one guest."""

    environment: Environment
    exit: Exit
    monotonic_clock: MonotonicClock
    wall_clock: WallClock
    polling: Polling
    randomness: Randomness
    streams: StandardStreams
    terminals: Terminals
    preopens: Preopens
    filesystem: Filesystem
    sockets: NoSockets
    http_types: Types
    outgoing_handler: OutgoingHandler

    def define(self, linker: Linker) -> None:
        """Define WASI in `linker`."""
        wasi_bindings.add_to_linker(
            linker,
            environment_host=self.environment,
            exit_host=self.exit,
            insecure_host=self.randomness,
            insecure_seed_host=self.randomness,
            instance_network_host=self.sockets,
            ip_name_lookup_host=self.sockets,
            monotonic_clock_host=self.monotonic_clock,
            poll_host=self.polling,
            preopens_host=self.preopens,
            random_host=self.randomness,
            stderr_host=self.streams,
            stdin_host=self.streams,
            stdout_host=self.streams,
            tcp_create_socket_host=self.sockets,
            terminal_stderr_host=self.terminals,
            terminal_stdin_host=self.terminals,
            terminal_stdout_host=self.terminals,
            types_host=self.filesystem,
            udp_create_socket_host=self.sockets,
            wall_clock_host=self.wall_clock,
        )
        wasi_http_bindings.add_to_linker(linker, self.outgoing_handler, self.http_types)


def add_to_linker(linker: Linker, world: Callable[[Any], World]) -> None:
    """Define WASI in a `linker` that many stores share; `world` returns the world for the `data` of a store."""

    def host(name: str) -> Any:  # noqa: ANN401  # it stands for any of them
        return per_store(lambda data: getattr(world(data).hosts, name))

    Hosts(*(host(each.name) for each in fields(Hosts))).define(linker)


def _source(given: bytes | Pipe | Source) -> Source:
    if isinstance(given, Pipe):
        return given.source
    return Given(given) if isinstance(given, bytes) else given


def _sink(given: Receiver | None, captured: bytearray, limit: OutputLimit) -> Sink:
    if given is None:
        return Received(captured.extend, limit)
    if isinstance(given, Pipe):
        return given.sink
    return given if isinstance(given, Sink) else Received(given, limit)
