"""The standard streams of a guest: the types that a caller may give for them, and how they are passed to WASI."""

from __future__ import annotations

import errno
import io
import os
import stat
from collections.abc import Callable
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from typing import Protocol

from wit_host import WasiConfig


class BinaryReader(Protocol):
    """A file that is open for reading bytes."""

    def read(self) -> bytes:
        """Read everything up to the end of the file."""
        ...


class BinaryWriter(Protocol):
    """A file that is open for writing bytes."""

    def write(self, data: bytes, /) -> int | None:
        """Write some or all of `data`, and return the number of bytes written, or None for all."""
        ...


#: The input of a guest: the path of a file, bytes, a file that is open in binary mode, or None for the host's stream.
Input = str | os.PathLike[str] | bytes | BinaryReader | None

#: The receiver of a guest's output: a function that is called with each piece, a file that is open in binary mode, or
#: None for the host's own stream.
Output = Callable[[bytes], object] | BinaryWriter | None


@dataclass(slots=True)
class Streams:
    """The three streams of a guest; `counts_output` if the bytes of its output have a limit.

    Functions that receive output are called on threads of the engine, with the context variables of `follow`.
    """

    stdin: Input
    stdout: Output
    stderr: Output
    counts_output: bool = False
    _context: Context = field(default_factory=Context)

    def follow(self) -> None:
        """Let the guest begin to work for whoever calls this: its output belongs to the context of the caller."""
        if callable(self.stdout) or callable(self.stderr):
            self._context = copy_context()

    @property
    def are_inherited(self) -> bool:
        """Whether all of them are the host's own, which cannot fail, and can wait until a guest needs them."""
        return self.stdin is None and self.stdout is None and self.stderr is None

    def set(self, wasi: WasiConfig) -> None:
        """Set the streams; raises TypeError for one of another type, OSError for a file that cannot be read."""
        _set_input(wasi, self.stdin)
        if self.stdout is None:
            wasi.inherit_stdout(counted=self.counts_output)
        else:
            wasi.stdout_custom = self._writing(self.stdout, "stdout")
        if self.stderr is None:
            wasi.inherit_stderr(counted=self.counts_output)
        else:
            wasi.stderr_custom = self._writing(self.stderr, "stderr")

    def _writing(self, output: Callable[[bytes], object] | BinaryWriter, name: str) -> Callable[[bytes], object]:
        """The function that receives a guest's output."""
        if callable(output):
            # A copy, since a context can be entered once at a time, and both streams may be written to.
            return lambda data: self._context.copy().run(output, data)
        if isinstance(output, io.TextIOBase) or not callable(getattr(output, "write", None)):
            raise _wrong(name, "a function that takes bytes, or a file that is open in binary mode", output)
        pipe = WasiConfig.pipe(output) if isinstance(output, io.FileIO | io.BufferedWriter) else None
        return pipe or (lambda data: _write_all(output, data))


def reusable(stdin: Input) -> Input:
    """The same input for any number of guests: a file is read to its end now. Raises TypeError for another type."""
    if stdin is None or isinstance(stdin, str | os.PathLike | bytes | bytearray | memoryview):
        return stdin
    return _read(stdin)


def _set_input(wasi: WasiConfig, stdin: Input) -> None:
    if stdin is None:
        wasi.inherit_stdin()
    elif isinstance(stdin, bytes | bytearray | memoryview):
        wasi.stdin_bytes = bytes(stdin)
    elif isinstance(stdin, str | os.PathLike):
        if stat.S_ISDIR(os.stat(stdin).st_mode):  # these errors say what is wrong; those of the engine do not
            raise IsADirectoryError(errno.EISDIR, "`stdin` is a directory; name a file", os.fspath(stdin))
        wasi.stdin_file = stdin
    else:
        wasi.stdin_bytes = _read(stdin)


def _read(file: BinaryReader) -> bytes:
    """The whole content of a file, since the engine does not read from Python objects."""
    content: object = None if isinstance(file, io.TextIOBase) or not hasattr(file, "read") else file.read()
    if not isinstance(content, bytes):
        raise _wrong("stdin", "a path, bytes or a file that is open in binary mode", file)
    return content


def _write_all(file: BinaryWriter, data: bytes) -> None:
    """Write every byte, in several steps if the file is unbuffered and takes only some at a time."""
    while data:
        written = file.write(data)
        data = b"" if written is None else data[written:]


def _wrong(name: str, wanted: str, given: object) -> TypeError:
    hint = "; give its `.buffer`" if isinstance(given, io.TextIOBase) and hasattr(given, "buffer") else ""
    return TypeError(f"`{name}` takes {wanted}, not {type(given).__name__}{hint}")
