"""Guests: from a file to a compiled component or core module, with an error for a file that is neither."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import wasmtime

from wasi_nn_torch import hosts
from wasi_nn_torch.contract.arguments import not_copied, require_type
from wasi_nn_torch.contract.errors import why_unreadable
from wasi_nn_torch.contract.forks import renew_in_child
from wasi_nn_torch.contract.text import one_line, quote
from wasi_nn_torch.sessions.compiling import CompileError, ProcessCompiler
from wit_host import Component, Engine, GuestError, LinkedComponent, Linker
from wit_host.core import CoreLinker, CoreModule, LinkedModule

logger = logging.getLogger(__name__)

#: `\0asm`, then the version of the format and the layer: a module or a component.
_MAGIC = b"\0asm"
_MODULE = b"\x01\x00\x00\x00"

#: A guest that is not compiled yet: the path of a file, or its bytes, in WebAssembly's binary or text format.
GuestSource = str | os.PathLike[str] | bytes

#: Defines imports beside WASI and wasi-nn: in a `Linker` of `wit_host` for a component, in a `CoreLinker` for a core
#: module. The type of the parameter is left open, because a function takes only the one that its guest needs.
Link = Callable[[Any], object]


class InvalidGuest(Exception):
    """A guest that cannot be run; the text says which one, why, and what to do."""


@dataclass(frozen=True)
class Guest:
    """A compiled component or core module of one engine, which any number of its sessions may run.

    `compile_seconds` is the time that compiling it took, or loading it, if it came `from_cache`. `link` defines what
    it may import beside WASI and wasi-nn.
    """

    name: str
    compiled: Component | CoreModule
    compile_seconds: float
    from_cache: bool
    link: Link | None
    _engine: Engine = field(repr=False)
    _linking: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    #: Whether it imports any version of wasi-nn.
    imports_nn: bool = field(init=False, repr=False, compare=False)
    #: Whether it imports WASI, and so can read its arguments and use its streams.
    imports_wasi: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "imports_nn", hosts.are_imported_by(self.compiled))
        object.__setattr__(self, "imports_wasi", hosts.is_wasi_imported_by(self.compiled))
        renew_in_child(self, "_linking", threading.Lock)

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled or copied."""
        raise not_copied(self, "compile the guest in each process, which takes milliseconds with the cache")

    @property
    def linked(self) -> LinkedComponent | LinkedModule:
        """The guest with its imports, which all its sessions share; raises LinkError if they do not fit."""
        done: LinkedComponent | LinkedModule | None = self.__dict__.get("_linked")
        if done is not None:
            return done
        with self._linking:  # so that `link` is called once, whichever sessions begin at the same time
            done = self.__dict__.get("_linked")
            if done is None:
                done = self.__dict__["_linked"] = self._link()
            return done

    def _link(self) -> LinkedComponent | LinkedModule:
        if isinstance(self.compiled, CoreModule):
            core_linker = CoreLinker()
            core_linker.add_wasi()
            hosts.add_to_core_linker(core_linker)
            self._define(core_linker)
            return self._engine.link_module(self.compiled, core_linker, self.name)
        linker = Linker()
        linker.add_wasi()
        hosts.add_to_linker(linker)
        self._define(linker)
        return self._engine.link(self.compiled, linker, self.name)

    def _define(self, linker: Linker | CoreLinker) -> None:
        if self.link is not None:
            self.link(linker)


@dataclass(frozen=True)
class GuestFile:
    """A guest that was read but not compiled, in the binary or the text format."""

    name: str
    content: bytes


def read_guest(source: GuestSource) -> GuestFile:
    """Read a guest; raises InvalidGuest if its file cannot be read or is not WebAssembly."""
    if isinstance(source, bytes):
        name, content = "the guest", source
    else:
        name, content = _read(_path(source))
    # A text begins with a parenthesis or a comment.
    if not content.startswith(_MAGIC) and not content.lstrip().startswith((b"(", b";")):
        raise InvalidGuest(f"{name} is not WebAssembly; give a component or a core module that a compiler made")
    return GuestFile(name, content)


def compile_guest(
    engine: Engine,
    file: GuestFile,
    buffers: Collection[str],
    compiler: ProcessCompiler | None = None,
    link: Link | None = None,
    optimize: bool = True,
) -> Guest:
    """Compile a guest, which may take seconds, or load it from the cache.

    `compiler` is that of the engine, `link` defines further imports, and without `optimize` compiling takes less time.
    Raises InvalidGuest if the guest is not valid, or passes a limit of `compiler`.
    """
    started = time.perf_counter()
    try:
        compiled = _compile(engine, file.name, _binary(file, compiler), buffers, optimize)
    except GuestError as error:
        raise InvalidGuest(str(error)) from None
    except CompileError as error:
        raise InvalidGuest(f"{file.name} {error}") from None
    seconds = time.perf_counter() - started
    from_cache = engine.is_from_cache(compiled)
    done = "loaded from the cache" if from_cache else "compiled"
    logger.info("%s was %s: %d bytes in %.2f s", file.name, done, len(file.content), seconds)
    return Guest(file.name, compiled, seconds, from_cache, link, engine)


def _compile(
    engine: Engine, name: str, wasm: bytes, buffers: Collection[str], optimize: bool
) -> Component | CoreModule:
    if wasm[4:8] == _MODULE:
        return engine.compile_module(wasm, name, optimize=optimize)
    return engine.compile(wasm, name, buffers=buffers, optimize=optimize)


def _binary(file: GuestFile, compiler: ProcessCompiler | None) -> bytes:
    if file.content.startswith(_MAGIC):
        return file.content
    try:
        return bytes(wasmtime.wat2wasm(file.content)) if compiler is None else compiler.parse(file.content)
    except wasmtime.WasmtimeError as error:
        raise InvalidGuest(f"{file.name} is not valid WebAssembly text: {one_line(error)}") from None


def _path(source: str | os.PathLike[str]) -> Path:
    path = os.fspath(require_type("a guest", source, (str, os.PathLike), "the path of a file, or its bytes"))
    if "\0" in path:
        raise InvalidGuest(f"the guest {quote(path)} does not exist: no path contains a NUL character")
    return Path(path)


def _read(path: Path) -> tuple[str, bytes]:
    try:
        return path.name, path.read_bytes()
    except OSError as error:
        reason = why_unreadable(error, "the guest's file in it")
    raise InvalidGuest(f"the guest {path} {reason}")
