"""The engine's signal handlers: a trap ends the guest and not the process, whoever installs others after the engine."""

from __future__ import annotations

import importlib.util
import sys

import pytest

from tests.wit_host.helpers.processes import in_a_process

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="they are looked at on Linux only")

TRAPS = """
import ctypes, faulthandler, signal, sys
from wit_host import Engine, GuestTrap

engine = Engine()
guests = [engine.compile_module(f'(module (memory 1) (func (export "_start") {body}))'.encode()) for body in (
    "unreachable", "(drop (i32.load (i32.const 0x7fffffff)))", "(drop (i32.div_s (i32.const 1) (i32.const 0)))")]

def require_traps():
    for guest in guests:
        with engine.core_store() as store:
            try:
                store.run_command(guest)
            except GuestTrap:
                continue
            raise SystemExit("it did not trap")

def address():
    action = ctypes.create_string_buffer(256)
    ctypes.CDLL(None).sigaction(int(signal.SIGSEGV), None, action)
    return ctypes.c_void_p.from_buffer(action).value

require_traps()
"""
FINE = '\nprint("fine", flush=True)\n'


@pytest.mark.parametrize(
    "replace",
    [
        "faulthandler.enable()",
        "for each in (signal.SIGSEGV, signal.SIGILL, signal.SIGFPE): signal.signal(each, signal.SIG_DFL)",
    ],
)
def test_traps_stay_traps_after_others_have_taken_the_signals(replace):
    in_a_process(f"{TRAPS}\n{replace}\nrequire_traps()" + FINE)


@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed")
def test_traps_stay_traps_beside_ray():
    ray = """
import os, warnings
warnings.simplefilter("ignore")
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
import ray
ray.init(
    num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level="error", object_store_memory=80 << 20
)
require_traps()
ray.shutdown()
require_traps()
"""
    in_a_process(TRAPS + ray + FINE)


def test_a_handler_that_passes_on_what_is_not_its_own_stays():
    """The function of another library stands for such a handler; nothing calls it here."""
    other = """
other = ctypes.cast(ctypes.CDLL(None).abort, ctypes.c_void_p).value
action = ctypes.create_string_buffer(256)
libc = ctypes.CDLL(None)
libc.sigaction(int(signal.SIGSEGV), None, action)
ctypes.c_void_p.from_buffer(action).value = other
libc.sigaction(int(signal.SIGSEGV), action, None)
with engine.core_store() as store:
    store.run_command(engine.compile_module(b'(module (func (export "_start")))'))
assert address() == other
"""
    in_a_process(TRAPS + other + FINE)
