"""Guests in WAT that wait in functions of WASI, as components and as core modules."""

from __future__ import annotations

from wit_host import GuestFunction, GuestInterface, values

#: A part of the imports of every component here: pollables, a clock, and standard input.
IMPORTS = """
  (import "wasi:io/poll@0.2.0" (instance $poll
    (export "pollable" (type $pollable (sub resource)))
    (export "[method]pollable.ready" (func (param "self" (borrow $pollable)) (result bool)))
    (export "[method]pollable.block" (func (param "self" (borrow $pollable))))
    (export "poll" (func (param "in" (list (borrow $pollable))) (result (list u32))))))
  (alias export $poll "pollable" (type $pollable))
  (import "wasi:io/error@0.2.0" (instance $error (export "error" (type (sub resource)))))
  (alias export $error "error" (type $error-type))
  (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock
    (alias outer 1 $pollable (type $outer))
    (export "pollable" (type $pollable (eq $outer)))
    (export "subscribe-duration" (func (param "when" u64) (result (own $pollable))))))
  (import "wasi:io/streams@0.2.0" (instance $streams
    (alias outer 1 $error-type (type $outer))
    (export "error" (type $error (eq $outer)))
    (alias outer 1 $pollable (type $outer-pollable))
    (export "pollable" (type $pollable (eq $outer-pollable)))
    (type $variant (variant (case "last-operation-failed" (own $error)) (case "closed")))
    (export "stream-error" (type $stream-error (eq $variant)))
    (export "input-stream" (type $input-stream (sub resource)))
    (export "[method]input-stream.subscribe" (func (param "self" (borrow $input-stream)) (result (own $pollable))))
    (export "[method]input-stream.blocking-read" (func (param "self" (borrow $input-stream)) (param "len" u64)
      (result (result (list u8) (error $stream-error)))))
    (export "[method]input-stream.blocking-skip" (func (param "self" (borrow $input-stream)) (param "len" u64)
      (result (result u64 (error $stream-error)))))))
  (alias export $streams "input-stream" (type $input-stream))
  (import "wasi:cli/stdin@0.2.0" (instance $stdin
    (alias outer 1 $input-stream (type $outer))
    (export "input-stream" (type $input-stream (eq $outer)))
    (export "get-stdin" (func (result (own $input-stream))))))
"""

