"""Guests that forward: real components for any world, in which each export calls an import and returns its result.

A host that calls such an export with a value gets the value in its own import, and the result of the import goes back
to the caller: each type crosses the boundary four times. No toolchain is needed: the core module is text, and
`wasm-tools` makes it a component.

**Corresponding imports.** An exported interface corresponds to the imported one with the same full name, or else to one
with the same plain name; bare functions of the world correspond to each other. Within interfaces, a function
corresponds to the one with the same name, or else to the only import anywhere with that name and the same core values.
An import may also be called `host-x` for an export `x`, and `x` or `host-x` for an export `call-x` or `guest-x`; this
applies to interfaces and functions. A function of a resource may correspond to a plain one: `new-r` for a constructor,
`r-m` for a method or static function. An export without an import traps.

**Imported resources** are forwarded as handles. Handles that an export borrows are dropped before it returns.

**Exported resources** of an interface whose import has a resource of that name are *proxies*: the representation is a
handle of the import's resource, so the host sees the constructor's arguments, each method, each handle in any position
as its own object, and the drop of the guest's resource as the drop of its own.

**Exported resources without one** are *numbers*. A corresponding import that has `u32` in place of a handle gets the
number; an `own` that is passed to the guest is dropped, and a number that is returned in place of `own` makes a new
one. Without a corresponding import, functions that name such a resource behave as follows: the result is the first
parameter, if both are an `i32` or such a handle, so a constructor keeps its first parameter and a method returns it; a
function without a result does nothing. The destructor calls `dropped: func(number: u32)`, if the corresponding
interface or the world imports that.
"""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

from tests.guests.core import core_module
from tests.guests.tools import wasm_tools
from witgen.model import Resolved
from witgen.resolver import choose_world, resolve, resolve_texts


def forwarding_guest(wit: str | Path, world: str | None = None, *, encoding: str = "utf8") -> bytes:
    """A component for a world of `wit`, which is text, or the path of a file or directory.

    `encoding` is that of its strings: `utf8`, `utf16` or `compact-utf16`. Guests are cached by the content of `wit`.
    Raises `WitError` for invalid WIT, `Unsupported` for async functions, streams and futures, and `ValueError` if an
    export and its import differ in core values.
    """
    return _built(_texts(wit), world, encoding)


_Texts = tuple[tuple[str, str], ...]


def _texts(wit: str | Path) -> _Texts:
    if isinstance(wit, str):
        return (("guest.wit", wit),)
    if wit.is_file():
        return ((wit.name, wit.read_text()),)
    return tuple((str(each.relative_to(wit)), each.read_text()) for each in sorted(wit.rglob("*.wit")))


@cache
def _built(texts: _Texts, world: str | None, encoding: str) -> bytes:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        wit = directory / "wit"
        for file, text in texts:
            (wit / file).parent.mkdir(parents=True, exist_ok=True)
            (wit / file).write_text(text)
        resolved = resolve(wit) if len(texts) > 1 else resolve_texts(dict(texts))
        (directory / "core.wat").write_text(core_module(resolved, resolved.worlds[choose_world(resolved, world)]))
        options = ("--world", _world_name(resolved, world), "--encoding", encoding)
        wasm_tools("component", "embed", wit, *options, directory / "core.wat", "-o", directory / "core.wasm")
        wasm_tools("component", "new", directory / "core.wasm", "-o", directory / "guest.wasm")
        return (directory / "guest.wasm").read_bytes()


def _world_name(resolved: Resolved, name: str | None) -> str:
    world = resolved.worlds[choose_world(resolved, name)]
    return resolved.packages[world.package].name.of(world.name)
