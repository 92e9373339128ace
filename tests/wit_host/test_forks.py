"""What the child of a fork can do after guests were run and compiled in the parent, and what it is refused."""

from __future__ import annotations

import os

import pytest

from .helpers.processes import in_a_process

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks on this system")

COMMON = r"""
import os, signal
from wit_host import Engine, WasiConfig, precompile
from wit_host.core import CoreLinker

WRITES = b'''(module
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 0) "\\10\\00\\00\\00\\01\\00\\00\\00")
    (func (export "_start") (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))'''
ASKS = b'''(module
    (import "wasi_snapshot_preview1" "clock_time_get" (func $time (param i32 i64 i32) (result i32)))
    (memory (export "memory") 1)
    (func (export "_start") (drop (call $time (i32.const 0) (i64.const 0) (i32.const 8)))))'''
COMPUTES = b'(module (func (export "_start")))'

engine = Engine(compiler=precompile)
linker = CoreLinker()
linker.add_wasi()

def run(wat):
    wasi = WasiConfig()
    wasi.stdout_custom = lambda data: None
    with engine.core_store(wasi=wasi) as store:
        return store.run_command(engine.link_module(guests[wat], linker, "the guest"))

def in_a_child(function):
    child = os.fork()
    if not child:
        signal.alarm(30)
        code = 1
        try:
            text = str(function())
            os.write(writes, text.encode())
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    return os.read(reads, 1 << 16).decode()

def refusal(function, *arguments):
    try:
        function(*arguments)
    except RuntimeError as error:
        return error

reads, writes = os.pipe()
guests = {wat: engine.compile_module(wat, "the guest") for wat in (WRITES, ASKS, COMPUTES)}
"""


def test_a_child_runs_guests_that_use_wasi_if_none_has_written_in_its_parent():
    in_a_process(
        COMMON
        + """
run(ASKS)
run(COMPUTES)
assert in_a_child(lambda: run(WRITES)) == "0"
print("fine")
"""
    )


def test_a_child_refuses_wasi_that_it_would_wait_for_and_runs_other_guests():
    in_a_process(
        COMMON
        + """
run(WRITES)
assert "fork before the first guest runs" in in_a_child(lambda: refusal(run, WRITES))
assert "fork before" in in_a_child(lambda: in_a_child(lambda: refusal(run, WRITES)))
assert in_a_child(lambda: run(COMPUTES)) == "0"
assert run(WRITES) == 0
print("fine")
"""
    )


def test_a_child_refuses_to_compile_after_its_parent_has_compiled():
    in_a_process(
        COMMON
        + """
assert "compile all guests before the fork" in in_a_child(lambda: refusal(engine.compile_module, COMPUTES, "late"))
assert "compile all guests before the fork" in in_a_child(lambda: refusal(Engine().compile_module, COMPUTES, "late"))
assert in_a_child(lambda: run(COMPUTES)) == "0"
print("fine")
"""
    )
