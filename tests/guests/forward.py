"""Guests that forward: real components for any world, each export of which calls an import and hands back its result.

A host that calls such an export with a value finds the value in its own import, and what that returns comes back to the
caller: each type crosses the boundary four ways. Built without a toolchain: the core module is text, and `wasm-tools`
makes the component of it.

**Which import.** An exported interface corresponds to the imported one with the same full name, else to one with the
same plain name; bare functions of the world correspond to each other. Inside, a function corresponds to the one with
the same name; where none has it, to the only import anywhere with that name and the same core values. An import may
also be called `host-x` for an export `x`, and `x` or `host-x` for an export `call-x` or `guest-x`; this goes for
interfaces and functions. A function of a resource may correspond to a plain one: `new-r` for a constructor, `r-m` for a
method or static function. An export without an import traps.

**Imported resources** are forwarded as the handles they are. What an export borrows is dropped before it returns.

**Exported resources** of an interface whose import has a resource of that name are *proxies*: the representation is a
handle of the import's resource, so the host sees the constructor's arguments, each method, each handle in whatever
position as its own object, and the drop of the guest's resource as the drop of its own.

**Exported resources without one** are *numbers*. Where a corresponding import has `u32` in the place of a handle it
sees the number; an `own` that the guest is passed is dropped, and a number that is returned in the place of `own` makes
a new one. Without a corresponding import, functions that name such a resource do this: the result is the first
parameter, if both are an `i32` or such a handle, so a constructor keeps its first parameter and a method returns it; a
function without result does nothing. The destructor calls `dropped: func(number: u32)`, if the corresponding interface
or the world imports that.
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
    """A component for a world of `wit`: text, or the path of a file or directory. The module states what it does.

    `encoding` is that of its strings: `utf8`, `utf16` or `compact-utf16`. Guests are kept, by the content of `wit`.
    Raises `WitError` for wrong WIT, `Unsupported` for async functions, streams and futures, and `ValueError` where an
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
        folder = Path(name)
        wit = folder / "wit"
        for file, text in texts:
            (wit / file).parent.mkdir(parents=True, exist_ok=True)
            (wit / file).write_text(text)
        resolved = resolve(wit) if len(texts) > 1 else resolve_texts(dict(texts))
        (folder / "core.wat").write_text(core_module(resolved, resolved.worlds[choose_world(resolved, world)]))
        options = ("--world", _world_name(resolved, world), "--encoding", encoding)
        wasm_tools("component", "embed", wit, *options, folder / "core.wat", "-o", folder / "core.wasm")
        wasm_tools("component", "new", folder / "core.wasm", "-o", folder / "guest.wasm")
        return (folder / "guest.wasm").read_bytes()


def _world_name(resolved: Resolved, name: str | None) -> str:
    world = resolved.worlds[choose_world(resolved, name)]
    return resolved.packages[world.package].name.of(world.name)
