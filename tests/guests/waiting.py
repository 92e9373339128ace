"""A guest of `golden:waiting`.

Its exported functions are `async` in all three ways: with a callback, on a stack of their own, or lifted as plain ones.
"""

from __future__ import annotations

from functools import cache

from tests.conftest import ROOT
from tests.guests.tools import wasm_tools

WIT = ROOT / "tests" / "golden" / "bindings" / "waiting" / "wit"
JOBS = "golden:waiting/jobs@1.0.0"

#: `twice` gives way five times; `job.wait` fails if the name of the job is shorter than 4 bytes. A job is represented
#: by the length of its name. A callback returns 0 at the end, 1 to give way, 2 with a set shifted by 4 bits to wait.
CORE = f"""(module
  (import "golden:waiting/log@1.0.0" "write" (func $write (param i32 i32) (result i32)))
  (import "$root" "[waitable-set-new]" (func $set (result i32)))
  (import "$root" "[thread-yield]" (func $yield (result i32)))
  (import "[export]$root" "[task-return]twice" (func $twice (param i32)))
  (import "[export]$root" "[task-return]stuck" (func $stuck))
  (import "[export]$root" "[task-return]spin" (func $spin))
  (import "[export]{JOBS}" "[task-return]run" (func $run (param i32 i32 i32)))
  (import "[export]{JOBS}" "[task-return]finish" (func $finish))
  (import "[export]{JOBS}" "[task-return][method]job.wait" (func $wait (param i32 i32)))
  (import "[export]{JOBS}" "[task-return][static]job.open" (func $open (param i32)))
  (import "[export]{JOBS}" "[resource-new]job" (func $new (param i32) (result i32)))
  (import "[export]{JOBS}" "[resource-rep]job" (func $rep (param i32) (result i32)))
  (import "[export]{JOBS}" "[resource-drop]job" (func $drop (param i32)))
  (memory (export "memory") 1)
  (global $next (mut i32) (i32.const 1024))
  (global $left (mut i32) (i32.const 0))
  (global $number (mut i32) (i32.const 0))
  (data (i32.const 16) "finished")
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (local $at i32)
    (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
    (global.set $next (i32.add (local.get $at) (local.get 3)))
    (local.get $at))

  (func (export "[async-lift]twice") (param i32) (result i32)
    (global.set $number (local.get 0))
    (global.set $left (i32.const 5))
    (i32.const 1))
  (func (export "[callback][async-lift]twice") (param i32 i32 i32) (result i32)
    (global.set $left (i32.sub (global.get $left) (i32.const 1)))
    (if (global.get $left) (then (return (i32.const 1))))
    (call $twice (i32.mul (global.get $number) (i32.const 2)))
    (i32.const 0))
  (func (export "[async-lift]stuck") (result i32) (i32.or (i32.shl (call $set) (i32.const 4)) (i32.const 2)))
  (func (export "[callback][async-lift]stuck") (param i32 i32 i32) (result i32) unreachable)
  (func (export "[async-lift]spin") (result i32) (i32.const 1))
  (func (export "[callback][async-lift]spin") (param i32 i32 i32) (result i32) (i32.const 1))
  (func (export "compute") (loop (br 0)))
  (func (export "fail") unreachable)
  (func (export "plain") (param i32) (result i32) (i32.add (local.get 0) (i32.const 1)))

  (func (export "[async-lift-stackful]{JOBS}#run") (param $name i32) (param $length i32) (param i32) (param $count i32)
    (drop (call $yield))
    (drop (call $write (local.get $name) (local.get $length)))
    (drop (call $yield))
    (if (i32.eqz (local.get $count))
      (then (call $run (i32.const 1) (i32.const 1) (i32.const 0)))
      (else (call $run (i32.const 0) (local.get $name) (local.get $length)))))
  (func (export "{JOBS}#[constructor]job") (param i32 i32) (result i32) (call $new (local.get 1)))
  (func (export "[async-lift-stackful]{JOBS}#[static]job.open") (param i32 i32)
    (drop (call $yield))
    (call $open (call $new (local.get 1))))
  (func (export "[async-lift-stackful]{JOBS}#[method]job.wait") (param i32)
    (drop (call $yield))
    (call $wait (i32.lt_u (local.get 0) (i32.const 4)) (select (i32.const 0) (local.get 0)
      (i32.lt_u (local.get 0) (i32.const 4)))))
  (func (export "{JOBS}#[method]job.wait-async") (param i32) (result i32) (local.get 0))
  (func (export "[async-lift-stackful]{JOBS}#finish") (param i32)
    (drop (call $yield))
    (call $drop (local.get 0))
    (call $finish))
  (func (export "{JOBS}#[dtor]job") (param i32) (drop (call $write (i32.const 16) (i32.const 8)))))"""


@cache
def waiting_guest() -> bytes:
    """The component."""
    core = wasm_tools("parse", "-", stdin=CORE.encode())
    embedded = wasm_tools("component", "embed", WIT, "-", stdin=core)
    return wasm_tools("component", "new", "-", stdin=embedded)
