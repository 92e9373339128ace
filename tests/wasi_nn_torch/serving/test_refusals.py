"""Errors that guests are given: the operator sees them, counted and bounded, and the last one if a guest fails."""

from __future__ import annotations

import logging

import pytest

from tests.guests.witx import command, imports
from tests.wasi_nn_torch.helpers.models import Add, scripted
from tests.wasi_nn_torch.helpers.versions import STEPWISE, VERSIONS, open_guest
from tests.wasi_nn_torch.helpers.versions import command as component
from wasi_nn_torch import Engine, GuestTimeout, GuestTrap, Limits, Refusal
from wasi_nn_torch.contract.ledger import Ledger
from wasi_nn_torch.serving.refusals import Refusals

LOG = "wasi_nn_torch.refusals"
NAME = '(data (i32.const 64) "none")'
REFUSED = "(drop (call $load_by_name (i32.const 64) (i32.const 4) (i32.const 0)))"
UNKNOWN = "not-found: there is no graph `none`; this host offers `add`"


@pytest.fixture(scope="module")
def engine(device):
    with Engine(device, cache=False) as engine:
        engine.register("add", scripted(Add()))
        yield engine


@pytest.fixture
def warned(caplog):
    """The lines of a log that shows only warnings."""
    caplog.set_level(logging.WARNING, LOG)
    return lambda: [record.getMessage() for record in caplog.records if record.name == LOG]


# --- what is recorded ---


@pytest.mark.parametrize("version", VERSIONS)
def test_an_error_of_each_version_is_logged_counted_and_kept(engine, version, warned):
    serving = engine._runtime.serve(Ledger())
    with open_guest(engine, version, serving=serving) as guest:
        with pytest.raises(guest.refusal):
            guest.graph.load_by_name("none")
        context = guest.context("add")
        with pytest.raises(guest.refusal):
            guest.compute(context, {}, "output")
    assert serving.refusals.counts == {"not-found": 1, "invalid-argument": 1}
    function = f"wasi:nn/inference@0.2.0-rc-{version}#[method]graph-execution-context.compute"
    assert serving.refusals.last.function == function
    first, second = warned()
    assert first == f"the guest: wasi:nn/graph@0.2.0-rc-{version}#load-by-name answered {UNKNOWN}"
    assert second.startswith(f"the guest: {function} answered invalid-argument: ")
    assert "missing: `x`" in second


@pytest.mark.parametrize("version", STEPWISE)
def test_errors_of_set_input_and_get_output_are_recorded(engine, version):
    serving = engine._runtime.serve(Ledger())
    with open_guest(engine, version, serving=serving) as guest:
        context = guest.context("add")
        for call in (lambda: context.set_input("x", guest.floats(1, shape=[2])), lambda: context.get_output("x")):
            with pytest.raises(guest.refusal):
                call()
    assert serving.refusals.counts == {"invalid-argument": 2}


def test_an_error_that_a_guest_makes_itself_is_not_recorded(engine):
    serving = engine._runtime.serve(Ledger())
    with open_guest(engine, "2024-06-25", serving=serving) as guest:
        guest.errors.new_error(guest.types("errors").ErrorCode.UNKNOWN, "of the guest").drop()
    assert serving.refusals.counts == {}


@pytest.mark.parametrize("version", VERSIONS)
def test_an_error_of_a_constructor_is_recorded_though_it_traps(engine, version, warned):
    serving = engine._runtime.serve(Ledger(host_limit=4))
    with open_guest(engine, version, serving=serving) as guest, pytest.raises(GuestTrap):
        guest.floats(1, 2)
    assert serving.refusals.counts == {"too-large": 1}
    [line] = warned()
    assert "[constructor]tensor answered too-large: a new tensor needs 8 bytes" in line


def test_an_error_of_a_core_module_is_recorded(engine, warned):
    with engine.session() as session:
        assert session.run(command(REFUSED, NAME)) == 0
    assert session.last_refusal == Refusal("wasi_ephemeral_nn#load_by_name", *UNKNOWN.split(": ", 1))
    assert str(session.last_refusal) == UNKNOWN
    assert session.stats.errors == {"not-found": 1}
    assert session.stats.last_refusal is session.last_refusal
    assert warned() == [f"the guest: wasi_ephemeral_nn#load_by_name answered {UNKNOWN}"]