#: What they do: each of these is an export.
BODY = """
  (core module $Memory
    (memory (export "memory") 1)
    (global $top (mut i32) (i32.const 4096))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (local $at i32)
      (local.set $at (i32.and (i32.add (global.get $top) (i32.const 7)) (i32.const -8)))
      (global.set $top (i32.add (local.get $at) (local.get 3)))
      (drop (memory.grow (i32.add (i32.shr_u (local.get 3) (i32.const 16)) (i32.const 1))))
      (local.get $at)))
  (core instance $memory (instantiate $Memory))
  (core func $ready (canon lower (func $poll "[method]pollable.ready")))
  (core func $block (canon lower (func $poll "[method]pollable.block")))
  (core func $poll (canon lower (func $poll "poll")
    (memory (core memory $memory "memory")) (realloc (core func $memory "realloc"))))
  (core func $drop (canon resource.drop $pollable))
  (core func $after (canon lower (func $clock "subscribe-duration")))
  (core func $stdin (canon lower (func $stdin "get-stdin")))
  (core func $drop-stream (canon resource.drop $input-stream))
  (core func $read (canon lower (func $streams "[method]input-stream.blocking-read")
    (memory (core memory $memory "memory")) (realloc (core func $memory "realloc"))))
  (core func $skip (canon lower (func $streams "[method]input-stream.blocking-skip")
    (memory (core memory $memory "memory"))))
  (core module $Main
    (import "" "memory" (memory 1))
    (import "" "ready" (func $ready (param i32) (result i32)))
    (import "" "block" (func $block (param i32)))
    (import "" "poll" (func $poll (param i32 i32 i32)))
    (import "" "drop" (func $drop (param i32)))
    (import "" "after" (func $after (param i64) (result i32)))
    (import "" "stdin" (func $stdin (result i32)))
    (import "" "drop-stream" (func $drop-stream (param i32)))
    (import "" "read" (func $read (param i32 i64 i32)))
    (import "" "skip" (func $skip (param i32 i64 i32)))
    (func (export "sleep") (param i64) (local $pollable i32)
      (call $block (local.tee $pollable (call $after (local.get 0))))
      (call $drop (local.get $pollable)))
    (func (export "is-ready") (param i64) (result i32) (local $pollable i32)
      (call $ready (local.tee $pollable (call $after (local.get 0))))
      (call $drop (local.get $pollable)))
    (func (export "first") (param i64 i64) (result i32) (local $bits i32) (local $i i32)
      (i32.store (i32.const 0) (call $after (local.get 0)))
      (i32.store (i32.const 4) (call $after (local.get 1)))
      (i32.store (i32.const 8) (i32.load (i32.const 0)))
      (call $poll (i32.const 0) (i32.const 3) (i32.const 16))
      (loop $next
        (local.set $bits (i32.or (local.get $bits) (i32.shl (i32.const 1)
          (i32.load (i32.add (i32.load (i32.const 16)) (i32.shl (local.get $i) (i32.const 2)))))))
        (br_if $next (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.load (i32.const 20)))))
      (call $drop (i32.load (i32.const 0)))
      (call $drop (i32.load (i32.const 4)))
      (local.get $bits))
    (func (export "nothing") (call $poll (i32.const 0) (i32.const 0) (i32.const 16)))
    (func (export "read") (param i64) (result i32) (local $stream i32)
      (call $read (local.tee $stream (call $stdin)) (local.get 0) (i32.const 32))
      (call $drop-stream (local.get $stream))
      (select (i32.const -1) (i32.load (i32.const 40)) (i32.load8_u (i32.const 32))))
    (func (export "skip") (param i64) (result i32) (local $stream i32)
      (call $skip (local.tee $stream (call $stdin)) (local.get 0) (i32.const 32))
      (call $drop-stream (local.get $stream))
      (select (i32.const -1) (i32.load (i32.const 40)) (i32.load8_u (i32.const 32))))
    )
  (core instance $main (instantiate $Main (with "" (instance
    (export "memory" (memory $memory "memory"))
    (export "ready" (func $ready)) (export "block" (func $block)) (export "poll" (func $poll))
    (export "drop" (func $drop)) (export "after" (func $after)) (export "stdin" (func $stdin))
    (export "drop-stream" (func $drop-stream)) (export "read" (func $read)) (export "skip" (func $skip))))))
  (func (export "sleep") (param "duration" u64) (canon lift (core func $main "sleep")))
  (func (export "is-ready") (param "duration" u64) (result bool) (canon lift (core func $main "is-ready")))
  (func (export "first") (param "a" u64) (param "b" u64) (result u32) (canon lift (core func $main "first")))
  (func (export "nothing") (canon lift (core func $main "nothing")))
  (func (export "read") (param "length" u64) (result s32) (canon lift (core func $main "read")))
  (func (export "skip") (param "length" u64) (result s32) (canon lift (core func $main "skip")))
"""

NAMES = {
    "sleep": ({"duration": values.U64}, None),
    "is-ready": ({"duration": values.U64}, values.BOOL),
    "first": ({"a": values.U64, "b": values.U64}, values.U32),
    "nothing": ({}, None),
    "read": ({"length": values.U64}, values.S32),
    "skip": ({"length": values.U64}, values.S32),
}
_FUNCTIONS = {name: GuestFunction(name, *types) for name, types in NAMES.items()}


def component(imports: str = IMPORTS, body: str = BODY) -> bytes:
    """A component with these imports and exports."""
    return f"(component {imports} {body})".encode()


def nested() -> bytes:
    """The same component inside another one, which passes its own imports on."""
    given = "".join(
        f'(with "{name}" (instance ${each}))'
        for each, name in (
            ("poll", "wasi:io/poll@0.2.0"),
            ("error", "wasi:io/error@0.2.0"),
            ("clock", "wasi:clocks/monotonic-clock@0.2.0"),
            ("streams", "wasi:io/streams@0.2.0"),
            ("stdin", "wasi:cli/stdin@0.2.0"),
        )
    )
    exports = "".join(f'(export "{name}" (func $inner "{name}"))' for name in NAMES)
    inner = component().decode().replace("(component ", "(component $Inner ", 1)
    return f"(component {IMPORTS} {inner} (instance $inner (instantiate $Inner {given})) {exports})".encode()


