"""The child of a fork that happens while other threads of its parent use the same engine."""

from __future__ import annotations

import os

import pytest

from tests.wit_host.helpers.processes import in_a_process

pytestmark = [
    pytest.mark.cpu,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks on this system"),
]

COMMON = r"""
import os, signal, threading, time
from wasi_nn_torch import Engine, Limits

GUEST = b'''(module
    (func (export "double") (param i32) (result i32) (i32.add (local.get 0) (local.get 0))))'''

def in_a_child(function):
    child = os.fork()
    if not child:
        signal.alarm(20)
        code = 1
        try:
            function()
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

engine = Engine(cache=False)
"""


def test_a_child_uses_the_engine_and_pools_whatever_other_threads_did_when_it_was_forked():
    in_a_process(
        COMMON
        + """
guest = engine.compile(GUEST)
pool = engine.pool(guest, size=3)
ends = False

def use():
    with engine.session(limits=Limits(timeout=5)) as session:
        assert session.start(guest).call("double", 3) == 6
    with pool.lease() as instance:
        assert instance.call("double", 4) == 8
    assert engine.stats.opened and pool.stats.uses

def keep_using():
    while not ends:
        use()

threads = [threading.Thread(target=keep_using) for _ in range(3)]
for thread in threads:
    thread.start()
try:
    for _ in range(30):
        in_a_child(use)
finally:
    ends = True
for thread in threads:
    thread.join()
print("fine")
"""
    )


def test_a_child_links_a_guest_that_another_thread_was_linking():
    in_a_process(
        COMMON
        + """
parent, began, goes_on = os.getpid(), threading.Event(), threading.Event()

def link(linker):
    if os.getpid() == parent:
        began.set()
        goes_on.wait()

guest = engine.compile(GUEST, link=link)

def use():
    with engine.session() as session:
        assert session.start(guest).call("double", 3) == 6

thread = threading.Thread(target=use)
thread.start()
began.wait()
try:
    in_a_child(use)
finally:
    goes_on.set()
thread.join()
print("fine")
"""
    )


def test_a_child_imports_modules_while_another_thread_did(tmp_path):
    in_a_process(
        COMMON
        + """
import sys, pathlib
folder = pathlib.Path(sys.argv[1])
sys.path.insert(0, str(folder))
(folder / "slow_operators.py").write_text("import threading, __main__; __main__.began.set(); __main__.goes_on.wait()")
(folder / "operators.py").write_text("")
began, goes_on = threading.Event(), threading.Event()
thread = threading.Thread(target=lambda: Engine(imports=["slow_operators"]))
thread.start()
began.wait()
try:
    in_a_child(lambda: Engine(imports=["operators"]).close())
finally:
    goes_on.set()
thread.join()
print("fine")
""",
        str(tmp_path),
    )