def test_a_module_without_a_memory_is_recorded(engine, warned):
    text = f"""(module {imports(["load_by_name"])}
        (func (export "_start") (drop (call $load_by_name (i32.const 0) (i32.const 0) (i32.const 0)))))"""
    with engine.session() as session:
        session.run(text.encode())
    assert session.stats.errors == {"missing-memory": 1}
    assert warned() == [
        "the guest: wasi_ephemeral_nn#load_by_name answered missing-memory: the guest exports no `memory` of its own"
    ]


# --- what a guest cannot do to the log ---


def test_a_guest_cannot_flood_the_log(engine, warned):
    body = f"""(local $left i32) (local.set $left (i32.const 5000))
        (loop $again {REFUSED} (br_if $again (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))"""
    start = f'(module {imports()} {NAME} (memory (export "memory") 1) (func (export "_start") {body}))'
    with engine.session() as session:
        session.run(start.encode())
    assert session.stats.errors == {"not-found": 5000}
    lines = warned()
    assert len(lines) == 16 + 8, "the first ones, and number 32, 64 … 4096"
    assert lines[14].endswith(UNKNOWN)
    ending = " (error number 16 of this guest; from now on only numbers 32, 64 and so on are logged)"
    assert lines[15].endswith(UNKNOWN + ending)
    assert lines[-1].endswith(UNKNOWN + " (error number 4096 of this guest)")


def test_every_error_is_in_the_log_at_level_debug(caplog):
    caplog.set_level(logging.DEBUG, LOG)
    refusals = Refusals()
    for _ in range(100):
        refusals.record("f", "unknown", "text")
    assert len(caplog.records) == 100


def test_an_error_is_one_bounded_line(warned):
    refusals = Refusals()
    refusals.record("f", "runtime-error", "first\nsecond \x1b[31m" + "x" * 5000)
    [line] = warned()
    assert line.startswith("the guest: f answered runtime-error: first\N{REPLACEMENT CHARACTER}second ")
    assert line.isprintable()
    assert len(line) < 1100


# --- what is said of a guest that fails ---


def test_a_trap_is_told_with_the_last_error(engine):
    with engine.session() as session, pytest.raises(GuestTrap) as caught:
        session.run(command(REFUSED + "unreachable", NAME))
    assert str(caught.value).endswith(f"unreachable` instruction executed; the last error that it was given: {UNKNOWN}")
    assert caught.value.backtrace


@pytest.mark.parametrize("version", VERSIONS[:2])
def test_a_trap_of_a_component_is_told_with_the_last_error(device, version):
    with Engine(device, cache=False) as without, without.session() as session:
        with pytest.raises(GuestTrap, match="the last error that it was given: not-found: there is no graph `add`"):
            session.run(component(version))
        assert session.last_refusal.code == "not-found"


def test_a_timeout_is_told_with_the_last_error(engine):
    text = r"within 0\.2 s; raise the limit `timeout`, .*; the last error that it was given: not-found"
    with engine.session(limits=Limits(timeout=0.2)) as session, pytest.raises(GuestTimeout, match=text):
        session.run(command(f"{REFUSED} (loop $again (br $again))", NAME))


def test_a_trap_without_an_error_is_told_as_it_is(engine):
    with engine.session() as session, pytest.raises(GuestTrap) as caught:
        session.run(command("unreachable"))
    assert "the last error" not in str(caught.value)
    assert session.last_refusal is None


def test_an_error_of_a_constructor_is_told_once():
    refusals = Refusals()
    refusals.record("[constructor]tensor", "too-large", "no room")
    assert refusals.explain("the guest trapped in a constructor: no room") == (
        "the guest trapped in a constructor: no room"
    )


def test_each_session_has_its_own_errors(engine):
    with engine.session() as first, engine.session() as second:
        first.run(command(REFUSED, NAME))
        second.run(command(""))
    assert (first.stats.errors, second.stats.errors) == ({"not-found": 1}, {})