def blocking() -> bytes:
    """A command that blocks for a pollable, and imports only what it needs for that."""
    return b"""(component
      (import "wasi:io/poll@0.2.0" (instance $poll
        (export "pollable" (type $pollable (sub resource)))
        (export "[method]pollable.block" (func (param "self" (borrow $pollable))))))
      (alias export $poll "pollable" (type $pollable))
      (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock
        (alias outer 1 $pollable (type $outer))
        (export "pollable" (type $pollable (eq $outer)))
        (export "subscribe-duration" (func (param "when" u64) (result (own $pollable))))))
      (core func $block (canon lower (func $poll "[method]pollable.block")))
      (core func $after (canon lower (func $clock "subscribe-duration")))
      (core module $Main
        (import "" "block" (func $block (param i32)))
        (import "" "after" (func $after (param i64) (result i32)))
        (func (export "run") (result i32) (call $block (call $after (i64.const 0x3fffffffffffffff))) (i32.const 0)))
      (core instance $main (instantiate $Main
        (with "" (instance (export "block" (func $block)) (export "after" (func $after))))))
      (func $run (result (result)) (canon lift (core func $main "run")))
      (instance $command (export "run" (func $run)))
      (export "wasi:cli/run@0.2.0" (instance $command)))"""


class Waiting:
    """The exports of such a component."""

    def __init__(self, instance) -> None:
        self._interface = GuestInterface(instance, None, list(_FUNCTIONS.values()))

    def __call__(self, name: str, *arguments):
        return _FUNCTIONS[name](self._interface, *arguments)


#: A core module that waits; `{memory}` is its memory, and `{address}` the type of addresses in it.
MODULE = """(module
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") {memory})
  (func $clock (param $at {address}) (param $name i64) (param $duration i64)
    (i64.store (local.get $at) (local.get $name))
    (i64.store offset=8 (local.get $at) (i64.const 0))
    (i64.store offset=16 (local.get $at) (i64.const 1))
    (i64.store offset=24 (local.get $at) (local.get $duration))
    (i64.store offset=32 (local.get $at) (i64.const 0))
    (i64.store offset=40 (local.get $at) (i64.const 0)))
  (func (export "sleep") (param i64) (result i32)
    (call $clock ({address}.const 1024) (i64.const 0x1122334455667788) (local.get 0))
    (call $poll (i32.const 1024) (i32.const 2048) (i32.const 1) (i32.const 8)))
  (func (export "first") (param i64 i64) (result i32)
    (call $clock ({address}.const 1024) (i64.const 11) (local.get 0))
    (call $clock ({address}.const 1072) (i64.const 22) (local.get 1))
    (i64.store ({address}.const 1120) (i64.const 33))
    (i64.store ({address}.const 1128) (i64.const 1))
    (i64.store ({address}.const 1136) (i64.const 0))
    (call $poll (i32.const 1024) (i32.const 2048) (i32.const 3) (i32.const 8)))
  (func (export "nothing") (result i32) (call $poll (i32.const 1024) (i32.const 2048) (i32.const 0) (i32.const 8)))
  (func (export "events") (result i32) (i32.load ({address}.const 8)))
  (func (export "name") (param {address}) (result i64) (i64.load offset=2048 (local.get 0)))
  (func (export "kind") (param {address}) (result i32) (i32.load8_u offset=2058 (local.get 0)))
  (func (export "read") (param i32) (result i32)
    (i32.store ({address}.const 0) (i32.const 64))
    (i32.store ({address}.const 4) (i32.const 100))
    (call $read (local.get 0) (i32.const 0) (i32.const 1) (i32.const 8)))
  (func (export "first-byte") (result i32) (i32.load8_u ({address}.const 64))))"""


def module(memory: str = "1", address: str = "i32") -> bytes:
    """A core module that waits."""
    return MODULE.replace("{memory}", memory).replace("{address}", address).encode()
