"""Guests in a process that may have little: files, address space, descriptors."""

from __future__ import annotations

import sys

import pytest

from .helpers.processes import in_a_process

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has these limits")

COMMON = r"""
import resource, signal
from wit_host import Engine, GuestTrap, precompile
from wit_host.core import CoreLinker

GUEST = b'(module (memory 1) (data (i32.const 0) "first") (func (export "_start")))'
engine = Engine(compiler=precompile)

def compiled():
    return engine.compile_module(GUEST, "small")

def run(guest):
    with engine.core_store() as store:
        return store.run_command(engine.link_module(guest, CoreLinker(), "small"))
"""


def test_a_guest_runs_in_a_process_that_may_write_no_files():
    in_a_process(
        COMMON
        + """
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
assert run(compiled()) == 0
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
print("fine")
"""
    )


def test_a_guest_that_finds_no_address_space_says_what_to_raise():
    in_a_process(
        COMMON
        + """
guest = compiled()
resource.setrlimit(resource.RLIMIT_AS, (2 << 30, resource.RLIM_INFINITY))
try:
    run(guest)
except GuestTrap as error:
    assert "reserves 4 GiB of address space: raise the limit of the process" in str(error), error
    print("fine")
"""
    )
