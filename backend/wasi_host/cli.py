"""`wasi:cli`: what a command is started with, its standard streams, and its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from wasi_bindings import (
    environment,
    exit,
    stderr,
    stdin,
    stdout,
    terminal_input,
    terminal_output,
    terminal_stderr,
    terminal_stdin,
    terminal_stdout,
)
from wit_host import Err, GuestExit, Ok

from .limits import Count
from .streams import InputStream, OutputStream, Sink, Source


class Environment(environment.Host):
    """The functions of `wasi:cli/environment`."""

    def __init__(self, arguments: Sequence[str], variables: Mapping[str, str]) -> None:
        self._arguments = tuple(arguments)
        self._variables = tuple(variables.items())

    def get_environment(self) -> Sequence[tuple[str, str]]:
        """Return the variables."""
        return self._variables

    def get_arguments(self) -> Sequence[str]:
        """Return the arguments, the first of which is the name of the command."""
        return self._arguments

    def initial_cwd(self) -> str | None:
        """Return None: relative paths begin at the directories that the guest has."""
        return None


class Exit(exit.Host):
    """The function of `wasi:cli/exit`."""

    def exit(self, status: Ok[None] | Err[None]) -> None:
        """End the guest, with status 0 or 1."""
        raise GuestExit("the guest", 0 if isinstance(status, Ok) else 1)


class StandardStreams(stdin.Host, stdout.Host, stderr.Host):
    """The functions of `wasi:cli/stdin`, `stdout` and `stderr`; one read returns `most` bytes at most."""

    def __init__(self, source: Source, output: Sink, errors: Sink, handles: Count, most: int) -> None:
        self._source = source
        self._output = output
        self._errors = errors
        self._handles = handles
        self._most = most

    def get_stdin(self) -> InputStream:
        """Return a stream of the standard input."""
        return InputStream(self._source, self._handles, self._most, owns=False)

    def get_stdout(self) -> OutputStream:
        """Return a stream of the standard output."""
        return OutputStream(self._output, self._handles, owns=False)

    def get_stderr(self) -> OutputStream:
        """Return a stream of the standard error."""
        return OutputStream(self._errors, self._handles, owns=False)

    def close(self) -> None:
        """Close the source and the sinks, of which a guest may have any number of streams."""
        for each in (self._source, self._output, self._errors):
            each.close()


class Terminal(terminal_input.TerminalInput, terminal_output.TerminalOutput):
    """The resources `terminal-input` and `terminal-output`."""

    def __init__(self, handles: Count) -> None:
        handles.add()
        self._handles = handles

    def drop(self) -> None:
        """Count one handle less."""
        self._handles.remove()


class Terminals(terminal_stdin.Host, terminal_stdout.Host, terminal_stderr.Host):
    """The functions of `wasi:cli/terminal-stdin`, `terminal-stdout` and `terminal-stderr`."""

    def __init__(self, handles: Count, *, are_there: bool) -> None:
        self._handles = handles
        self._are_there = are_there

    def get_terminal_stdin(self) -> Terminal | None:
        """Return the terminal of the standard input."""
        return self._terminal()

    def get_terminal_stdout(self) -> Terminal | None:
        """Return the terminal of the standard output."""
        return self._terminal()

    def get_terminal_stderr(self) -> Terminal | None:
        """Return the terminal of the standard error."""
        return self._terminal()

    def _terminal(self) -> Terminal | None:
        return Terminal(self._handles) if self._are_there else None
