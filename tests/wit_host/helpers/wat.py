"""Guests in WAT for the tests of the boundary: commands that import one instance, `test:host/api`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

API = "test:host/api"


@dataclass(frozen=True)
class Import:
    """One imported function: its component type, and the core type that it is lowered to."""

    component: str
    core: str


TEMPLATE = """(component
  (import "{api}" (instance $api
    (export "thing" (type $thing (sub resource)))
    {types}
    {imports}
  ))
  (alias export $api "thing" (type $thing))
  (core module $memory
    (memory (export "memory") {pages})
    (global $next (mut i32) (i32.const 65536))
    (func (export "realloc") (param $old i32) (param $size i32) (param $align i32) (param $new i32) (result i32)
      (local $at i32)
      (local.set $at (i32.and (i32.add (global.get $next) (i32.const 15)) (i32.const -16)))
      (global.set $next (i32.add (local.get $at) (local.get $new)))
      (local.get $at)))
  (core instance $memory (instantiate $memory))
  {lowers}
  (core func $drop (canon resource.drop $thing))
  (core module $main
    (import "memory" "memory" (memory 1))
    (import "api" "drop" (func $drop (param i32)))
    {core_imports}
    {data}
    (func $check (param $a i32) (param $b i32)
      (if (i32.ne (local.get $a) (local.get $b)) (then (unreachable))))
    (func (export "run") (result i32) (local $a i32) (local $b i32) (local $i i32)
      {body}
      (i32.const 0)))
  (core instance $main (instantiate $main
    (with "memory" (instance $memory))
    (with "api" (instance (export "drop" (func $drop)) {core_exports}))))
  (func $run (result (result)) (canon lift (core func $main "run")))
  (instance $command (export "run" (func $run)))
  (export "wasi:cli/run@0.2.0" (instance $command))
)"""


def command(imports: Mapping[str, Import], body: str, data: str = "", types: str = "", pages: int = 200) -> str:
    """A command whose `run` is `body`, with locals `$a`, `$b` and `$i`, and each import as a function `$name`."""
    memory = '(memory (core memory $memory "memory")) (realloc (core func $memory "realloc"))'
    names = {name: f"${index}" for index, name in enumerate(imports)}
    return TEMPLATE.format(
        api=API,
        pages=pages,
        data=data,
        types=types,
        imports="\n".join(f'(export "{name}" (func {each.component}))' for name, each in imports.items()),
        lowers="\n".join(
            f'(alias export $api "{name}" (func $c{index}))'
            f"(core func {names[name]} (canon lower (func $c{index}) {memory}))"
            for index, name in enumerate(imports)
        ),
        core_imports="\n".join(
            f'(import "api" "{name}" (func {names[name]} {each.core}))' for name, each in imports.items()
        ),
        core_exports=" ".join(f'(export "{name}" (func {names[name]}))' for name in imports),
        body=_with_names(body, names),
    )


def _with_names(body: str, names: Mapping[str, str]) -> str:
    """`(call name …)` becomes a call of the import."""
    for name, core in names.items():
        body = body.replace(f"(call {name}", f"(call {core}")
    return body
