"""A small guest that stays: a component whose exports do what a test needs, and its class, as bindings have it."""

from __future__ import annotations

from wit_host import GuestFunction, GuestInterface
from wit_host import values as wit

#: Imports `ping`, which the test defines, and `exit` of WASI. Has a memory, and counts in it.
PLUGIN = b"""(component
  (import "ping" (func $ping))
  (import "wasi:cli/exit@0.2.0" (instance $exit (export "exit" (func (param "status" (result))))))
  (core func $ping (canon lower (func $ping)))
  (core func $exit (canon lower (func $exit "exit")))
  (core module $m
    (import "" "ping" (func $ping))
    (import "" "exit" (func $exit (param i32)))
    (memory (export "memory") 1)
    (func (export "count") (result i32)
      (i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (i32.const 1)))
      (i32.load (i32.const 0)))
    (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
    (func (export "ping") (call $ping))
    (func (export "fail") (unreachable))
    (func (export "loop") (loop $again (br $again)))
    (func (export "exit") (param i32) (call $exit (local.get 0))))
  (core instance $i (instantiate $m (with "" (instance
    (export "ping" (func $ping)) (export "exit" (func $exit))))))
  (func (export "count") (result u32) (canon lift (core func $i "count")))
  (func (export "add") (param "a" u32) (param "b" u32) (result u32) (canon lift (core func $i "add")))
  (func (export "call-ping") (canon lift (core func $i "ping")))
  (func (export "fail") (canon lift (core func $i "fail")))
  (func (export "loop") (canon lift (core func $i "loop")))
  (func (export "exit") (param "failed" u32) (canon lift (core func $i "exit")))
)"""

_COUNT = GuestFunction[int]("count", {}, wit.U32)
_ADD = GuestFunction[int]("add", {"a": wit.U32, "b": wit.U32}, wit.U32)
_PING = GuestFunction[None]("call-ping", {}, None)
_FAIL = GuestFunction[None]("fail", {}, None)
_LOOP = GuestFunction[None]("loop", {}, None)
_EXIT = GuestFunction[None]("exit", {"failed": wit.U32}, None)


class Plugin(GuestInterface):
    """The exports of the guest, as witgen writes them."""

    def __init__(self, instance):
        super().__init__(instance, None, [_COUNT, _ADD, _PING, _FAIL, _LOOP, _EXIT])

    def count(self):
        """The number of calls of this function so far."""
        return _COUNT(self)

    def add(self, a, b):
        """The sum."""
        return _ADD(self, a, b)

    def ping(self):
        """Calls `ping` of the host."""
        _PING(self)

    def fail(self):
        """Traps."""
        _FAIL(self)

    def loop(self):
        """Never returns."""
        _LOOP(self)

    def exit(self, failed):
        """Ends the program in the middle of the call."""
        _EXIT(self, failed)


class Misfit(GuestInterface):
    """Exports that the guest lacks."""

    def __init__(self, instance):
        super().__init__(instance, None, [GuestFunction[None]("missing", {}, None)])


def with_ping(ping=lambda: None):
    """What defines the import of the guest."""
    return lambda linker: linker.root().function("ping", ping, {}, None)


def compiled(engine, ping=lambda: None):
    """The guest, compiled, whose import `ping` calls a function."""
    return engine.compile(PLUGIN, link=with_ping(ping))
