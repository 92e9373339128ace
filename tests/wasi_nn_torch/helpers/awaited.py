"""Guests for tests of asyncio: they end at once, loop, wait, or compute a slow model."""

from __future__ import annotations

from tests.guests import witx

MEMORY = '(memory (export "memory") 2)'
#: Ends at once.
QUICK = f'(module {MEMORY} (func (export "_start")))'.encode()
#: Loops for ever.
LOOP = f'(module {MEMORY} (func (export "_start") (loop $again (br $again))))'.encode()
#: Waits in WASI for a very long time.
SLEEP = rb"""(module
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "\01\00\00\00\00\00\00\00\00\00\00\00\00\00\00\40")
  (func (export "_start") (drop (call $poll (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128)))))"""
#: Writes one byte to its standard output.
SAY = rb"""(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\20\00\00\00\01\00\00\00")
  (data (i32.const 32) "x")
  (func (export "_start") (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))"""
#: Computes the graph `slow` on four floats, for ever.
COMPUTE = witx.command(
    f"""
    (drop (call $load_by_name (i32.const {witx.NAME}) (i32.const 4) (i32.const 0)))
    (drop (call $init_execution_context (i32.load (i32.const 0)) (i32.const 4)))
    (loop $again
      (drop (call $set_input (i32.load (i32.const 4)) (i32.const 0) (i32.const {witx.RECORD})))
      (if (call $compute (i32.load (i32.const 4))) (then unreachable))
      (br $again))""",
    f'(data (i32.const {witx.NAME}) "slow")',
    # The record of a tensor: the address and number of dimensions, the type, the address and size of the data.
    f'(data (i32.const {witx.RECORD}) "\\00\\04\\00\\00\\01\\00\\00\\00\\01\\00\\00\\00")',
    f'(data (i32.const {witx.RECORD + 12}) "\\00\\10\\00\\00\\10\\00\\00\\00")',
    f'(data (i32.const {witx.DIMENSIONS}) "\\04\\00\\00\\00")',
)
