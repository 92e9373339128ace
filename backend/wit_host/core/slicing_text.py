"""Modules through which a core module waits in slices, in the text format.

After each slice WebAssembly code runs, where the engine checks whether the guest may continue. The functions of WASI
preview 1 use the memory that their caller exports, so there are three modules:

- `FRONT` starts before the guest, which imports its functions. They call those in its table; the first call has the
  host start the other modules, which put their functions into the table.
- `POLLING` polls with a memory of its own, because there is one subscription more.
- `READING` has the memory of the guest.
"""

from __future__ import annotations

#: The module that `FRONT` imports, and the table that it exports: no guest may import these.
PRIVATE = "wit-host:slicing"
#: Nanoseconds of a slice.
SLICE = 20_000_000
#: The most subscriptions of one call, and the error for more of them, and for none.
_MOST, _INVALID = 1 << 16, 28

#: The type of each function that waits.
_TYPE = "(param i32 i32 i32 i32) (result i32)"
_ALL = " ".join(f"(local.get {number})" for number in range(4))

#: The fields of the modules for memories of each kind: its type, and what is around an address that WASI passes.
MEMORIES = {
    "usual": {"memory": "0", "at": "", "end": ""},
    "shared": {"memory": "0 65536 shared", "at": "", "end": ""},
    "of 64 bits": {"memory": "i64 0", "at": "(i64.extend_i32_u ", "end": ")"},
}
#: The functions that wait, in the order of the table.
FUNCTIONS = ("poll_oneoff", "fd_read")

FRONT = f"""(module
  (import "{PRIVATE}" "begin" (func $begin (result i32)))
  (type $function (func {_TYPE}))
  (table (export "{PRIVATE}") 2 2 funcref)
  (elem (i32.const 0) func $first_poll $first_read)
  (func $first_poll (type $function) (drop (call $begin)) (call_indirect (type $function) {_ALL} (i32.const 0)))
  (func $first_read (type $function) (drop (call $begin)) (call_indirect (type $function) {_ALL} (i32.const 1)))
  (func (export "poll_oneoff") (type $function) (call_indirect (type $function) {_ALL} (i32.const 0)))
  (func (export "fd_read") (type $function) (call_indirect (type $function) {_ALL} (i32.const 1))))"""

