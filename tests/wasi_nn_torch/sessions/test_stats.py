"""Figures of sessions and engines, which can be copied, pickled and printed as JSON."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
import threading

import pytest

from tests.guests.witx import command
from tests.wasi_nn_torch.helpers.guest_models import Small
from tests.wasi_nn_torch.helpers.models import Add, scripted
from tests.wasi_nn_torch.helpers.versions import command as component
from wasi_nn_torch import Engine, GuestTimeout, GuestTrap, InvalidGuest, Limits, LinkError, ModelFigures
from wasi_nn_torch.contract.ledger import Ledger, Transfer

PARTS = ['(import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))', '(data (i32.const 64) "none")']
REFUSED = "(drop (call $load_by_name (i32.const 64) (i32.const 4) (i32.const 0)))"


def example(ending=""):
    """A component that computes once; see `command` in `versions`."""
    return component("2024-08-19", ending)


@pytest.fixture
def engine(device):
    with Engine(device, cache=False) as engine:
        engine.register("add", scripted(Add()))
        yield engine


@pytest.fixture
def session(engine):
    with engine.session() as session:
        assert session.run(example()) == 0
    return session


# --- sessions ---


def test_the_figures_of_a_session_are_plain_and_their_keys_stable(session):
    figures = session.stats.to_dict()
    assert list(figures) == [
        "calls", "transport", "memory", "compile_seconds", "from_cache", "run_seconds", "errors", "last_refusal",
        "guest_calls", "guest_seconds", "overdue",
        "fuel", "batching",
    ]  # fmt: skip
    assert list(figures["memory"]) == ["places", "transfers", "computes", "compute_seconds", "idle_bytes"]
    assert figures["memory"]["places"]["host staging"] == {
        "bytes": 0, "tensors": 0, "peak_bytes": 8, "peak_tensors": 2,
    }  # fmt: skip
    assert list(figures["memory"]["transfers"]) == [
        "guest_to_host", "host_to_device", "device_to_host", "device_to_device",
    ]  # fmt: skip
    assert figures["memory"]["transfers"]["guest_to_host"] == {"copies": 2, "bytes": 8}
    assert (figures["memory"]["computes"], figures["errors"], figures["last_refusal"]) == (1, {}, None)
    assert json.loads(json.dumps(figures)) == figures


def test_the_last_error_is_among_the_figures(engine):
    with engine.session() as session:
        session.run(command(REFUSED, *PARTS))
    figures = session.stats.to_dict()
    assert figures["errors"] == {"not-found": 1}
    assert figures["last_refusal"] == {
        "function": "wasi_ephemeral_nn#load_by_name",
        "code": "not-found",
        "text": "there is no graph `none`; this host offers `add`",
    }
    assert json.loads(json.dumps(figures)) == figures


def test_figures_can_be_copied_and_pickled(session, engine):
    for stats in (session.stats, engine.stats):
        assert pickle.loads(pickle.dumps(stats)) == copy.deepcopy(stats) == copy.copy(stats) == stats
        assert dataclasses.asdict(stats)


def test_figures_as_a_dict_of_dataclasses_have_the_same_names(session, engine):
    for stats in (session.stats, engine.stats):
        assert list(dataclasses.asdict(stats)) == list(stats.to_dict())


def test_figures_do_not_change_afterwards(engine):
    with engine.session() as session:
        before, sums = session.stats, engine.stats
        session.run(example())
        assert (before.calls, before.memory.computes, sums.ended) == ({}, 0, {})
        session.stats.calls.clear()
        assert session.stats.calls


# --- engines ---


def test_an_engine_counts_how_sessions_end(engine):
    runs = [
        (command(""), None),
        (command("(call $exit (i32.const 3))", *PARTS), None),
        (command("unreachable"), GuestTrap),
        (command("(loop $again (br $again))"), GuestTimeout),
        (b"(module)", LinkError),
        (b"no guest", InvalidGuest),
    ]
    for guest, raised in runs:
        with engine.session(limits=Limits(timeout=0.2 if raised is GuestTimeout else None)) as session:
            if raised is None:
                session.run(guest)
            else:
                with pytest.raises(raised):
                    session.run(guest)
    stats = engine.stats
    assert stats.opened == 6
    assert stats.running == 0
    assert stats.ended == {"success": 1, "failure": 1, "trap": 1, "timeout": 1, "link-error": 1}
    assert (stats.guests_compiled, stats.guests_from_cache) == (5, 0)
    assert stats.compile_seconds > 0


@pytest.mark.parametrize(("raised", "ending"), [(ValueError, "host-error"), (KeyboardInterrupt, "interrupted")])
def test_an_exception_of_the_host_is_counted_apart(engine, monkeypatch, raised, ending):
    def fail(*_):
        raise raised

    with engine.session() as session:
        monkeypatch.setattr(session._serving._registry, "graph", fail)
        with pytest.raises(raised):
            session.run(command(REFUSED, *PARTS))
    assert engine.stats.ended == {ending: 1}
    assert engine.stats.running == 0


def test_an_engine_sums_up_what_its_sessions_did(engine, device):
    guest = engine.compile(example())
    for _ in range(3):
        with engine.session() as session:
            session.run(guest)
    with engine.session() as session:
        session.run(command(REFUSED, *PARTS))
    stats = engine.stats
    assert (stats.computes, stats.errors) == (3, {"not-found": 1})
    assert stats.compute_seconds > 0
    assert (stats.transfers[Transfer.GUEST_TO_HOST].copies, stats.transfers[Transfer.GUEST_TO_HOST].bytes) == (6, 24)
    assert stats.transfers[Transfer.HOST_TO_DEVICE].copies == (6 if device.type != "cpu" else 0)
    assert json.loads(json.dumps(stats.to_dict())) == stats.to_dict()


def test_an_engine_knows_what_its_models_take(device):
    model = scripted(Add())
    with Engine(device, cache=False) as engine:
        engine.register("a", model)
        engine.register("b", model, "cpu")
        assert engine.stats.models == (ModelFigures("a", str(device), 0, 1, 0), ModelFigures("b", "cpu", 0, 1, 0))


def test_an_engine_counts_loads_and_evictions(device):
    model = scripted(Small())
    with Engine(device, cache=False) as engine:
        engine.register("probe", model)
        [size] = [figures.bytes for figures in engine.stats.models]
    assert size > 0
    with Engine(device, cache=False, model_bytes=size) as engine:
        engine.register("one", model)
        engine.register("other", model)
        assert [dataclasses.astuple(figures) for figures in engine.stats.models] == [
            ("one", str(device), 0, 1, 1, None),
            ("other", str(device), size, 1, 0, None),
        ]
        engine._runtime.serve(Ledger()).load_by_name("one")
        assert [dataclasses.astuple(figures) for figures in engine.stats.models] == [
            ("one", str(device), size, 2, 1, None),
            ("other", str(device), 0, 1, 1, None),
        ]


def test_an_engine_counts_the_sessions_of_all_threads(engine):
    guest = engine.compile(command(REFUSED, *PARTS))
    seen = []

    def run():
        for _ in range(20):
            with engine.session() as session:
                session.run(guest)
            seen.append(engine.stats.running)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stats = engine.stats
    assert (stats.opened, stats.running, stats.ended, stats.errors) == (80, 0, {"success": 80}, {"not-found": 80})
    assert all(0 <= running < 4 for running in seen)


def test_a_guest_that_runs_is_counted(engine):
    seen = []
    body = """(i32.store (i32.const 300) (i32.const 64)) (i32.store (i32.const 304) (i32.const 4))
              (drop (call $write (i32.const 1) (i32.const 300) (i32.const 1) (i32.const 400)))"""
    write = '(import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))'
    with engine.session(stdout=lambda _: seen.append(engine.stats.running)) as session:
        session.run(command(body, write, PARTS[1]))
    assert seen == [1]
