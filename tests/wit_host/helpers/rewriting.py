"""What the tests of rewritten components share: guests to rewrite, whole and damaged, and what `wasm-tools` says."""

from __future__ import annotations

import random
import re
from functools import cache

from tests.guests.forward import forwarding_guest
from tests.guests.tools import wasm_tools
from wit_host.rewrite.sections import sections

NAME = "a:b/api@0.1.0"


@cache
def parsed(wat: str) -> bytes:
    return wasm_tools("parse", "-", stdin=wat.encode())


def is_valid(wasm: bytes) -> bool:
    try:
        wasm_tools("validate", "--features", "all", "-", stdin=wasm)
    except RuntimeError:
        return False
    return True


def wit(wasm: bytes) -> str:
    """The interfaces of a component in one line."""
    return re.sub(r"\s+", " ", wasm_tools("component", "wit", stdin=wasm).decode())


def importing(*declarations: str, encoding: str = "utf8") -> bytes:
    """A guest that imports one interface, `a:b/api@0.1.0`."""
    interface = f"interface api {{ {' '.join(declarations)} }}"
    return forwarding_guest(f"package a:b@0.1.0; {interface} world w {{ import api; }}", encoding=encoding)


MEMORY = '(core module $memory (memory (export "m") 1)) (core instance (instantiate $memory))'

HANDWRITTEN = """(component $root
  (import "a:b/api" (instance $api
    {types}
    (export "f" (func (param "x" (list u8)) (result (list u8))))
    (export "g" (func {parameters} (result (list u8))))))
  {before}
  (alias export $api "f" (func $f))
  (alias export $api "g" (func $g))
  (core module $libc (memory (export "m") {memory})
    (func (export "r") (param i32 i32 i32 i32) (result i32) i32.const 1024))
  (core instance $libc (instantiate $libc))
  (alias core export $libc "m" (core memory $m))
  (alias core export $libc "r" (core func $r))
  (core func $lower (canon lower (func $f) (memory $m) (realloc $r) {options}))
  (core module $main (import "" "f" (func (param i32 i32 i32))))
  {between}
  (core instance (instantiate $main (with "" (instance (export "f" (func $lower))))))
  {after}
)"""


def handwritten(**places: str) -> bytes:
    """A component that imports `a:b/api`, with more in some places."""
    defaults = dict.fromkeys(("types", "parameters", "before", "between", "after", "options"), "")
    return parsed(HANDWRITTEN.format(**(defaults | {"memory": "1"} | places)))


def damaged(wasm: bytes, chance: random.Random) -> bytes:
    """A component with a few other bytes outside of its core modules."""
    places = [at for each in sections(wasm) if each.id != 1 for at in range(each.start, each.end)]
    result = bytearray(wasm)
    for _ in range(chance.randint(1, 2)):
        at = min(chance.choice(places), len(result) - 1)
        match chance.randrange(4):
            case 0:
                result[at] = chance.randrange(256)
            case 1:
                result[at] = max(0, min(255, result[at] + chance.choice((-2, -1, 1, 2))))
            case 2:
                del result[at : at + chance.randint(1, 4)]
            case _:
                result[at:at] = chance.randbytes(chance.randint(1, 2))
    return bytes(result)