# Addresses in `$own`: 0 the time, 8 the number of events, 16 the subscriptions of the guest, then those of one slice,
# then its events. A subscription has 48 bytes: 0 what identifies it, 8 its kind, 16 a file or clock, 24 the duration or
# time, 40 flags. An event has 32 bytes, of which the first 8 identify the subscription.
POLLING = f"""(module
  (import "guest" "memory" (memory $guest {{memory}}))
  (import "front" "{PRIVATE}" (table 2 2 funcref))
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll {_TYPE}))
  (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
  (memory $own (export "memory") 1)
  (elem (i32.const 0) func $poll_oneoff)
  (func $now (result i64)
    (drop (call $clock (i32.const 1) (i64.const 1) (i32.const 0)))
    (i64.load $own (i32.const 0)))
  (func $slice (param $at i32) (param $number i64)
    (memory.fill $own (local.get $at) (i32.const 0) (i32.const 48))
    (i64.store $own (local.get $at) (local.get $number))
    (i32.store $own offset=16 (local.get $at) (i32.const 1))
    (i64.store $own offset=24 (local.get $at) (i64.const {SLICE})))
  (func $shorten (param $at i32) (param $elapsed i64) (local $rest i64)
    (if (i32.eqz (i32.or (i32.load8_u $own offset=8 (local.get $at))
                         (i32.and (i32.load16_u $own offset=40 (local.get $at)) (i32.const 1)))) (then
      (local.set $rest (i64.load $own offset=24 (local.get $at)))
      (i64.store $own offset=24 (local.get $at) (select
        (i64.sub (local.get $rest) (local.get $elapsed)) (i64.const 0)
        (i64.gt_u (local.get $rest) (local.get $elapsed)))))))
  (func $prepare (param $at i32) (param $count i32) (param $elapsed i64) (local $i i32)
    (memory.copy $own $own (local.get $at) (i32.const 16) (i32.mul (local.get $count) (i32.const 48)))
    (loop $next
      (i64.store $own (local.get $at) (i64.extend_i32_u (local.get $i)))
      (call $shorten (local.get $at) (local.get $elapsed))
      (local.set $at (i32.add (local.get $at) (i32.const 48)))
      (br_if $next (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (local.get $count))))
    (call $slice (local.get $at) (i64.extend_i32_u (local.get $count))))
  (func $pass_on (param $events i32) (param $count i32) (param $to i32) (result i32)
    (local $number i32) (local $end i32) (local $passed i32)
    (local.set $end (i32.add (local.get $events) (i32.shl (i32.load $own (i32.const 8)) (i32.const 5))))
    (block $done (loop $next
      (br_if $done (i32.eq (local.get $events) (local.get $end)))
      (local.set $number (i32.wrap_i64 (i64.load $own (local.get $events))))
      (if (i32.ne (local.get $number) (local.get $count)) (then
        (memory.copy $guest $own {{at}}(local.get $to){{end}} (local.get $events) (i32.const 32))
        (i64.store $guest {{at}}(local.get $to){{end}}
          (i64.load $own offset=16 (i32.mul (local.get $number) (i32.const 48))))
        (local.set $to (i32.add (local.get $to) (i32.const 32)))
        (local.set $passed (i32.add (local.get $passed) (i32.const 1)))))
      (local.set $events (i32.add (local.get $events) (i32.const 32)))
      (br $next)))
    (local.get $passed))
  (func $make_room (param $size i32) (local $pages i32)
    (local.set $pages (i32.shr_u (i32.add (local.get $size) (i32.const 65535)) (i32.const 16)))
    (if (i32.gt_u (local.get $pages) (memory.size $own)) (then
      (if (i32.lt_s (memory.grow $own (i32.sub (local.get $pages) (memory.size $own))) (i32.const 0))
        (then (unreachable))))))
  (func $poll_oneoff (param $in i32) (param $out i32) (param $count i32) (param $passed i32) (result i32)
    (local $at i32) (local $events i32) (local $begin i64) (local $error i32)
    (if (i32.gt_u (i32.sub (local.get $count) (i32.const 1)) (i32.const {_MOST - 1})) (then
      (return (i32.const {_INVALID}))))
    (local.set $at (i32.add (i32.const 16) (i32.mul (local.get $count) (i32.const 48))))
    (local.set $events (i32.add (local.get $at) (i32.mul (i32.add (local.get $count) (i32.const 1)) (i32.const 48))))
    (call $make_room (i32.add (local.get $events) (i32.shl (i32.add (local.get $count) (i32.const 1)) (i32.const 5))))
    (memory.copy $own $guest (i32.const 16) {{at}}(local.get $in){{end}} (i32.mul (local.get $count) (i32.const 48)))
    (local.set $begin (call $now))
    (loop $again
      (call $prepare (local.get $at) (local.get $count) (i64.sub (call $now) (local.get $begin)))
      (local.set $error (call $poll
        (local.get $at) (local.get $events) (i32.add (local.get $count) (i32.const 1)) (i32.const 8)))
      (if (local.get $error) (then (return (local.get $error))))
      (i32.store $guest {{at}}(local.get $passed){{end}}
        (local.tee $error (call $pass_on (local.get $events) (local.get $count) (local.get $out))))
      (br_if $again (i32.eqz (local.get $error))))
    (i32.const 0))
  (func (export "wait_for") (param $file i32)
    (loop $again
      (memory.fill $own (i32.const 16) (i32.const 0) (i32.const 48))
      (i32.store8 $own (i32.const 24) (i32.const 1))
      (i32.store $own (i32.const 32) (local.get $file))
      (call $slice (i32.const 64) (i64.const 1))
      (if (call $poll (i32.const 16) (i32.const 112) (i32.const 2) (i32.const 8)) (then (return)))
      (br_if $again (i32.and
        (i32.eq (i32.load $own (i32.const 8)) (i32.const 1))
        (i64.eq (i64.load $own (i32.const 112)) (i64.const 1)))))))"""

READING = f"""(module
  (import "guest" "memory" (memory {{memory}}))
  (import "front" "{PRIVATE}" (table 2 2 funcref))
  (import "wasi_snapshot_preview1" "fd_read" (func $read {_TYPE}))
  (import "polling" "wait_for" (func $wait_for (param i32)))
  (export "memory" (memory 0))
  (elem (i32.const 1) func $fd_read)
  (func $fd_read {_TYPE} (call $wait_for (local.get 0)) (call $read {_ALL})))"""
