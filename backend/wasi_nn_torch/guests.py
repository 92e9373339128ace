"""Guests: from a file to a compiled component, and what to say of a file that is none."""

from __future__ import annotations

import logging
import os
import time
from dataclasses import dataclass
from pathlib import Path

import wasmtime
from wasmtime import component

from wasi_nn_torch.errors import why_unreadable
from wit_host import Engine, GuestError

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
    """A compiled component; it belongs to one engine, and any number of its sessions may run it."""

    name: str
    component: component.Component
    compile_seconds: float


@dataclass(frozen=True)
class GuestFile:
    """A guest as it was read, in the binary format."""

    name: str
    wasm: bytes


def read_guest(source: GuestSource) -> GuestFile:
    """Read a guest; raises InvalidGuest where there is no such file or it is no component."""
    if isinstance(source, bytes):
        name, content = "the guest", source
    else:
        name, content = _read(Path(source))
    if not content.startswith(_MAGIC):
        content = _from_text(name, content)
    if content[4:8] == _MODULE:
        raise InvalidGuest(
            f"{name} is a core module, and components run here; build it for the target wasm32-wasip2, or make a "
            "component of it with `wasm-tools component new`"
        )
    return GuestFile(name, content)


def compile_guest(engine: Engine, file: GuestFile) -> Guest:
    """Compile a guest, which takes seconds for a large one; raises InvalidGuest where it is not valid."""
    started = time.perf_counter()
    try:
        compiled = engine.compile(file.wasm, file.name)
    except GuestError as error:
        raise InvalidGuest(str(error)) from None
    seconds = time.perf_counter() - started
    logger.info("compiled %s (%d bytes) in %.2f s", file.name, len(file.wasm), seconds)
    return Guest(file.name, compiled, seconds)


def _read(path: Path) -> tuple[str, bytes]:
    try:
        return path.name, path.read_bytes()
    except OSError as error:
        reason = why_unreadable(error, "the guest's file in it")
    raise InvalidGuest(f"the guest {path} {reason}")


def _from_text(name: str, content: bytes) -> bytes:
    """The binary format of a guest in the text format; whatever begins with a parenthesis or a comment may be one."""
    if not content.lstrip().startswith((b"(", b";")):
        raise InvalidGuest(f"{name} is not WebAssembly; give a component, as compilers for wasm32-wasip2 make it")
    try:
        return bytes(wasmtime.wat2wasm(content))
    except wasmtime.WasmtimeError as error:
        raise InvalidGuest(f"{name} is not valid WebAssembly text: {_one_line(error)}") from None


def _one_line(error: wasmtime.WasmtimeError) -> str:
    return " ".join(str(error).split())
