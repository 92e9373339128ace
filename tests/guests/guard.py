"""A guest that computes on tensors of wasi-nn, for the world of tests/golden/bindings/guards.

`check` makes a tensor of the bytes of a text, and allows texts of less than eight bytes. It fails with the error that
`load-by-name` answers for the graph "nothing" if the text is empty. `scale` makes a tensor of twice the 32-bit floats
of another one, which it drops. `weigh` counts the bytes of tensors that it borrows. `classify` fails with `not-found`
for FP16 and returns every other type.
"""

from __future__ import annotations

from pathlib import Path

from tests.guests.components import component
from witgen.model import Resolved, World

_VERSION = "0.2.0-rc-2024-10-28"
_U8, _NOT_FOUND = 4, 6
_GUARD = "golden:guards/guard@1.0.0"

_CORE = f"""(module
  (import "wasi:nn/tensor@{_VERSION}" "[constructor]tensor"
    (func $new (param $dimensions i32) (param $count i32) (param $ty i32) (param $data i32) (param $size i32)
      (result i32)))
  (import "wasi:nn/tensor@{_VERSION}" "[method]tensor.dimensions" (func $dimensions (param i32 i32)))
  (import "wasi:nn/tensor@{_VERSION}" "[method]tensor.ty" (func $ty (param i32) (result i32)))
  (import "wasi:nn/tensor@{_VERSION}" "[method]tensor.data" (func $data (param i32 i32)))
  (import "wasi:nn/tensor@{_VERSION}" "[resource-drop]tensor" (func $drop (param i32)))
  (import "wasi:nn/graph@{_VERSION}" "load-by-name" (func $load (param i32 i32 i32)))
  (memory (export "memory") 2)
  (data (i32.const 64) "nothing")
  (global $next (mut i32) (i32.const 1024))
  (func $realloc (export "cabi_realloc") (param i32 i32 i32) (param $size i32) (result i32) (local $at i32)
    (local.set $at (i32.and (i32.add (global.get $next) (i32.const 15)) (i32.const -16)))
    (global.set $next (i32.add (local.get $at) (local.get $size)))
    (local.get $at))
  (func $forget (global.set $next (i32.const 1024)))

  (func (export "{_GUARD}#check") (param $text i32) (param $size i32) (result i32)
    (if (i32.eqz (local.get $size))
      (then
        (call $load (i32.const 64) (i32.const 7) (i32.const 16))
        (if (i32.eqz (i32.load8_u (i32.const 16))) (then (unreachable)))
        (return (i32.const 16))))  ;; a result with the error has its parts at the same places
    (i32.store (i32.const 32) (local.get $size))
    (i32.store8 (i32.const 16) (i32.const 0))
    (i32.store8 (i32.const 20) (i32.lt_u (local.get $size) (i32.const 8)))
    (i32.store (i32.const 24)
      (call $new (i32.const 32) (i32.const 1) (i32.const {_U8}) (local.get $text) (local.get $size)))
    (i32.const 16))
  (func (export "cabi_post_{_GUARD}#check") (param i32) (call $forget))

  (func (export "{_GUARD}#classify") (param $ty i32) (result i32)
    (i32.store8 (i32.const 16) (i32.eqz (local.get $ty)))
    (i32.store8 (i32.const 17) (select (local.get $ty) (i32.const {_NOT_FOUND}) (local.get $ty)))
    (i32.const 16))

  (func (export "{_GUARD}#scale") (param $t i32) (result i32) (local $at i32) (local $end i32) (local $scaled i32)
    (call $dimensions (local.get $t) (i32.const 16))
    (call $data (local.get $t) (i32.const 24))
    (local.set $at (i32.load (i32.const 24)))
    (local.set $end (i32.add (local.get $at) (i32.load (i32.const 28))))
    (block $done (loop $more
      (br_if $done (i32.ge_u (local.get $at) (local.get $end)))
      (f32.store (local.get $at) (f32.mul (f32.const 2) (f32.load (local.get $at))))
      (local.set $at (i32.add (local.get $at) (i32.const 4)))
      (br $more)))
    (local.set $scaled (call $new
      (i32.load (i32.const 16)) (i32.load (i32.const 20))
      (call $ty (local.get $t))
      (i32.load (i32.const 24)) (i32.load (i32.const 28))))
    (call $drop (local.get $t))
    (call $forget)
    (local.get $scaled))

  (func (export "{_GUARD}#weigh") (param $at i32) (param $count i32) (result i64) (local $sum i64)
    (block $done (loop $more
      (br_if $done (i32.eqz (local.get $count)))
      (call $data (i32.load (local.get $at)) (i32.const 24))
      (call $drop (i32.load (local.get $at)))
      (local.set $sum (i64.add (local.get $sum) (i64.extend_i32_u (i32.load (i32.const 28)))))
      (local.set $at (i32.add (local.get $at) (i32.const 4)))
      (local.set $count (i32.sub (local.get $count) (i32.const 1)))
      (br $more)))
    (call $forget)
    (local.get $sum)))"""


def guard_guest(wit: Path, wasi_nn: Path) -> bytes:
    """The component; `wit` has the world, `wasi_nn` the declarations of wasi-nn."""
    return component(_core, wit, deps=[wasi_nn])


def _core(resolved: Resolved, world: World) -> str:
    return _CORE
