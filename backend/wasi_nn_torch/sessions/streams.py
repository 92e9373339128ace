"""The standard streams of a guest: what a caller may give for them, and how WASI gets it."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from typing import Protocol, TypeAlias

from wit_host import WasiConfig


class BinaryReader(Protocol):
    """A file that is open for reading bytes."""

    def read(self) -> bytes:
        """All that is left in it."""
        ...


class BinaryWriter(Protocol):
    """A file that is open for writing bytes."""

    def write(self, data: bytes, /) -> int | None:
        """Write some of `data`, and return how much, or nothing if it was all."""
        ...


Input: TypeAlias = str | os.PathLike[str] | bytes | BinaryReader | None
"""What a guest reads: a file by its path, bytes, a file that is open in binary mode, or None for the host's stream."""

Output: TypeAlias = Callable[[bytes], object] | BinaryWriter | None
"""Where a guest's output goes: a function that is called with each piece, a file that is open in binary mode, or None
for the host's own stream."""


def set_streams(wasi: WasiConfig, stdin: Input, stdout: Output, stderr: Output) -> None:
    """Give a guest its three streams; raises TypeError for what cannot be one, OSError for a file that is not there."""
    _set_input(wasi, stdin)
    if stdout is None:
        wasi.inherit_stdout()
    else:
        wasi.stdout_custom = _writing(stdout, "stdout")
    if stderr is None:
        wasi.inherit_stderr()
    else:
        wasi.stderr_custom = _writing(stderr, "stderr")


def _set_input(wasi: WasiConfig, stdin: Input) -> None:
    if stdin is None:
        wasi.inherit_stdin()
    elif isinstance(stdin, (bytes, bytearray, memoryview)):
        wasi.stdin_bytes = bytes(stdin)
    elif isinstance(stdin, (str, os.PathLike)):
        os.stat(stdin)  # which says what is wrong with it, as the engine does not
        wasi.stdin_file = stdin
    else:
        wasi.stdin_bytes = _read(stdin)


def _read(file: BinaryReader) -> bytes:
    """All of a file, as the engine takes no Python object for an input."""
    content: object = None if isinstance(file, io.TextIOBase) or not hasattr(file, "read") else file.read()
    if not isinstance(content, bytes):
        raise _wrong("stdin", "a path, bytes or a file that is open in binary mode", file)
    return content


def _writing(output: Callable[[bytes], object] | BinaryWriter, name: str) -> Callable[[bytes], object]:
    """The function that takes what a guest writes."""
    if callable(output):
        return output
    if isinstance(output, io.TextIOBase) or not callable(getattr(output, "write", None)):
        raise _wrong(name, "a function that takes bytes, or a file that is open in binary mode", output)
    return lambda data: _write_all(output, data)


def _write_all(file: BinaryWriter, data: bytes) -> None:
    """Write every byte; a file without a buffer may take some only."""
    while data:
        written = file.write(data)
        data = b"" if written is None else data[written:]


def _wrong(name: str, wanted: str, given: object) -> TypeError:
    hint = "; give its `.buffer`" if isinstance(given, io.TextIOBase) and hasattr(given, "buffer") else ""
    return TypeError(f"`{name}` takes {wanted}, not a {type(given).__name__}{hint}")
