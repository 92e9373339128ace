"""The part of the component of `slicing_code` that does not depend on the guest, in the text format.

Addresses in its memory: 0 a list of two pollables, 8 the result of `poll`, 16 the results of streams, from 1024 on what
`realloc` grants for a call.
"""

from __future__ import annotations

#: Nanoseconds of a slice.
SLICE = 20_000_000
#: The most pages of the memory.
_PAGES = 1024

#: The options of lifted and lowered functions.
OPTIONS = '(memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))'

_ALLOCATING = f"""
    (memory (export "memory") 1 {_PAGES})
    (global $top (export "top") (mut i32) (i32.const 1024))
    (func (export "realloc") (param i32 i32 i32) (param $size i32) (result i32) (local $at i32) (local $pages i32)
      (if (i32.gt_u (local.get $size) (i32.const {_PAGES << 16})) (then (unreachable)))
      (local.set $at (i32.and (i32.add (global.get $top) (i32.const 7)) (i32.const -8)))
      (global.set $top (i32.add (local.get $at) (local.get $size)))
      (local.set $pages (i32.shr_u (i32.add (global.get $top) (i32.const 65535)) (i32.const 16)))
      (if (i32.gt_u (local.get $pages) (memory.size)) (then
        (if (i32.lt_s (memory.grow (i32.sub (local.get $pages) (memory.size))) (i32.const 0)) (then (unreachable)))))
      (local.get $at))"""

_WAITING = f"""
    (func (export "reset") (param i32) (global.set $top (i32.const 1024)))
    (func $poll-a-slice (param $list i32) (param $length i32) (local $slice i32)
      (local.set $slice (call $after (i64.const {SLICE})))
      (i32.store (i32.add (local.get $list) (i32.shl (local.get $length) (i32.const 2))) (local.get $slice))
      (call $poll (local.get $list) (i32.add (local.get $length) (i32.const 1)) (i32.const 8))
      (call $drop (local.get $slice)))
    (func $ready-without (param $slice i32) (result i32) (local $from i32) (local $to i32) (local $end i32)
      (local.set $to (local.tee $from (i32.load (i32.const 8))))
      (local.set $end (i32.add (local.get $from) (i32.shl (i32.load (i32.const 12)) (i32.const 2))))
      (block $done (loop $next
        (br_if $done (i32.eq (local.get $from) (local.get $end)))
        (if (i32.ne (i32.load (local.get $from)) (local.get $slice)) (then
          (i32.store (local.get $to) (i32.load (local.get $from)))
          (local.set $to (i32.add (local.get $to) (i32.const 4)))))
        (local.set $from (i32.add (local.get $from) (i32.const 4)))
        (br $next)))
      (i32.store (i32.const 12) (i32.shr_u (i32.sub (local.get $to) (i32.load (i32.const 8))) (i32.const 2)))
      (i32.load (i32.const 12)))
    (func $wait (param $list i32) (param $length i32) (local $top i32)
      (local.set $top (global.get $top))
      (loop $again
        (global.set $top (local.get $top))
        (call $poll-a-slice (local.get $list) (local.get $length))
        (br_if $again (i32.eqz (call $ready-without (local.get $length))))))
    (func $wait-and-drop (param $pollable i32) (local $top i32)
      (local.set $top (global.get $top))
      (i32.store (i32.const 0) (local.get $pollable))
      (call $wait (i32.const 0) (i32.const 1))
      (global.set $top (local.get $top))
      (call $drop (local.get $pollable)))
    (func (export "block") (param $pollable i32) (call $wait-and-drop (local.get $pollable)))
    (func (export "poll") (param $from i32) (param $length i32) (result i32) (local $list i32) (local $i i32)
      (if (i32.eqz (local.get $length)) (then
        (call $poll (i32.const 0) (i32.const 0) (i32.const 8)) (return (i32.const 8))))
      (local.set $list (call $realloc (i32.const 0) (i32.const 0) (i32.const 4)
        (i32.shl (i32.add (local.get $length) (i32.const 1)) (i32.const 2))))
      (memory.copy (local.get $list) (local.get $from) (i32.shl (local.get $length) (i32.const 2)))
      (call $wait (local.get $list) (local.get $length))
      (loop $next
        (call $drop (i32.load (i32.add (local.get $from) (i32.shl (local.get $i) (i32.const 2)))))
        (br_if $next (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (local.get $length))))
      (i32.const 8))"""

_HEAD = f"""(component
  (import "pollable" (type $pollable (sub resource)))
  (import "poll" (func $poll (param "in" (list (borrow $pollable))) (result (list u32))))
  (import "after" (func $after (param "when" u64) (result (own $pollable))))
  {{imports}}
  (core module $Libc {_ALLOCATING})
  (core instance $libc (instantiate $Libc))
  (core func $poll (canon lower (func $poll) {OPTIONS}))
  (core func $after (canon lower (func $after)))
  (core func $drop (canon resource.drop $pollable))
  {{lowers}}
  (core module $Main
    (import "libc" "memory" (memory 1))
    (import "libc" "top" (global $top (mut i32)))
    (import "libc" "realloc" (func $realloc (param i32 i32 i32 i32) (result i32)))
    (import "w" "poll" (func $poll (param i32 i32 i32)))
    (import "w" "after" (func $after (param i64) (result i32)))
    (import "w" "drop" (func $drop (param i32)))
    {{core_imports}}
    {_WAITING}
    {{code}})
  (core instance $main (instantiate $Main
    (with "libc" (instance $libc))
    (with "w" (instance
      (export "poll" (func $poll)) (export "after" (func $after)) (export "drop" (func $drop))
      {{bundle}}))))"""

_TAIL = f"""
  (func $block-lifted (param "self" (borrow $pollable)) (canon lift (core func $main "block")))
  (func $poll-lifted (param "in" (list (borrow $pollable))) (result (list u32))
    (canon lift (core func $main "poll") {OPTIONS} (post-return (core func $main "reset"))))
  {{lifts}}
  (export $pollable-out "pollable" (type $pollable))
  (export "[method]pollable.block" (func $block-lifted) (func (param "self" (borrow $pollable-out))))
  (export "poll" (func $poll-lifted) (func (param "in" (list (borrow $pollable-out))) (result (list u32))))
  {{exports}}
)"""

#: The component, with places for what depends on the guest.
COMPONENT = _HEAD + _TAIL
