"""A guest whose exports call the methods of WASI's `descriptor`, with numbers in place of descriptors.

So a host sees what guests see, whichever WASI it links. The first argument of each function but `get-directories`,
which returns the descriptors that the guest begins with, is the number of a descriptor.
"""

from __future__ import annotations

from typing import Any

from tests.conftest import ROOT
from tests.guests.components import component
from tests.guests.flat import Shapes
from tests.guests.pairs import scopes
from wasi_bindings.types import ErrorCode
from wit_host import GuestFunction, GuestInterface, ResultError
from wit_host.values import STRING, U8, U32, U64, Codec, List, Option, Result, Tuple
from witgen.model import Resolved, World

_TIME = Option(Tuple(U64, U32))
_FILE, _PREOPENS = "wasi:filesystem/types@0.2.0", "wasi:filesystem/preopens@0.2.0"
#: The arguments after the descriptor, and the result; an error is the number of its code.
_METHODS: dict[str, tuple[dict[str, Codec], Codec | None]] = {
    "open-at": ({"follow": U8, "path": STRING, "how": U8, "may": U8}, U32),
    "stat-at": ({"follow": U8, "path": STRING}, Tuple(U8, U64, U64, _TIME, _TIME, _TIME)),
    "metadata-hash-at": ({"follow": U8, "path": STRING}, Tuple(U64, U64)),
    "readlink-at": ({"path": STRING}, STRING),
    "create-directory-at": ({"path": STRING}, None),
    "remove-directory-at": ({"path": STRING}, None),
    "unlink-file-at": ({"path": STRING}, None),
    "symlink-at": ({"target": STRING, "path": STRING}, None),
    "link-at": ({"follow": U8, "path": STRING, "other": U32, "new": STRING}, None),
    "rename-at": ({"path": STRING, "other": U32, "new": STRING}, None),
    "get-type": ({}, U8),
    "get-flags": ({}, U8),
    "read-via-stream": ({"offset": U64}, U32),
}
_DEPS = ROOT / "wit/wasi/deps"
_CODES = list(ErrorCode)
_SPELLED: dict[Codec, str] = {U8: "u8", U32: "u32", U64: "u64", STRING: "string"}


class Refusal(ResultError[int]):
    """The number of an error code, from a guest."""


def paths_guest() -> bytes:
    """The component."""
    functions = "".join(
        f"export {name}: func({_spelled_all({'this': U32, **given})}) -> result<{_spelled(result)}, u8>; "
        for name, (given, result) in _METHODS.items()
    )
    world = (
        f"package test:paths; world paths {{ import {_FILE}; import {_PREOPENS}; {functions}"
        "export drop: func(this: u32); export get-directories: func() -> list<tuple<u32, string>>; }"
    )
    return component(_core, world, deps=[_DEPS / f"{each}.wit" for each in ("io", "clocks", "filesystem")])


def _spelled_all(given: dict[str, Codec]) -> str:
    return ", ".join(f"{name}: {_spelled(codec)}" for name, codec in given.items())


def _spelled(codec: Codec | None) -> str:
    match codec:
        case None:
            return "_"
        case Tuple(elements=elements):
            return f"tuple<{', '.join(map(_spelled, elements))}>"
        case Option(some=some):
            return f"option<{_spelled(some)}>"
    return _SPELLED[codec]


def _core(resolved: Resolved, world: World) -> str:
    """Each export calls an import with its own arguments, after a place for the result if that is in memory."""
    shapes = Shapes(resolved)
    imports, functions = list[str](), list[str]()
    *_, root = scopes(resolved, world)[1]
    for name, function in root.functions.items():
        signature = shapes.signature(function)
        (params, results), (_, returned) = signature.lowered, signature.lifted
        module, imported = _imported(name)
        types = f"(param {' '.join(params)}) (result {' '.join(results)})"
        imports.append(f'(import "{module}" "{imported}" (func ${name} {types}))')
        places = " ".join(f"(local.get {number})" for number in range(len(params) - signature.returned))
        own = f"(param {' '.join(signature.params)}) (result {' '.join(returned)})"
        at = "(i32.const 1024)" if signature.returned else ""
        functions.append(f'(func (export "{name}") {own} (call ${name} {places} {at}) {at})')
    return f"""(module {" ".join(imports)}
      (memory (export "memory") 4)
      (global $next (mut i32) (i32.const 4096))
      (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (local $at i32)
        (if (i32.gt_u (global.get $next) (i32.const 200000)) (then (global.set $next (i32.const 4096))))
        (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
        (global.set $next (i32.add (local.get $at) (local.get 3)))
        (local.get $at))
      {" ".join(functions)})"""


def _imported(name: str) -> tuple[str, str]:
    match name:
        case "drop":
            return _FILE, "[resource-drop]descriptor"
        case "get-directories":
            return _PREOPENS, name
    return _FILE, f"[method]descriptor.{name}"


class Paths:
    """The exports of an instance; `roots` are the numbers of the directories that it begins with, by their paths."""

    def __init__(self, instance: Any) -> None:
        self._functions = {
            name: GuestFunction(name, {"this": U32, **given}, Result(result, U8, Refusal))
            for name, (given, result) in _METHODS.items()
        }
        self._functions["drop"] = GuestFunction("drop", {"this": U32}, None)
        self._functions["get-directories"] = GuestFunction("get-directories", {}, List(Tuple(U32, STRING)))
        self._interface = GuestInterface(instance, None, list(self._functions.values()))
        self.roots = {path: number for number, path in self("get-directories")}

    def __call__(self, name: str, *arguments: object) -> Any:
        """Call a function; raises Refusal."""
        return self._functions[name](self._interface, *arguments)

    def outcome(self, name: str, *arguments: object) -> Any:
        """What a function returns, or the name of its error code."""
        try:
            return self(name, *arguments)
        except Refusal as refusal:
            return f"error: {_CODES[refusal.value].value}"
