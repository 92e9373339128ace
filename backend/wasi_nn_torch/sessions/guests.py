"""Guests: from a file to a compiled component or core module, and what to say of a file that is neither."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import wasmtime

from wasi_nn_torch.contract.errors import why_unreadable
from wit_host import Component, Engine, GuestError
from wit_host.core import CoreModule

logger = logging.getLogger(__name__)

#: `\0asm`, then the version of the format and the layer: a module or a component.
_MAGIC = b"\0asm"
_MODULE = b"\x01\x00\x00\x00"

GuestSource = str | os.PathLike[str] | bytes
"""Where a guest comes from: the path of a file, or its bytes; WebAssembly's binary or text format."""


class InvalidGuest(Exception):
    """A file that cannot be run here; the text says which one, why, and what to do."""


@dataclass(frozen=True)
class Guest:
    """A compiled component or core module; it belongs to one engine, and any number of its sessions may run it.

    `compile_seconds` is what it took to get it compiled; `from_cache` says whether it had been compiled before.
    """

    name: str
    compiled: Component | CoreModule
    compile_seconds: float
    from_cache: bool = False


@dataclass(frozen=True)
class GuestFile:
    """A guest as it was read, in the binary format."""

    name: str
    wasm: bytes

    @property
    def is_module(self) -> bool:
        """Whether it is a core module, and not a component."""
        return self.wasm[4:8] == _MODULE


def read_guest(source: GuestSource) -> GuestFile:
    """Read a guest; raises InvalidGuest where there is no such file or it is no WebAssembly."""
    if isinstance(source, bytes):
        name, content = "the guest", source
    else:
        name, content = _read(Path(source))
    if not content.startswith(_MAGIC):
        content = _from_text(name, content)
    return GuestFile(name, content)


def compile_guest(engine: Engine, file: GuestFile, buffers: Collection[str]) -> Guest:
    """Compile a guest, or find it compiled; raises InvalidGuest where it is not valid.

    Compiling a large guest takes seconds.
    """
    started = time.perf_counter()
    try:
        compiled = _compile(engine, file, buffers)
    except GuestError as error:
        raise InvalidGuest(str(error)) from None
    seconds = time.perf_counter() - started
    from_cache = engine.is_from_cache(compiled)
    done = "found in the cache" if from_cache else "compiled"
    logger.info("%s is %s: %d bytes in %.2f s", file.name, done, len(file.wasm), seconds)
    return Guest(file.name, compiled, seconds, from_cache)


def _compile(engine: Engine, file: GuestFile, buffers: Collection[str]) -> Component | CoreModule:
    if file.is_module:
        return engine.compile_module(file.wasm, file.name)
    return engine.compile(file.wasm, file.name, buffers=buffers)


def _read(path: Path) -> tuple[str, bytes]:
    try:
        return path.name, path.read_bytes()
    except OSError as error:
        reason = why_unreadable(error, "the guest's file in it")
    raise InvalidGuest(f"the guest {path} {reason}")


def _from_text(name: str, content: bytes) -> bytes:
    """The binary format of a guest in the text format; whatever begins with a parenthesis or a comment may be one."""
    if not content.lstrip().startswith((b"(", b";")):
        raise InvalidGuest(f"{name} is not WebAssembly; give a component or a core module, as compilers make them")
    try:
        return bytes(wasmtime.wat2wasm(content))
    except wasmtime.WasmtimeError as error:
        raise InvalidGuest(f"{name} is not valid WebAssembly text: {_one_line(error)}") from None


def _one_line(error: wasmtime.WasmtimeError) -> str:
    return " ".join(str(error).split())
