"""The end of a guest: by itself, by a trap, by its deadline, by a signal."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from tests.wit_host.helpers.wat import Import
from wit_host import GuestTimeout, GuestTrap, LinkError

PING = {"ping": Import("", "")}
LOOP = "(loop $again (br $again))"


def nothing(instance):
    instance.function("ping", lambda: None, {}, None)


def test_a_guest_that_returns_ok_ends_with_status_0(host):
    assert host.run(PING, "(call ping)", nothing) == 0


def test_a_guest_that_returns_err_ends_with_status_1(host):
    assert host.run(PING, "(return (i32.const 1))", nothing) == 1


def test_a_trap_is_told_in_one_line(host):
    with pytest.raises(GuestTrap) as caught:
        host.run(PING, "(unreachable)", nothing)
    assert str(caught.value) == "guest trapped: wasm `unreachable` instruction executed"
    assert "wasm backtrace" in caught.value.backtrace


def test_a_guest_that_loops_is_stopped_at_its_deadline(host):
    with pytest.raises(GuestTimeout, match=r"guest did not end within 0\.2 s"):
        host.run(PING, LOOP, nothing, timeout=0.2)


def test_a_deadline_that_is_not_reached_changes_nothing(host):
    assert host.run(PING, "(call ping)", nothing, timeout=60) == 0


@pytest.mark.skipif(os.name == "nt", reason="Windows has no way to raise a signal that a test can catch")
def test_a_signal_ends_a_guest_that_loops(host):
    def interrupt():
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()

    with pytest.raises(KeyboardInterrupt):
        host.run(PING, f"(call ping) {LOOP}", lambda i: i.function("ping", interrupt, {}, None), timeout=60)


def test_stores_run_in_parallel_and_each_gets_its_own_exception(host):
    caught: dict[int, BaseException] = {}
    together = threading.Barrier(4)

    def meet(number):
        together.wait(timeout=30)
        raise LookupError(number)

    def run(number):
        try:
            host.run(PING, "(call ping)", lambda i: i.function("ping", lambda: meet(number), {}, None))
        except LookupError as error:
            caught[number] = error

    threads = [threading.Thread(target=run, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {number: error.args for number, error in caught.items()} == {number: (number,) for number in range(4)}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("(component)", "guest exports no wasi:cli/run@0.2; build it as a command"),
        (
            """(component
                 (core module $m (func (export "f") (param i32)))
                 (core instance $i (instantiate $m))
                 (func $run (param "n" u32) (canon lift (core func $i "f")))
                 (instance $c (export "run" (func $run)))
                 (export "wasi:cli/run@0.2.0" (instance $c)))""",
            r"guest exports wasi:cli/run@0\.2\.0 without the function `run: func\(\) -> result`",
        ),
        ('(component (import "a:b/c" (instance)))', None),
        (
            '(component (import "a:b/c@1.0.0" (instance (export "f" (func)))))',
            r"guest imports a:b/c@1\.0\.0, which this host does not provide",
        ),
        ('(component (import "f" (func)))', "guest imports f, which this host does not provide"),
    ],
)
def test_a_component_that_does_not_fit_is_told_why(host, store, text, message):
    with pytest.raises(LinkError, match=message or "guest (imports|exports)"):
        store.run_command(host.engine.compile(text.encode()), "guest")


def test_the_memory_of_a_guest_can_be_limited(host):
    with (
        host.store(memory=1 << 20) as store,
        pytest.raises(GuestTrap, match=r"begins with 12\.5 MiB, which is more than it may have"),
    ):
        host.run(PING, "(call ping)", nothing, store)


def test_closing_a_store_twice_is_fine(host):
    store = host.store()
    store.close()
    store.close()
