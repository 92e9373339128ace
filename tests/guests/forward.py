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

from collections.abc import Sequence
from pathlib import Path

from tests.guests.components import component
from tests.guests.core import core_module


def forwarding_guest(
    wit: str | Path, world: str | None = None, *, deps: Sequence[Path] = (), encoding: str = "utf8"
) -> bytes:
    """A component for a world of `wit`, which is text, or the path of a file or directory.

    `deps` are directories of packages that it uses. `encoding` is that of its strings: `utf8`, `utf16` or
    `compact-utf16`. Guests are cached by the content of the WIT. Raises `WitError` for invalid WIT, `Unsupported` for
    async functions, streams and futures, and `ValueError` if an export and its import differ in core values.
    """
    return component(core_module, wit, world, deps=deps, encoding=encoding)
